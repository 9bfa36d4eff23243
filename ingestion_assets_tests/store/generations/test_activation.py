"""A generation becomes active when its plan is met, and the one before can be gone back to."""

from dataclasses import replace
from threading import Thread

import pytest
from psycopg.types.json import Jsonb

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.errors import GenerationError, LaggingError, StoreUnavailableError
from ingestion_assets.store import chunks, index
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import (
    Generation,
    Plan,
    activation,
    filled,
)
from ingestion_assets.store.generations.activation import (
    Standing,
    activate,
    activate_when_covered,
    rollback,
    standing,
)
from ingestion_assets.store.generations.opening import reembed
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.store.generations.given import RECIPE, numbered, quarantine, searched


@pytest.fixture
def pieces(connection: Connection) -> list[Chunk]:
    """Two hundred texts that are embedded in the active generation."""
    first = rows.generation(connection)
    pieces = rows.store(connection, "a.md", [f"text {n}" for n in range(200)])[1]
    rows.embed(connection, first, pieces)
    return pieces


def _second(connection: Connection, golden=None, **plan) -> Generation:
    return reembed(connection, RECIPE, Plan(**plan), golden)


def test_what_search_finds_must_be_there_in_it(connection, pieces):
    second = _second(connection)
    rows.embed(connection, second, pieces[1:])  # over 99 %, but one would be lost
    assert standing(connection, second) is Standing.WAITING
    rows.embed(connection, second, pieces[:1])
    assert standing(connection, second) is Standing.READY


def test_texts_that_wait_in_both_do_not_hold_it_up(connection, pieces):
    second = _second(connection)
    rows.embed(connection, second, pieces)
    rows.store(connection, "b.md", ["just came"])
    assert activate_when_covered(connection, second)


def test_one_that_is_hardly_filled_is_not_active_because_the_other_is_not_either(connection):
    first = rows.generation(connection)
    pieces = rows.store(connection, "a.md", ["one", "two", "three"])[1]
    rows.embed(connection, first, pieces[:1])
    second = _second(connection)
    rows.embed(connection, second, pieces[:1])
    assert not activate_when_covered(connection, second)


def test_a_lower_threshold_is_enough_where_it_was_asked_for(connection, pieces):
    second = _second(connection, coverage=0.5)
    rows.embed(connection, second, pieces[:99])
    assert not activate_when_covered(connection, second)
    rows.embed(connection, second, pieces[:100])
    assert activate_when_covered(connection, second)


def test_a_text_in_quarantine_is_not_waited_for(connection, pieces):
    second = _second(connection)
    rows.embed(connection, second, pieces[1:])
    quarantine(connection, second, pieces[0])
    assert activate_when_covered(connection, second)


def test_a_model_that_can_embed_nothing_is_never_searched(connection):
    rows.generation(connection)
    pieces = rows.store(connection, "a.md", ["one"])[1]
    second = _second(connection)
    quarantine(connection, second, pieces[0])
    assert standing(connection, second) is Standing.WAITING
    with pytest.raises(GenerationError, match="vectors of 0 of 1 texts"):
        activate(connection, second)


def test_it_needs_an_index_where_the_active_one_has_one(connection, pieces):
    first = searched(connection)
    index.build_vector_index(connection, first)
    second = _second(connection)
    rows.embed(connection, second, pieces)
    assert standing(connection, second) is Standing.UNINDEXED
    index.build_vector_index(connection, second)
    assert standing(connection, second) is Standing.READY


def test_it_needs_an_index_where_exact_search_is_slow(connection, pieces, monkeypatch):
    second = _second(connection)
    rows.embed(connection, second, pieces)
    monkeypatch.setattr(activation, "INDEX_FROM", 199)
    assert standing(connection, second) is Standing.UNINDEXED


def test_golden_questions_are_asked_and_a_failure_is_for_the_operator(connection, pieces):
    second = _second(connection, [{"query": "q", "uris": ["a.md"]}])
    rows.embed(connection, second, pieces)
    assert standing(connection, second) is Standing.UNGATED
    connection.execute(
        "UPDATE ingestion.generations SET gate = %s WHERE generation_id = 2",
        (Jsonb({"passed": False}),),
    )
    assert standing(connection, second) is Standing.REFUSED
    assert not activate_when_covered(connection, second)
    with pytest.raises(GenerationError, match=r"golden questions.*--force"):
        activate(connection, second)
    activate(connection, second, force=True)
    assert searched(connection).generation_id == 2


def test_without_activation_it_waits_for_the_operator(connection, pieces):
    second = _second(connection, activate=False)
    rows.embed(connection, second, pieces)
    assert not activate_when_covered(connection, second)
    assert standing(connection, second) is Standing.HELD
    activate(connection, second)
    assert searched(connection).generation_id == 2


def test_an_operator_is_told_how_many_texts_are_missing(connection, pieces):
    second = _second(connection, activate=False)
    rows.embed(connection, second, pieces[:50])
    with pytest.raises(GenerationError, match="of 50 of 200 texts; 150 wait"):
        activate(connection, second)


def test_a_text_that_has_just_come_is_waited_for_a_moment(connection, pieces, monkeypatch):
    second = _second(connection, activate=False)
    rows.embed(connection, second, pieces[1:])
    monkeypatch.setattr(activation, "_MOMENT", 0.0)
    with pytest.raises(LaggingError, match="--force") as caught:
        activate(connection, second)
    assert caught.value.retryable
    assert searched(connection).generation_id == 1
    activate(connection, second, force=True)
    assert searched(connection).generation_id == 2


def test_the_last_one_is_kept_complete_and_gone_back_to(connection, pieces):
    second = _second(connection)
    rows.embed(connection, second, pieces)
    assert activate_when_covered(connection, second)
    later = rows.store(connection, "b.md", ["later"])[1]
    for generation in filled(connection):
        rows.embed(connection, generation, later)
    first = rollback(connection)
    activate(connection, first)
    assert searched(connection).generation_id == first.generation_id == 1
    assert {i for (i,) in connection.execute("SELECT chunk_id FROM ingestion.embeddings")} == {
        chunk.chunk_id for chunk in [*pieces, *later]
    }
    assert rollback(connection).generation_id == 2  # and forth


def test_going_back_loses_nothing_that_was_written_since(connection, pieces, monkeypatch):
    second = _second(connection)
    rows.embed(connection, second, pieces)
    assert activate_when_covered(connection, second)
    later = rows.store(connection, "b.md", ["later"])[1]
    rows.embed(connection, second, later)
    monkeypatch.setattr(activation, "_MOMENT", 0.0)
    with pytest.raises(LaggingError):
        activate(connection, rollback(connection))


def test_without_grace_nothing_is_kept(connection, pieces):
    second = _second(connection, grace_days=0)
    rows.embed(connection, second, pieces)
    assert activate_when_covered(connection, second)
    assert filled(connection) == [searched(connection)]
    with pytest.raises(GenerationError, match="no generation is kept"):
        rollback(connection)


def test_a_change_gives_up_rather_than_let_writers_wait(database, connection, pieces):
    second = _second(connection)
    rows.embed(connection, second, pieces)
    with connect(database) as writer, writer.transaction(force_rollback=True):
        writer.execute("LOCK TABLE ingestion.embeddings_1 IN ROW EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailableError, match="try again"):
            activate(connection, second)
        assert not activate_when_covered(connection, second)
    assert activate_when_covered(connection, second)


def test_processes_that_complete_it_at_once_change_over_once(database, connection, pieces):
    second = _second(connection)
    rows.embed(connection, second, pieces)
    done = []

    def complete() -> None:
        with connect(database) as own:
            done.append(activate_when_covered(own, second))

    threads = [Thread(target=complete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [True] * 4
    assert numbered(connection, 1).status == "retired"


def test_an_edited_text_is_lost_until_it_is_embedded_anew(connection):
    first = rows.generation(connection)
    document, (old,) = rows.store(connection, "a.md", ["old"])
    rows.embed(connection, first, [old])
    second = _second(connection)
    rows.embed(connection, second, [old])
    changed = replace(old, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    rows.embed(connection, first, [changed])
    assert standing(connection, second) is Standing.WAITING
