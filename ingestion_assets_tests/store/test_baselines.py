from collections.abc import Iterator

import numpy as np
import pytest

from ingestion_assets.store import baselines, ledger, schema
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import active
from ingestion_assets.store.ledger import Failed
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.store import rows

VECTORS = np.eye(2, 4, dtype=np.float32)
_GENERATION = """
INSERT INTO ingestion.generations (model, digest, dimensions, storage, document_prefix,
    query_prefix, options, fingerprint, status)
VALUES ('m', 'sha', 4, 'vector', '', '', '{}', 'print', 'active')
"""


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


def test_what_came_first_is_what_counts(connection: Connection) -> None:
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["one"])
    assert baselines.stored(connection, generation) is None
    baselines.keep(connection, generation, b"texts", VECTORS, "0.12.0")
    baselines.keep(connection, generation, b"texts", -VECTORS, "0.13.0")
    known = baselines.stored(connection, generation)
    assert known is not None
    assert (known.server_version, known.chunkers) == ("0.12.0", [rows.CHUNKER])
    assert np.array_equal(known.matrix, VECTORS)


def test_it_is_time_to_compare_when_something_waits_and_nobody_compared_lately(
    connection: Connection,
) -> None:
    generation = rows.generation(connection)
    _, [chunk] = rows.store(connection, "a.md", ["one"])
    assert baselines.due(connection, generation, rows.KEY, 3600)
    assert not baselines.due(connection, generation, "notes/01", 3600), "nothing waits there"
    baselines.keep(connection, generation, b"texts", VECTORS, "0.12.0")
    assert not baselines.due(connection, generation, rows.KEY, 3600)
    connection.execute("UPDATE ingestion.baselines SET compared_at = now() - interval '61 min'")
    assert baselines.due(connection, generation, rows.KEY, 3600)
    baselines.compared(connection, generation)
    assert not baselines.due(connection, generation, rows.KEY, 3600)
    connection.execute("DELETE FROM ingestion.baselines")
    failed = Failed(chunk.chunk_id, chunk.content_hash, "PoisonTextError", "why", True)
    ledger.record(connection, generation, [failed])
    assert not baselines.due(connection, generation, rows.KEY, 3600), "it will not be embedded"


def test_database_of_the_last_schema_gets_its_baseline_with_the_next_look(
    postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(postgres) as url:
        with monkeypatch.context() as earlier:
            names = schema._migrations()
            last = next(n for n, name in enumerate(names) if name.endswith("_fidelity.sql"))
            earlier.setattr(schema, "_migrations", lambda: names[:last])
            migrate(url)
        with connect(url) as connection:
            connection.execute(_GENERATION)
            migrate(url)
            generation = active(connection)
            assert generation is not None
            assert baselines.stored(connection, generation) is None
            baselines.keep(connection, generation, b"texts", VECTORS, "0.12.0")
            assert baselines.stored(connection, generation) is not None
