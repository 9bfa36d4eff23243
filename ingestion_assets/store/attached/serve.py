"""An attached table as a queue, for a worker."""

from typing import TYPE_CHECKING

from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.queue import AttachedQueue
from ingestion_assets.store.claims import LEASE

if TYPE_CHECKING:
    from ingestion_assets.store.attached.filing import FilingQueue


def queue(
    url: str, attachment: Attachment, owner: str, *, lease: float = LEASE
) -> "AttachedQueue | FilingQueue":
    """The queue of one attachment: over its own columns, or into our tables.

    Args:
        owner: names the worker; what it has in hand is its own.
        lease: seconds that a row stays in hand without a renewal.
    """
    if attachment.vector_column is not None:
        return AttachedQueue(url, attachment, owner, lease=lease)
    # Imported late: chunker and parsers take 25 MB, and few workers file documents.
    from ingestion_assets.store.attached.filing import FilingQueue  # noqa: PLC0415

    return FilingQueue(url, attachment)
