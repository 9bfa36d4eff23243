"""Attached tables against what is known of their rows, and the triggers that tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from ingestion_assets.store.attached import triggers
from ingestion_assets.store.attached.attachment import Attachment, attachments
from ingestion_assets.store.attached.keys import key_of
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import EXAMPLES, Finding, Kind

_PAGE = 1_000  # rows mended in a transaction
_LOCK_TIMEOUT = "5s"  # for the triggers; an application's transactions must not wait behind us

_TRIGGERS = """
SELECT count(*) FROM pg_trigger t
WHERE t.tgfoid = to_regproc(%s) AND t.tgrelid = %s::regclass AND t.tgenabled IN ('O', 'A')
"""
_UNKNOWN = """
SELECT {key} AS row_key FROM {relation} r
WHERE NOT EXISTS (SELECT FROM ingestion.attached_rows a
                  WHERE a.attachment = %(name)s AND a.row_key = {key})
"""
_GONE = """
SELECT a.row_key FROM ingestion.attached_rows a
WHERE a.attachment = %(name)s
  AND NOT EXISTS (SELECT FROM {relation} r WHERE {key} = a.row_key)
"""
_EMPTY = """
SELECT a.row_key FROM ingestion.attached_rows a JOIN {relation} r ON {key} = a.row_key
WHERE a.attachment = %(name)s AND a.state = 'completed' AND r.{vector} IS NULL
"""
_EXPIRED = """
SELECT a.row_key FROM ingestion.attached_rows a
WHERE a.attachment = %(name)s AND a.state = 'processing' AND a.lease_until <= now()
"""
_ENQUEUE = "SELECT ingestion.enqueue_attached(%(name)s, %(keys)s)"
_FORGET = "SELECT ingestion.forget_attached(%(name)s, %(keys)s)"
_GIVE_BACK = """
UPDATE ingestion.attached_rows SET state = 'pending', owner = NULL, lease_until = NULL
WHERE attachment = %(name)s AND row_key = ANY(%(keys)s)
  AND state = 'processing' AND lease_until <= now()
"""
# Whether a row changed while no trigger told, only its text says: each is compared when it is
# claimed, and embedded only if it did.
_LOOK_AGAIN = """
UPDATE ingestion.attached_rows SET state = 'pending', enqueued_at = clock_timestamp()
WHERE attachment = %(name)s AND state IN ('completed', 'skipped')
"""

GONE_TABLE = Kind(
    "attached_tables_gone",
    "Attached tables that were dropped.",
    "Detach them: ingest detach NAME",
    mends=False,
)
TRIGGERS = Kind(
    "attached_triggers_missing",
    "Triggers of attached tables that are gone or switched off: rows that change keep old vectors.",
    "makes them anew, and has every row compared with its text.",
)
UNKNOWN = Kind(
    "attached_rows_missing",
    "Rows of attached tables that nobody knows of: they are not embedded.",
    "enqueues them.",
)
GONE = Kind(
    "attached_rows_orphaned", "Rows that are known, but gone from their table.", "forgets them."
)
EMPTY = Kind(
    "attached_vectors_missing",
    "Rows of attached tables that count as embedded, and have no vector.",
    "enqueues them.",
)
EXPIRED = Kind(
    "attached_leases_expired",
    "Rows of attached tables in the hands of a worker that died; the next one takes them over.",
    "gives them back.",
)


@dataclass(frozen=True, slots=True)
class TableCheck:
    """Looks whether the table is there, and its triggers are."""

    attachment: Attachment

    def find(self, connection: Connection) -> list[Finding]:
        """The table or its triggers, if they are gone."""
        title = f"{self.attachment.name}: {self.attachment.title}"
        if self.attachment.table is None:
            return [Finding(GONE_TABLE, 1, (title,))]
        return [] if self._is_told(connection) else [Finding(TRIGGERS, 1, (title,))]

    def mend(self, connection: Connection) -> None:
        """Make the triggers anew, and have all rows looked at."""
        if self.attachment.table is None or self._is_told(connection):
            return
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (_LOCK_TIMEOUT,))
            triggers.remove(connection, self.attachment)
            triggers.install(connection, self.attachment)
            connection.execute(_LOOK_AGAIN, {"name": self.attachment.name})

    def _is_told(self, connection: Connection) -> bool:
        """Whether every change of a row is told of; a trigger that was adopted is not ours."""
        if self.attachment.adopted:
            return True
        expected = {"": len(triggers.EVENTS)}
        if self.attachment.status_column:
            expected["_pending"] = 2
        relation = self.attachment.relation.as_string(connection)
        return all(self._count(connection, suffix, relation) == n for suffix, n in expected.items())

    def _count(self, connection: Connection, suffix: str, relation: str) -> int:
        function = self.attachment.own_function(suffix).as_string(connection)
        row = connection.execute(_TRIGGERS, (function, relation)).fetchone()
        return int(row[0]) if row else 0


@dataclass(frozen=True, slots=True)
class RowsCheck:
    """The damage of one kind among the rows of an attached table.

    Attributes:
        query: the keys of the rows.
        mended: what is called with some of them.
    """

    attachment: Attachment
    kind: Kind
    query: LiteralString
    mended: LiteralString

    def find(self, connection: Connection) -> list[Finding]:
        """How many rows there are, and a few of them."""
        count, examples = self._counted(connection)
        named = tuple(f"{self.attachment.name}: row {key}" for key in examples)
        return [Finding(self.kind, count, named)] if count else []

    def mend(self, connection: Connection) -> None:
        """Mend a thousand rows in a transaction."""
        with connection.cursor(name="damaged", withhold=True) as cursor:
            cursor.execute(self._composed(), {"name": self.attachment.name})
            while page := cursor.fetchmany(_PAGE):
                given = {"name": self.attachment.name, "keys": [key for (key,) in page]}
                connection.execute(self.mended, given)

    def _counted(self, connection: Connection) -> tuple[int, Sequence[str]]:
        query = sql.SQL(
            "WITH f AS MATERIALIZED ({}) SELECT (SELECT count(*) FROM f),"
            " ARRAY(SELECT row_key FROM f LIMIT {})"
        ).format(self._composed(), sql.Literal(EXAMPLES))
        row = connection.execute(query, {"name": self.attachment.name}).fetchone()
        return (row[0], row[1]) if row else (0, [])

    def _composed(self) -> sql.Composed:
        return sql.SQL(self.query).format(
            key=key_of(self.attachment.keys, "r"),
            relation=self.attachment.relation,
            vector=self.attachment.vector,
        )


def checks(connection: Connection) -> list[TableCheck | RowsCheck]:
    """What compares the attached tables with what is known of them."""
    found: list[TableCheck | RowsCheck] = []
    for attached in attachments(connection):
        found.append(TableCheck(attached))
        if attached.table is not None:
            found += _of_rows(attached)
    return found


def _of_rows(attached: Attachment) -> list[RowsCheck]:
    rows = [
        RowsCheck(attached, GONE, _GONE, _FORGET),
        RowsCheck(attached, EXPIRED, _EXPIRED, _GIVE_BACK),
    ]
    if attached.scanned and not attached.adopted:
        rows.append(RowsCheck(attached, UNKNOWN, _UNKNOWN, _ENQUEUE))
    if attached.vector_column:
        rows.append(RowsCheck(attached, EMPTY, _EMPTY, _ENQUEUE))
    return rows
