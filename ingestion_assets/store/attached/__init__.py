"""Tables of others that are kept embedded: attach one, serve it, detach it again."""

from ingestion_assets.store.attached.attaching import Request, attach
from ingestion_assets.store.attached.attachment import Attachment, attachments
from ingestion_assets.store.attached.detaching import detach
from ingestion_assets.store.attached.queue import AttachedQueue
from ingestion_assets.store.attached.scanning import scan

__all__ = [
    "AttachedQueue",
    "Attachment",
    "Request",
    "attach",
    "attachments",
    "detach",
    "scan",
]
