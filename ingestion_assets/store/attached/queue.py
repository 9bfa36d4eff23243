"""One attached table as a queue: texts out, vectors and statuses into the table's own columns."""

from collections.abc import Sequence
from functools import partial
from time import monotonic, sleep
from uuid import UUID

import numpy as np

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.errors import DimensionError, TextTooLongError
from ingestion_assets.store.attached import adopted, columns, states
from ingestion_assets.store.attached.attachment import Attachment
from ingestion_assets.store.attached.depth import depth
from ingestion_assets.store.attached.rows import Row, existing, read
from ingestion_assets.store.attached.scanning import scan
from ingestion_assets.store.attached.states import Known
from ingestion_assets.store.claims import CHANNEL, LEASE, Depth
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.ledger import Failed

_ROUNDS = 100  # of rows that need no vector, in one claim
_PURGE_SECONDS = 300.0
_PAUSES = (0.02, 0.1)  # seconds between attempts to store in rows that somebody holds
_CHARACTERS_PER_TOKEN = 4  # of English; the server counts for itself what is too long


class AttachedQueue:
    """The rows of an attached table that need a vector, for a worker.

    Every transaction is short and waits for no lock of the application's: a row that somebody
    holds is left for later. A vector or a failure is only written where the row still
    has the text that was claimed.

    Attributes:
        name: the attachment's.
        channels: what to LISTEN on.
    """

    def __init__(
        self, url: str, attachment: Attachment, owner: str, *, lease: float = LEASE
    ) -> None:
        self.attachment = attachment
        self.name = attachment.name
        self.channels: Sequence[str] = list(dict.fromkeys([CHANNEL, attachment.channel]))
        self._url, self._owner, self._lease = url, owner, lease
        self._is_scanned = attachment.scanned
        self._purged = -_PURGE_SECONDS

    def claim(self, limit: int) -> list[Text]:
        """Take up to `limit` rows in hand, those that wait longest first.

        Rows with an empty text are skipped, rows whose text is the one that was embedded are
        completed; neither is returned.
        """
        with connect(self._url) as connection:
            self._enqueue(connection, limit)
            for _ in range(_ROUNDS):
                with connection.transaction():
                    known = states.due(connection, self.name, limit)
                    texts = self._sort(connection, known)
                if texts:
                    return texts
                if not known:
                    self._purge(connection)
                    return []
            states.wake(connection)
        return []

    def complete(self, vectors: Vectors) -> int:
        """Store vectors in the rows that still have their text; returns how many were stored.

        Raises:
            DimensionError: the vectors have another length than the table's.
        """
        width = vectors.matrix.shape[1]
        if width != self.attachment.dimensions:
            raise DimensionError(self.attachment.title, self.attachment.dimensions, width)
        with connect(self._url) as connection:
            stored, left = self._store(connection, vectors)
            for pause in _PAUSES:
                if not left.ids:
                    break
                sleep(pause)
                more, left = self._store(connection, left)
                stored += more
        return stored

    def fail(self, failures: Sequence[Failed]) -> None:
        """Write down why texts got no vector; what is quarantined loses the one of its old text."""
        by_id = {failure.chunk_id: failure for failure in failures}
        with connect(self._url) as connection, connection.transaction():
            same = self._unchanged(connection, list(by_id), [f.content_hash for f in failures])
            found = [by_id[known.row_id] for known in same]
            for quarantined in (False, True):
                keys = [
                    known.key
                    for known, failure in zip(same, found, strict=True)
                    if failure.quarantined is quarantined
                ]
                columns.mark(connection, self.attachment, "error", keys, empty=quarantined)
            states.fail(
                connection,
                same,
                [failure.error_class for failure in found],
                [_message(failure) for failure in found],
                [failure.quarantined for failure in found],
            )

    def renew(self) -> None:
        """Keep what is in hand for another lease."""
        with connect(self._url) as connection:
            states.renew(connection, self.name, self._owner, self._lease)

    def release(self) -> None:
        """Give back what is in hand; it counts as not tried."""
        with connect(self._url) as connection, connection.transaction():
            known = states.mine(connection, self.name, self._owner)
            rows = read(connection, self.attachment, _keys(known), lock=True)
            self._give_back(connection, [k for k in known if k.key in rows])

    def depth(self) -> Depth:
        """How many rows wait, are in hand, and failed."""
        with connect(self._url) as connection:
            return depth(connection, self.name)

    def _store(self, connection: Connection, vectors: Vectors) -> tuple[int, Vectors]:
        """Store what nobody holds; how many, and the vectors of rows that somebody does.

        That may be a worker that looks for rows that are due: Postgres keeps a lock that it took
        on a row which turned out not to be.
        """
        position = {row_id: i for i, row_id in enumerate(vectors.ids)}
        with connection.transaction():
            same = self._unchanged(connection, vectors.ids, vectors.hashes)
            taken = np.array([position[known.row_id] for known in same], dtype=np.intp)
            columns.write(connection, self.attachment, _keys(same), vectors.matrix[taken])
            states.settle(connection, "completed", same, [vectors.hashes[i] for i in taken])
            held = states.held(connection, self.name, self._owner, vectors.ids)
        left = [i for i, row_id in enumerate(vectors.ids) if row_id in held]
        return len(same), Vectors(
            [vectors.ids[i] for i in left],
            [vectors.hashes[i] for i in left],
            vectors.matrix[np.array(left, dtype=np.intp)],
        )

    def _enqueue(self, connection: Connection, limit: int) -> None:
        """Enqueue what no trigger of ours did: what was there at first, or is adopted."""
        if not self._is_scanned and scan(connection, self.attachment) is None:
            self._is_scanned = True
        if self.attachment.adopted:
            adopted.take_over(connection, self.attachment, limit)

    def _sort(self, connection: Connection, known: Sequence[Known]) -> list[Text]:
        """Decide what becomes of rows that are due; the texts of those to embed."""
        rows = read(connection, self.attachment, _keys(known), lock=True)
        away = [k for k in known if k.key not in rows]
        if away:
            self._set_aside(connection, away)
        here = [k for k in known if k.key in rows and rows[k.key].error is None]
        empty = [k for k in here if not rows[k.key].text]
        done = [k for k in here if _has_its_vector(k, rows[k.key])]
        settled = {*empty, *done}
        taken = [k for k in here if k not in settled]
        self._refuse(connection, [(k, rows[k.key]) for k in known if k.key in rows])
        mark = partial(columns.mark, connection, self.attachment)
        mark("skipped", _keys(empty), empty=True)
        mark("completed", _keys(done))
        mark("processing", _keys(taken))
        states.settle(connection, "skipped", empty, [None] * len(empty))
        states.settle(connection, "completed", done, [k.content_hash for k in done])
        states.take(connection, self._owner, self._lease, taken)
        return [self._text(k.row_id, rows[k.key]) for k in taken]

    def _refuse(self, connection: Connection, found: Sequence[tuple[Known, Row]]) -> None:
        """Quarantine the rows whose text cannot be made."""
        bad = [(known, row.error) for known, row in found if row.error is not None]
        known = [each for each, _ in bad]
        columns.mark(connection, self.attachment, "error", _keys(known), empty=True)
        states.refuse(connection, known, [error for _, error in bad])

    def _set_aside(self, connection: Connection, away: Sequence[Known]) -> None:
        """Put off rows that somebody holds, and forget those that are gone."""
        present = existing(connection, self.attachment, _keys(away))
        states.put_off(connection, [k for k in away if k.key in present])
        states.forget(connection, self.name, [k.key for k in away if k.key not in present])

    def _unchanged(
        self, connection: Connection, ids: Sequence[UUID], hashes: Sequence[bytes]
    ) -> list[Known]:
        """Lock the rows in hand that still have the text of these hashes; give back the others."""
        wanted = dict(zip(ids, hashes, strict=True))
        known = states.mine(connection, self.name, self._owner, ids)
        rows = read(connection, self.attachment, _keys(known), lock=True)
        held = [k for k in known if k.key in rows]
        changed = [k for k in held if rows[k.key].content_hash != wanted[k.row_id]]
        self._give_back(connection, changed)
        return [k for k in held if rows[k.key].content_hash == wanted[k.row_id]]

    def _give_back(self, connection: Connection, known: Sequence[Known]) -> None:
        if not known:
            return
        columns.mark(connection, self.attachment, "pending", _keys(known))
        states.give_back(connection, known)
        states.wake(connection)

    def _purge(self, connection: Connection) -> None:
        if self.attachment.adopted and monotonic() - self._purged >= _PURGE_SECONDS:
            adopted.purge(connection, self.attachment)
            self._purged = monotonic()

    def _text(self, row_id: UUID, row: Row) -> Text:
        text = (self.attachment.prefix or "") + row.text
        return Text(row_id, row.content_hash, text, len(text) // _CHARACTERS_PER_TOKEN + 1)


def _has_its_vector(known: Known, row: Row) -> bool:
    return bool(row.text) and row.has_vector and known.content_hash == row.content_hash


def _message(failure: Failed) -> str:
    """Why a text failed; a column holds one vector, so no chunk size can help."""
    if failure.error_class != TextTooLongError.__name__:
        return failure.message
    reason = failure.message.removesuffix("; lower INGEST_CHUNK_TOKENS")
    return f"{reason}; shorten the row's text, or attach the table with --store"


def _keys(known: Sequence[Known]) -> list[str]:
    return [k.key for k in known]
