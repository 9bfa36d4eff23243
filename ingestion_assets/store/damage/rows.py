"""A query for damaged rows in, findings out; and the rows to their mending, page by page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from ingestion_assets.store import claims
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import EXAMPLES, Finding, Kind, Scope
from ingestion_assets.store.generations import Generation

Mend = Callable[[Connection, Generation, Sequence[UUID]], object]

_OF_SOURCES = sql.SQL(
    "(%(sources)s::text[] IS NULL OR split_part(c.partition_key, '/', 1) = ANY(%(sources)s))"
)

_TOLERANCE = {"vector": 1e-3, "halfvec": 1e-2}  # of a unit vector's length
_PAGE = 1_000  # rows mended in a transaction
_COUNT = "SELECT kind, count(*) FROM ({query}) f GROUP BY kind ORDER BY kind"
_EXAMPLES = "SELECT document || ': ' || what FROM ({query}) f WHERE kind = %(kind)s LIMIT %(few)s"
_IDS = "SELECT id FROM ({query}) f WHERE kind = %(kind)s"


@dataclass(frozen=True, slots=True)
class Rows:
    """The damage that one query finds.

    Attributes:
        query: its rows are `kind`, `id`, `document` and `what`; may have a `%(limit)s`, and what
            `composed` fills in.
        kinds: each with what mends some of its rows, by id, in the caller's transaction; what was
            mended since it was found must be left alone. None: it cannot be mended here.
    """

    query: LiteralString
    kinds: Mapping[Kind, Mend | None]
    generation: Generation
    scope: Scope

    def find(self, connection: Connection) -> list[Finding]:
        """What is wrong; nothing but numbers is read where nothing is."""
        kinds = {kind.name: kind for kind in self.kinds}
        return [
            Finding(kinds[name], count, self._examples(connection, name))
            for name, count in self._run(connection, _COUNT)
        ]

    def mend(self, connection: Connection) -> None:
        """Mend each kind, a thousand rows in a transaction."""
        for kind, mend in self.kinds.items():
            if mend is not None:
                self._mend(connection, kind, mend)

    def _mend(self, connection: Connection, kind: Kind, mend: Mend) -> None:
        # Held beyond its transaction, so that all is looked for once, however much there is.
        with connection.cursor(name="damaged", withhold=True, binary=True) as cursor:
            cursor.execute(self._composed(_IDS), self._given(kind=kind.name))
            while page := cursor.fetchmany(_PAGE):
                with connection.transaction():
                    mend(connection, self.generation, [row_id for (row_id,) in page])

    def _examples(self, connection: Connection, name: str) -> tuple[str, ...]:
        found = self._run(connection, _EXAMPLES, kind=name, few=EXAMPLES)
        return tuple(example for (example,) in found)

    def _run(self, connection: Connection, around: LiteralString, **more: Any) -> list[Any]:
        return connection.execute(self._composed(around), self._given(**more)).fetchall()

    def _composed(self, around: LiteralString) -> sql.Composed:
        return sql.SQL(around).format(query=composed(self.query, self.generation))

    def _given(self, **more: Any) -> dict[str, Any]:
        return {**parameters(self.generation), **self.scope.parameters(), **more}


def composed(query: LiteralString, generation: Generation | None = None) -> sql.Composed:
    """A query with the generation's table in it, and the conditions that queries have in common."""
    return sql.SQL(query).format(
        table=generation.table if generation else sql.NULL,
        of_sources=_OF_SOURCES,
        free=sql.SQL(claims.FREE),
    )


def parameters(generation: Generation) -> dict[str, Any]:
    """What queries need to know: of a generation, all of it, everywhere."""
    return {
        "generation": generation.generation_id,
        "dimensions": generation.dimensions,
        "tolerance": _TOLERANCE[generation.storage],
        "percent": 100,
        "limit": None,
        "key": None,
        **Scope().parameters(),
    }
