"""A change of the recipe fills a new generation, and search changes over when it is complete."""

from dataclasses import replace
from threading import Barrier, Thread
from uuid import UUID

import pytest

from ingestion_assets.store import chunks, embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import (
    Generation,
    Recipe,
    active,
    open_generation,
)
from ingestion_assets.store.generations.activation import activate_when_covered
from ingestion_assets_tests.store import rows

RECIPE = Recipe("m", "sha", 4, "d: ", "q: ", {"num_ctx": 256, "nested": {"b": 1, "a": 2}})


def _seen(connection: Connection) -> set[UUID]:
    return {i for (i,) in connection.execute("SELECT chunk_id FROM ingestion.embeddings")}


def _status(connection: Connection, generation: Generation) -> str:
    found = connection.execute(
        "SELECT status FROM ingestion.generations WHERE generation_id = %s",
        (generation.generation_id,),
    ).fetchone()
    assert found is not None
    return str(found[0])


def test_there_is_no_active_generation_at_first(connection):
    assert active(connection) is None


def test_the_first_generation_is_active_and_others_are_building(connection):
    first = open_generation(connection, RECIPE)
    second = open_generation(connection, replace(RECIPE, digest="other"))
    assert (first.status, second.status) == ("active", "building")
    assert active(connection) == first


def test_a_generation_carries_its_recipe(connection):
    generation = open_generation(connection, RECIPE)
    carried = Recipe(
        generation.model,
        generation.digest,
        generation.dimensions,
        generation.document_prefix,
        generation.query_prefix,
        generation.options,
    )
    assert carried == RECIPE
    assert carried.fingerprint == RECIPE.fingerprint


def test_the_same_recipe_is_the_same_generation(connection):
    first = open_generation(connection, RECIPE)
    again = replace(RECIPE, options={"nested": {"a": 2, "b": 1}, "num_ctx": 256})
    assert open_generation(connection, again) == first


@pytest.mark.parametrize(
    "change",
    [
        {"model": "n"},
        {"digest": "n"},
        {"dimensions": 5},
        {"document_prefix": ""},
        {"query_prefix": ""},
        {"options": {}},
    ],
)
def test_a_change_of_any_part_is_another_generation(connection, change):
    first = open_generation(connection, RECIPE)
    assert open_generation(connection, replace(RECIPE, **change)).name != first.name


def test_processes_that_open_a_recipe_at_once_get_one_generation(database):
    barrier, found = Barrier(4), []

    def work():
        with connect(database) as connection:
            barrier.wait()
            found.append(open_generation(connection, RECIPE))

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({generation.generation_id for generation in found}) == 1


def test_a_generation_becomes_active_when_every_chunk_is_covered(connection):
    first = rows.generation(connection, model="m")
    _, one = rows.store(connection, "a.md", ["one"])
    _, two = rows.store(connection, "b.md", ["two"], key="notes/01")
    rows.embed(connection, first, one)
    second = rows.generation(connection, dimensions=3, model="n")
    rows.embed(connection, second, one)
    assert not activate_when_covered(connection, second)
    assert _seen(connection) == {one[0].chunk_id}
    assert active(connection) == first
    rows.embed(connection, second, two)
    assert activate_when_covered(connection, second)
    assert (_status(connection, first), _status(connection, second)) == ("retired", "active")
    assert _seen(connection) == {one[0].chunk_id, two[0].chunk_id}
    row = connection.execute("SELECT vector_dims(embedding) FROM ingestion.embeddings").fetchone()
    assert row == (3,)


def test_a_vector_of_an_earlier_text_does_not_count(connection):
    rows.generation(connection, model="m")
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    second = rows.generation(connection, model="n")
    rows.embed(connection, second, [chunk])
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    assert not activate_when_covered(connection, second)


def test_superseded_chunks_vanish_when_a_generation_becomes_active(connection):
    first = rows.generation(connection, model="m")
    document, (old,) = rows.store(connection, "a.md", ["old"])
    rows.embed(connection, first, [old])
    second = rows.generation(connection, model="n")
    rows.embed(connection, second, [old])
    (new,) = rows.split(document, ["new"])
    chunks.write(connection, rows.batch(document, new=[new], gone=[old]))
    embeddings.finish(connection, second, rows.KEY)
    assert not activate_when_covered(connection, second)
    assert _seen(connection) == {old.chunk_id}
    rows.embed(connection, second, [new])
    assert activate_when_covered(connection, second)
    assert _seen(connection) == {new.chunk_id}
    assert connection.execute("SELECT count(*) FROM ingestion.chunks").fetchone() == (1,)


def test_going_back_to_an_earlier_recipe_embeds_only_the_difference(connection):
    first = rows.generation(connection, model="m")
    _, one = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, first, one)
    second = rows.generation(connection, model="n")
    rows.embed(connection, second, one)
    assert activate_when_covered(connection, second)
    _, two = rows.store(connection, "b.md", ["two"])
    rows.embed(connection, second, two)

    back = rows.generation(connection, model="m")
    assert (back.name, back.status) == (first.name, "building")
    assert not activate_when_covered(connection, back)
    assert [t.chunk_id for t in rows.missing(connection, back)] == [two[0].chunk_id]
    rows.embed(connection, back, two)
    assert activate_when_covered(connection, back)
    assert active(connection) == rows.generation(connection, model="m")
    assert (_status(connection, first), _status(connection, second)) == ("active", "retired")
    assert len(_seen(connection)) == 2


@pytest.mark.parametrize(
    ("dimensions", "kind"), [(384, "vector(384)"), (2000, "vector(2000)"), (2001, "halfvec(2001)")]
)
def test_wide_vectors_are_half_precision(connection, dimensions, kind):
    generation = rows.generation(connection, dimensions)
    row = connection.execute(
        "SELECT format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attname = 'embedding'",
        (f"ingestion.{generation.name}",),
    ).fetchone()
    assert row == (kind,)
