"""Vectors are dropped when their grace is over, and never those that are searched or filled."""

import pytest

from ingestion_assets.errors import GenerationError
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation, Plan, open_generation
from ingestion_assets.store.generations.activation import activate_when_covered
from ingestion_assets.store.generations.opening import heeds, reembed
from ingestion_assets.store.generations.retirement import drop, drop_expired
from ingestion_assets_tests.store import rows
from ingestion_assets_tests.store.generations.given import RECIPE, numbered


@pytest.fixture
def changed(connection: Connection) -> Generation:
    """The generation that was active before the present one."""
    first = rows.generation(connection)
    pieces = rows.store(connection, "a.md", ["one", "two"])[1]
    rows.embed(connection, first, pieces)
    second = reembed(connection, RECIPE, Plan(grace_days=1))
    rows.embed(connection, second, pieces)
    assert activate_when_covered(connection, second)
    rows.generation(connection, model="third")
    return first


def _pass(connection: Connection) -> None:
    """A day goes by."""
    connection.execute(
        "UPDATE ingestion.generations SET drop_after = drop_after - interval '1 day'"
    )


def _table(connection: Connection, generation: Generation) -> bool:
    row = connection.execute("SELECT to_regclass(%s)", (f"ingestion.{generation.name}",)).fetchone()
    return row != (None,)


def test_nothing_is_dropped_within_its_grace(connection, changed):
    assert drop_expired(connection) == []
    assert _table(connection, changed)


def test_what_is_past_its_grace_is_dropped_and_stays_known(connection, changed):
    _pass(connection)
    assert drop_expired(connection) == [1]
    assert not _table(connection, changed)
    assert [numbered(connection, n).status for n in (1, 2, 3)] == ["dropped", "active", "building"]
    assert drop_expired(connection) == []
    left = connection.execute("SELECT DISTINCT generation_id FROM ingestion.ledger").fetchall()
    assert left == [(3,)]


def test_past_its_grace_it_is_not_filled_any_more(connection, changed):
    _pass(connection)
    rows.store(connection, "b.md", ["later"])
    waiting = connection.execute("SELECT DISTINCT generation_id FROM ingestion.ledger ORDER BY 1")
    assert waiting.fetchall() == [(2,), (3,)]


def test_one_that_is_building_can_be_given_up_and_the_active_one_not(connection, changed):
    drop(connection, numbered(connection, 3))
    assert numbered(connection, 3).status == "dropped"
    with pytest.raises(GenerationError, match="generation 2 is active"):
        drop(connection, numbered(connection, 2))


def test_a_dropped_one_can_be_filled_again(connection, changed):
    drop(connection, changed)
    again = rows.generation(connection)
    assert (again.generation_id, again.status) == (1, "building")
    assert len(rows.missing(connection, again)) == 2


def test_a_process_with_the_old_settings_opens_nothing(connection, changed):
    assert not heeds(connection, "m")  # retired
    drop(connection, changed)
    assert not heeds(connection, "m")  # dropped
    assert not heeds(connection, "n")  # chosen by an operator
    assert heeds(connection, "never seen")


def test_the_settings_are_heeded_where_nobody_has_chosen(connection):
    assert heeds(connection, "m")
    open_generation(connection, RECIPE)
    assert heeds(connection, "n")  # it may have been pulled anew
