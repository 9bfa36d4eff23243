"""Rows for the worker to embed, and what became of them."""

from psycopg import sql

from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import active
from ingestion_assets_tests.services.faulty_ollama import Double
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.worker.running import wait_for

_STORED = "SELECT c.text, e.embedding::text FROM ingestion.chunks c JOIN {} e USING (chunk_id)"
_STATES = "SELECT state, count(*) FROM ingestion.ledger GROUP BY state"
# Each insert is a transaction of its own, and so a notification.
_STORM = """
DO $$ BEGIN
    FOR i IN 1..{n} LOOP
        INSERT INTO ingestion.chunks
        SELECT gen_random_uuid(), document_id, partition_key, i, '', 'storm ' || i,
               decode(md5('storm ' || i), 'hex'), 3, 0, 10, 'x' FROM ingestion.documents LIMIT 1;
        COMMIT;
    END LOOP;
END $$
"""


def insert(connection: Connection, name: str, texts: int = 1, size: int = 4) -> None:
    """Store a document whose chunks are so many different texts of some words."""
    rows.store(connection, name, [f"{name} {i}" + " word" * size for i in range(texts)])


def storm(connection: Connection, notifications: int) -> None:
    """Insert chunks one by one into a document that is there."""
    connection.execute(sql.SQL(_STORM).format(n=sql.Literal(notifications)))


def stored(connection: Connection) -> dict[str, str]:
    """The texts that have a vector in the active generation, and the vector."""
    generation = active(connection)
    if generation is None:
        return {}
    return dict(connection.execute(sql.SQL(_STORED).format(generation.table)).fetchall())


def wait_until_stored(connection: Connection, texts: int) -> None:
    """Return when so many texts have their vector."""
    wait_for(lambda: len(stored(connection)) >= texts)


def states(connection: Connection) -> dict[str, int]:
    """How many texts have no vector, by their state in the ledger."""
    return dict(connection.execute(_STATES).fetchall())


def are_right(connection: Connection, double: Double) -> bool:
    """Whether every stored vector is the one that the double gives for its text."""
    found = connection.execute(
        sql.SQL(
            "SELECT c.text, e.embedding::real[] FROM ingestion.chunks c JOIN {} e USING (chunk_id)"
        ).format(_generation_table(connection))
    )
    return all(
        max(abs(a - b) for a, b in zip(vector, double.vector(text), strict=True)) < 1e-5
        for text, vector in found
    )


def _generation_table(connection: Connection) -> sql.Identifier:
    generation = active(connection)
    assert generation is not None
    return generation.table
