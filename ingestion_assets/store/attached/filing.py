"""An attached table as documents of ours: rows are filed, and the chunk ledger does the rest."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from ingestion_assets.changes import Changes, Text, Vectors
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.reconcile import Splitting, to_split
from ingestion_assets.chunks.tokens import counter_for
from ingestion_assets.documents.document import Document
from ingestion_assets.documents.media import PLAIN
from ingestion_assets.store import chunks, documents
from ingestion_assets.store.attached import states
from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.depth import depth
from ingestion_assets.store.attached.rows import Row, read
from ingestion_assets.store.attached.scanning import scan
from ingestion_assets.store.attached.states import Known
from ingestion_assets.store.claims import CHANNEL, Depth
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.ledger import Failed

_PAGE = 200  # rows filed in one transaction
_LONGEST_TITLE = 120  # characters


class FilingQueue:
    """The rows of an attached table that have no column for a vector.

    A claim files what waits as documents and chunks, and returns no text: the chunks enqueue
    themselves, and what becomes of them is in their own ledger.

    Attributes:
        name: the attachment's.
        channels: what to LISTEN on.
    """

    channels: Sequence[str] = (CHANNEL,)

    def __init__(self, url: str, attachment: Attachment) -> None:
        self.attachment = attachment
        self.name = attachment.name
        self._url = url
        self._is_scanned = attachment.scanned
        self._chunker = Chunker(
            attachment.max_tokens, attachment.overlap, counter_for(attachment.model)
        )

    def claim(self, limit: int) -> list[Text]:
        """File the next rows; if more wait, the workers are woken for them."""
        with connect(self._url) as connection:
            if not self._is_scanned and scan(connection, self.attachment) is None:
                self._is_scanned = True
            with connection.transaction():
                known = states.due(connection, self.name, _PAGE)
                if known:
                    self._file(connection, known)
                if len(known) == _PAGE or not self._is_scanned:
                    states.wake(connection)
        return []

    def complete(self, vectors: Vectors) -> int:
        """Store nothing: no text was given out."""
        return 0

    def fail(self, failures: Sequence[Failed]) -> None:
        """Note nothing: no text was given out."""

    def renew(self) -> None:
        """Nothing is in hand between two calls."""

    def release(self) -> None:
        """Nothing is in hand between two calls."""

    def depth(self) -> Depth:
        """How many rows wait to be filed."""
        with connect(self._url) as connection:
            return depth(connection, self.name)

    def _file(self, connection: Connection, known: Sequence[Known]) -> None:
        rows = read(connection, self.attachment, [k.key for k in known], lock=False)
        gone = [k.key for k in known if k.key not in rows]
        states.forget(connection, self.name, gone)
        bad = [k for k in known if k.key in rows and rows[k.key].error is not None]
        states.refuse(connection, bad, [rows[k.key].error or "" for k in bad])
        found = [k for k in known if k.key in rows and rows[k.key].error is None]
        full = [k for k in found if rows[k.key].text]
        empty = [k for k in found if not rows[k.key].text]
        changed = [k for k in full if k.content_hash != rows[k.key].content_hash]
        filed = [self._document(k.row_id, rows[k.key]) for k in changed]
        documents.write(connection, Changes(filed, [k.row_id for k in (*empty, *bad)]))
        self._split(connection, filed)
        states.settle(connection, "completed", full, [rows[k.key].content_hash for k in full])
        states.settle(connection, "skipped", empty, [None] * len(empty))

    def _split(self, connection: Connection, filed: Sequence[Document]) -> None:
        stored = [to_split(document, self.attachment.prefix) for document in filed]
        for batch in Splitting(stored, lambda ids: chunks.stored(connection, ids), self._chunker):
            chunks.write(connection, batch)

    def _document(self, row_id: UUID, row: Row) -> Document:
        now = datetime.now(UTC)
        return Document(
            document_id=row_id,
            source=self.name,
            partition_key=f"{self.name}/00",
            uri=row.key,
            media_type=PLAIN,
            title=row.text.partition("\n")[0][:_LONGEST_TITLE],
            text=row.text,
            content_hash=row.content_hash,
            metadata={"table": self.attachment.title, "key": row.key},
            domain=None,
            category=None,
            bytes=len(row.text.encode()),
            modified_at=now,
            ingested_at=now,
        )
