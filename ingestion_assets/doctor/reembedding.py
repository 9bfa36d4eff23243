"""Some stored vectors against their texts, which are embedded once more."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import sql

from ingestion_assets.changes import Text
from ingestion_assets.chunks.chunk import embedded_text
from ingestion_assets.doctor.fidelity import SAME
from ingestion_assets.embedding import EmbeddingStream, Endpoints, Identity
from ingestion_assets.store import embeddings
from ingestion_assets.store.audit import sampled_percent
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage import vectors
from ingestion_assets.store.damage.finding import EXAMPLES, Finding, Kind, Scope
from ingestion_assets.store.damage.rows import composed, parameters
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.scope import lock

_SAMPLE = """
SELECT c.chunk_id, c.content_hash, coalesce(s.config ->> 'prefix', %(prefix)s), c.heading, c.text,
       c.tokens, d.source || '/' || d.uri, e.embedding::real[]
FROM (SELECT * FROM {table} TABLESAMPLE SYSTEM (%(percent)s)) e
JOIN ingestion.chunks c USING (chunk_id, content_hash)
JOIN ingestion.documents d USING (document_id)
JOIN ingestion.sources s ON s.name = d.source
WHERE {of_sources} AND NOT c.superseded ORDER BY random() LIMIT %(limit)s
"""
_TWINS = "SELECT chunk_id FROM {table} WHERE content_hash = ANY(%s)"

WRONG = Kind(
    "vectors_wrong",
    "Vectors that are not those of their text (cosine below 0.999), of a sample.",
    "puts these chunks, and all of the same text, into the ledger. Many of them mean that the model"
    " or its server has changed: see model_drifted, or take a larger --sample.",
)


@dataclass(frozen=True, slots=True)
class Sampled:
    """A stored vector and the text it should be of."""

    text: Text
    document: str
    stored: Sequence[float]


@dataclass(frozen=True, slots=True)
class Wrong:
    """A vector that is not its text's."""

    content_hash: bytes
    document: str
    cosine: float


def sample(
    connection: Connection, generation: Generation, scope: Scope, size: int
) -> list[Sampled]:
    """Vectors of a generation at random, whose texts are the present ones."""
    given: dict[str, Any] = {
        **parameters(generation),
        **scope.parameters(),
        "prefix": generation.document_prefix,
        "percent": sampled_percent(connection, generation.table),
        "limit": size,
    }
    rows = connection.execute(composed(_SAMPLE, generation), given, binary=True)
    return [
        Sampled(Text(row_id, hashed, prefix + embedded_text(heading, text), tokens), document, own)
        for row_id, hashed, prefix, heading, text, tokens, document, own in rows
    ]


async def wrong(servers: Endpoints, model: Identity, sampled: Sequence[Sampled]) -> list[Wrong]:
    """Embed the texts as a run does; those whose stored vector is another one.

    Raises:
        OllamaError: the servers are at fault.
    """
    by_hash: dict[bytes, list[Sampled]] = {}
    for each in sampled:
        by_hash.setdefault(each.text.content_hash, []).append(each)
    page = [of[0].text for of in by_hash.values()]
    stream = EmbeddingStream(servers, model, lambda: [page.pop() for _ in range(len(page))])
    found: list[Wrong] = []
    async with aclosing(aiter(stream)) as batches:
        async for batch in batches:
            for hashed, vector in zip(batch.hashes, batch.matrix, strict=True):
                cosines = ((each, float(vector @ _unit(each.stored))) for each in by_hash[hashed])
                found += [Wrong(hashed, e.document, c) for e, c in cosines if c < 1 - SAME]
    return found


def findings(found: Sequence[Wrong], of: int) -> list[Finding]:
    """What is wrong with the sample."""
    examples = tuple(f"{w.document}: cosine {w.cosine:.4f}" for w in found[:EXAMPLES])
    kind = replace(WRONG, meaning=WRONG.meaning.replace("a sample", f"{of:,} that were sampled"))
    return [Finding(kind, len(found), examples)] if found else []


def mend(connection: Connection, generation: Generation, found: Sequence[Wrong]) -> None:
    """Have them embedded again, with all of the same texts, or they would be copied from those."""
    twins = sql.SQL(_TWINS).format(table=generation.table)
    with connection.transaction():
        hashes = [each.content_hash for each in found]
        ids: list[UUID] = [i for (i,) in connection.execute(twins, (hashes,), binary=True)]
        lock(connection, ids)
        embeddings.outdate(connection, generation, ids)
        vectors.enqueue(connection, generation, ids)


def _unit(vector: Sequence[float]) -> Any:
    array = np.array(vector, np.float32)
    return array / max(float(np.linalg.norm(array)), 1e-9)
