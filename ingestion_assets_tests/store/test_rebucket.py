from collections.abc import Iterator
from hashlib import blake2b

import pytest

from ingestion_assets.errors import StoreUnavailableError
from ingestion_assets.store import looks
from ingestion_assets.store.connection import Connection, connect, partition_lock
from ingestion_assets.store.rebucket import rebucket, stored_buckets
from ingestion_assets_tests.store import rows

KEYS = ["notes/00", "notes/01"]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


def _key_of(uri: str) -> str:
    return KEYS[blake2b(uri.encode()).digest()[0] % 2]


def _places(connection: Connection) -> dict[str, set[str]]:
    """The partitions of each document and of its chunks."""
    found = connection.execute(
        "SELECT d.uri, d.partition_key, c.partition_key"
        " FROM ingestion.documents d JOIN ingestion.chunks c USING (document_id)"
    )
    places: dict[str, set[str]] = {}
    for uri, *keys in found:
        places.setdefault(uri, set()).update(keys)
    return places


def test_documents_and_chunks_move_together_and_keep_their_vectors(connection: Connection) -> None:
    generation = rows.generation(connection)
    for n in range(20):
        _, chunks = rows.store(connection, f"{n}.md", [f"text {n}", f"more {n}"])
        rows.embed(connection, generation, chunks)
    before = connection.execute("SELECT * FROM ingestion.embeddings ORDER BY chunk_id").fetchall()
    expected = {f"{n}.md": {_key_of(f"{n}.md")} for n in range(20)}
    moving = sum(key != {"notes/00"} for key in expected.values())

    moved = rebucket(connection, "notes", 2, keys=KEYS, key_of=_key_of)

    assert (moved, stored_buckets(connection, "notes")) == (moving, 2)
    assert _places(connection) == expected
    after = connection.execute("SELECT * FROM ingestion.embeddings ORDER BY chunk_id").fetchall()
    assert after == before
    assert connection.execute("SELECT count(*) FROM ingestion.ledger").fetchone() == (0,)


def test_other_sources_stay_where_they_are(connection: Connection) -> None:
    rows.store(connection, "a.md", ["one"])
    rows.store(connection, "b.md", ["two"], key="wiki/00")
    rebucket(connection, "notes", 2, keys=KEYS, key_of=lambda uri: "notes/01")
    assert _places(connection) == {"a.md": {"notes/01"}, "b.md": {"wiki/00"}}


def test_nothing_moves_while_a_run_writes_one_of_the_partitions(
    connection: Connection, database: str
) -> None:
    rows.store(connection, "a.md", ["one"])
    with (
        connect(database) as other,
        partition_lock(other, "notes/01"),
        pytest.raises(StoreUnavailableError, match="notes/01"),
    ):
        rebucket(connection, "notes", 2, keys=KEYS, key_of=_key_of)
    assert _places(connection) == {"a.md": {"notes/00"}}


def test_what_could_not_be_read_follows_into_its_partition(connection: Connection) -> None:
    rows.store(connection, "a.md", ["one"])
    looks.record(connection, "notes/00", [(f"{n}.md", "SourceError", "large") for n in range(9)])
    rebucket(connection, "notes", 2, keys=KEYS, key_of=_key_of)
    looks.record(connection, "notes/01", [])
    left = {found.uri for found in looks.unread(connection)}
    assert left == {f"{n}.md" for n in range(9) if _key_of(f"{n}.md") == "notes/00"}
