"""What is listed of a generation is counted exactly, and read from Postgres' own views."""

from ingestion_assets.store import index
from ingestion_assets.store.embeddings import Coverage
from ingestion_assets.store.generations import Plan
from ingestion_assets.store.generations.activation import Standing, activate
from ingestion_assets.store.generations.listing import generations
from ingestion_assets.store.generations.opening import reembed
from ingestion_assets.store.generations.retirement import drop
from ingestion_assets.store.index import IndexState, index_state
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.store.generations.given import RECIPE, quarantine


def test_coverage_is_counted_withquarantine_apart(connection):
    first = rows.generation(connection)
    pieces = rows.store(connection, "a.md", [f"text {n}" for n in range(10)])[1]
    rows.embed(connection, first, pieces)
    second = reembed(connection, RECIPE, Plan())
    rows.embed(connection, second, pieces[:7])
    quarantine(connection, second, pieces[9])
    old, new = generations(connection)
    assert old.coverage == Coverage(10, 10, 0)
    assert new.coverage == Coverage(10, 7, 1)
    assert new.coverage is not None
    assert (new.coverage.missing, new.awaits) == (2, Standing.WAITING)
    assert new.bytes > 0
    assert new.described()["missing"] == 2


def test_the_index_is_none_building_invalid_or_valid(connection):
    generation = rows.generation(connection)
    rows.embed(connection, generation, rows.store(connection, "a.md", ["one"])[1])
    assert index_state(connection, generation) == IndexState("none")
    connection.execute("CREATE INDEX embeddings_1_hnsw ON ingestion.embeddings_1 (embedded_at)")
    connection.execute(
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'ingestion.embeddings_1_hnsw'::regclass"
    )
    assert index_state(connection, generation) == IndexState("invalid")
    index.build_vector_index(connection, generation)
    assert index_state(connection, generation) == IndexState("valid")
    connection.execute(
        """COMMENT ON INDEX ingestion.embeddings_1_hnsw IS '{"ef_search": 40, "recall": 0.99}'"""
    )
    assert index_state(connection, generation) == IndexState("valid", None, 0.99, 40)


def test_what_became_of_each_is_told(connection):
    first = rows.generation(connection)
    pieces = rows.store(connection, "a.md", ["one"])[1]
    rows.embed(connection, first, pieces)
    second = reembed(connection, RECIPE, Plan(activate=False))
    rows.embed(connection, second, pieces)
    assert [g.awaits for g in generations(connection)] == [None, Standing.HELD]
    activate(connection, second)
    old, new = generations(connection)
    assert (old.generation.status, old.is_filled) == ("retired", True)
    assert old.drop_after is not None
    assert new.activated_at is not None
    drop(connection, old.generation)
    old, _ = generations(connection)
    assert (old.generation.status, old.coverage, old.bytes) == ("dropped", None, 0)
