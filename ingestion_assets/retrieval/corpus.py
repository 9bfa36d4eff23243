"""What a search can use: the active generation, its size, its indexes."""

import re
from dataclasses import dataclass, fields

from psycopg import sql
from psycopg.rows import dict_row

from ingestion_assets.store.generations import Generation
from ingestion_assets.store.index import text_index
from ingestion_assets.store.pool import AsyncConnection

DEFAULT_EF = 400  # of 1,000 at most; found 0.996 of what is nearest where nothing was measured

_MEASURED = re.compile(r'"ef_search": ?(\d+)')
_GENERATION = tuple(field.name for field in fields(Generation))
_CORPUS = """
SELECT {generation}, stored.reltuples::bigint AS vectors,
       graph.indisvalid AS has_graph, obj_description(graph.indexrelid, 'pg_class') AS measured,
       words.indisvalid AS has_words
FROM (VALUES (1)) AS always
LEFT JOIN ingestion.generations ON status = 'active'
LEFT JOIN pg_class stored ON stored.oid = to_regclass('ingestion.embeddings_' || generation_id)
LEFT JOIN pg_index graph
       ON graph.indexrelid = to_regclass('ingestion.embeddings_' || generation_id || '_hnsw')
LEFT JOIN pg_index words ON words.indexrelid = to_regclass(%s)
"""


@dataclass(frozen=True, slots=True)
class Corpus:
    """What is there at one moment.

    Attributes:
        generation: the active one; none before the first run.
        vectors: how many it has, as the planner last knew; below 0 if it does not.
        ef_search: to search its approximate index with; none if there is no such index.
        has_text_index: whether there is an index over the words.
    """

    generation: Generation | None
    vectors: int
    ef_search: int | None
    has_text_index: bool


async def read(connection: AsyncConnection, language: str) -> Corpus:
    """What is there now, or in the transaction's snapshot."""
    statement = sql.SQL(_CORPUS).format(
        generation=sql.SQL(", ").join(map(sql.Identifier, _GENERATION))
    )
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement, (f'ingestion."{text_index(language)}"',))
        row = await cursor.fetchone() or {}
    generation = Generation(**{name: row[name] for name in _GENERATION})
    return Corpus(
        generation if row["generation_id"] is not None else None,
        -1 if row["vectors"] is None else row["vectors"],
        _ef_search(row["measured"]) if row["has_graph"] else None,
        bool(row["has_words"]),
    )


def _ef_search(comment: str | None) -> int:
    """What `recall` has written on the index, or else a cautious guess."""
    measured = _MEASURED.search(comment or "")
    return int(measured[1]) if measured else DEFAULT_EF
