"""The indexes that there should be against those that there are."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from psycopg import sql

from ingestion_assets.store import index
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Finding, Kind, finding
from ingestion_assets.store.damage.schema import standing
from ingestion_assets.store.generations import Generation

_WORDS = index.text_index("")
_INDEX = re.compile(r"^(CREATE (?:UNIQUE )?INDEX) ((?P<name>\w+) [^;]*);", re.MULTILINE)
_THERE = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'ingestion'::regnamespace AND i.indisvalid
"""
# One that is being built is not valid yet.
_INVALID = """
SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'ingestion'::regnamespace AND NOT i.indisvalid
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = i.indexrelid)
ORDER BY c.relname
"""
_BY_HASH = """
SELECT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = to_regclass(%s) AND a.attname = 'content_hash')
"""

MISSING = Kind(
    "indexes_missing",
    "Indexes that are gone: what they serve reads whole tables.",
    "builds them, while reading and writing go on.",
)
INVALID = Kind(
    "indexes_invalid",
    "Indexes that are written, and never used: their building was interrupted, or their operator"
    " class is not that of the searches.",
    "builds them again, while reading and writing go on.",
)


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """Looks for indexes of the schema, of the words, and of the vectors of some generations.

    Attributes:
        exact_limit: vectors that are searched without an approximate index.
    """

    in_use: Sequence[Generation]
    exact_limit: int

    def find(self, connection: Connection) -> list[Finding]:
        """What is missing, or is there in vain."""
        return [
            *finding(MISSING, self._missing(connection)),
            *finding(INVALID, self._unused(connection)),
        ]

    def mend(self, connection: Connection) -> None:
        """Build what is not there, one after the other."""
        wanted = {*self._missing(connection), *self._unused(connection)}
        for name in wanted & {*_of_schema()}:
            drop = sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}")
            connection.execute(drop.format(sql.Identifier("ingestion", name)))
            connection.execute(_of_schema()[name].encode())
        for name in wanted:
            if name.startswith(_WORDS):
                index.build_text_index(connection, name.removeprefix(_WORDS))
        for generation in self.in_use:
            if any(name.startswith(index.vector_index(generation)) for name in wanted):
                index.build_vector_index(connection, generation)
            if _by_hash(generation) in wanted:
                table = sql.SQL("CREATE INDEX CONCURRENTLY ON {} (content_hash)")
                connection.execute(table.format(generation.table))

    def _missing(self, connection: Connection) -> list[str]:
        there = {name for (name,) in connection.execute(_THERE)} | {*_invalid(connection)}
        return [
            *(name for name in _of_schema() if name not in there),
            *(_by_hash(g) for g in self.in_use if not _has_hashes(connection, g)),
            *(
                index.vector_index(g)
                for g in self.in_use
                if index.vector_index(g) not in there and self._needs_one(connection, g)
            ),
        ]

    def _unused(self, connection: Connection) -> list[str]:
        states = {index.vector_index(g): index.index_state(connection, g) for g in self.in_use}
        wrong = [name for name, found in states.items() if found.state == "wrong"]
        return [*_invalid(connection), *wrong]

    def _needs_one(self, connection: Connection, generation: Generation) -> bool:
        if generation.status != "active":
            return False
        count = sql.SQL("SELECT count(*) FROM {}").format(generation.table)
        row = connection.execute(count).fetchone()
        return bool(row and row[0] > self.exact_limit)


@cache
def _of_schema() -> Mapping[str, str]:
    """The statement for each index that the migrations leave, by name."""
    return {m["name"]: f"{m[1]} CONCURRENTLY {m[2]}" for m in standing(_INDEX, "INDEX")}


def _invalid(connection: Connection) -> list[str]:
    return [name for (name,) in connection.execute(_INVALID)]


def _by_hash(generation: Generation) -> str:
    return f"{generation.name} (content_hash)"


def _has_hashes(connection: Connection, generation: Generation) -> bool:
    row = connection.execute(_BY_HASH, (f"ingestion.{generation.name}",)).fetchone()
    return bool(row and row[0])
