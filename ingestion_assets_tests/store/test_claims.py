"""A chunk that waits has one owner at a time, and none that waits is ever left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import psycopg
import pytest

from ingestion_assets.changes import Changes, Text
from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.errors import OllamaUnavailableError, PoisonTextError
from ingestion_assets.store import chunks, claims, documents, embeddings, ledger, sources
from ingestion_assets.store.claims import Depth, Left
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.generations.activation import activate_when_covered
from ingestion_assets.store.ledger import Failed
from ingestion_assets.store.writers import EmbeddingsWriter
from ingestion_assets_tests.store import rows

POISON = PoisonTextError("http://o:1", "NaN")
DOWN = OllamaUnavailableError("http://o:1", "refused")

HOLD = """
import sys, time
from ingestion_assets.store import claims
from ingestion_assets.store.connection import connect
from ingestion_assets_tests.store import rows

with connect(sys.argv[1]) as connection:
    claimed = claims.claim(
        connection, rows.generation(connection), "worker", limit=3, lease=float(sys.argv[2]))
    print(len(claimed), flush=True)
    time.sleep(600)
"""


def _texts(n: int) -> list[str]:
    return [f"text {i}" for i in range(n)]


def _claim(
    connection: Connection, generation: Generation, owner: str = "a", limit: int = 100
) -> set[UUID]:
    claimed = claims.claim(connection, generation, owner, limit=limit)
    return {text.chunk_id for text in claimed}


def _ids(pieces: list[Chunk] | list[Text]) -> set[UUID]:
    return {piece.chunk_id for piece in pieces}


def _row(connection: Connection, columns: str) -> tuple[Any, ...]:
    [row] = connection.execute(f"SELECT {columns} FROM ingestion.ledger").fetchall()
    return row


def _changed(chunk: Chunk, hashed: bytes = b"h" * 16) -> Chunk:
    return replace(chunk, content_hash=hashed)


def _pass(connection: Connection) -> None:
    """Let the time come at which what failed is tried again."""
    connection.execute("UPDATE ingestion.ledger SET not_before = now()")


@contextmanager
def _listening(database: str) -> Iterator[list[str]]:
    """The channels of what is notified in the block, in order; complete after it."""
    heard: list[str] = []
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute(f"LISTEN {claims.CHANNEL}")
        yield heard
        listener.execute("NOTIFY ingestion_ledger, 'end'")
        for notification in listener.notifies(timeout=10):
            if notification.payload == "end":
                return
            heard.append(notification.channel)


# What is enqueued


def test_new_chunks_are_enqueued_in_every_generation_in_use(connection):
    old = rows.generation(connection, model="old")
    _, (one,) = rows.store(connection, "a.md", ["one"])
    new = rows.generation(connection, model="new")
    rows.embed(connection, new, [one])
    assert activate_when_covered(connection, new)
    building = rows.generation(connection, model="next")
    _, (two,) = rows.store(connection, "b.md", ["two"])
    assert [_claim(connection, g) for g in (old, new, building)] == [
        {one.chunk_id, two.chunk_id},  # kept complete, to go back to
        {two.chunk_id},
        {one.chunk_id, two.chunk_id},
    ]


def test_a_statement_that_enqueues_is_notified_once_and_others_are_not(database, connection):
    rows.generation(connection)
    with _listening(database) as heard:
        document, pieces = rows.store(connection, "a.md", _texts(50))
        moved = [replace(chunk, ordinal=chunk.ordinal + 1) for chunk in pieces]
        chunks.write(connection, rows.batch(document, moved=moved))
    assert heard == [claims.CHANNEL]


def test_a_rolled_back_chunk_is_neither_enqueued_nor_notified(database, connection):
    generation = rows.generation(connection)
    with _listening(database) as heard, connection.transaction(force_rollback=True):
        rows.store(connection, "a.md", ["one"])
    assert heard == []
    assert claims.depth(connection, generation).pending == 0


def test_a_chunk_that_only_moves_is_not_enqueued_again(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, generation, [chunk])
    chunks.write(connection, rows.batch(document, moved=[replace(chunk, ordinal=7)]))
    assert _claim(connection, generation) == set()


def test_a_changed_text_starts_anew(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    claims.claim(connection, generation, "a", limit=1)
    ledger.record(connection, generation, [Failed(*_named(chunk), "E", "why", quarantined=True)])
    chunks.write(connection, rows.batch(document, moved=[_changed(chunk)]))
    columns = "content_hash, state, quarantined, attempts, error_class, error, owner, not_before"
    assert _row(connection, columns) == (b"h" * 16, "pending", False, 0, None, None, None, None)


def test_a_superseded_chunk_leaves_the_queue_and_comes_back_with_its_text(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    chunks.write(connection, rows.batch(document, gone=[chunk]))
    assert _claim(connection, generation) == set()
    chunks.write(connection, rows.batch(document, new=[chunk]))
    assert _claim(connection, generation) == {chunk.chunk_id}


def test_a_chunk_that_comes_back_to_its_vector_needs_no_embedding(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, generation, [chunk])
    chunks.write(connection, rows.batch(document, gone=[chunk]))
    chunks.write(connection, rows.batch(document, new=[chunk]))
    status = connection.execute("SELECT state FROM ingestion.chunk_status").fetchall()
    assert status == [("completed",)]
    assert _claim(connection, generation) == set()
    assert claims.depth(connection, generation) == Depth(0, 0, 0, 0, 0.0)


def test_a_deleted_document_leaves_nothing_to_embed(connection):
    generation = rows.generation(connection)
    document, _ = rows.store(connection, "a.md", _texts(3))
    documents.write(connection, Changes(gone=[document.document_id]))
    assert _claim(connection, generation) == set()


def test_a_new_generation_enqueues_what_is_there_without_superseded_chunks(database, connection):
    document, (one, two) = rows.store(connection, "a.md", ["one", "two"])
    chunks.write(connection, rows.batch(document, gone=[two]))
    with _listening(database) as heard:
        generation = rows.generation(connection)
    assert heard == [claims.CHANNEL]
    assert _claim(connection, generation) == {one.chunk_id}


@pytest.mark.parametrize("retired", [False, True])
def test_no_chunk_slips_in_while_a_generation_is_opened(database, connection, retired):
    _, first = rows.store(connection, "a.md", ["one"])
    if retired:
        rows.embed(connection, rows.generation(connection), first)
        other = rows.generation(connection, model="other")
        rows.embed(connection, other, first)
        assert activate_when_covered(connection, other)
    opened: list[Generation] = []

    def open_generation() -> None:
        with connect(database) as own:
            opened.append(rows.generation(own))

    opening = threading.Thread(target=open_generation)
    with connection.transaction():
        _, late = rows.store(connection, "b.md", ["two"])
        opening.start()
        rows.wait_until_blocked(database)
    opening.join()
    assert _claim(connection, opened[0]) == (_ids(late) if retired else _ids(first + late))


def test_what_a_trigger_missed_is_enqueued_by_the_next_run(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", ["one", "two"])
    rows.store(connection, "b.md", ["elsewhere"], key="notes/01")
    rows.embed(connection, generation, pieces[:1])
    connection.execute("DELETE FROM ingestion.ledger")
    assert ledger.enqueue_missing(connection, generation, rows.KEY) == 1
    assert _claim(connection, generation) == {pieces[1].chunk_id}
    assert ledger.enqueue_missing(connection, generation, rows.KEY) == 0


# What is claimed


def test_a_claimed_text_is_what_its_hash_names(connection):
    generation = replace(rows.generation(connection), document_prefix="passage: ")
    document, _ = rows.store(connection, "a.md", [])
    (chunk,) = rows.split(document, ["body"], heading="A > B")
    chunks.write(connection, rows.batch(document, new=[chunk]))
    [text] = claims.claim(connection, generation, "a", limit=1)
    assert text == Text(chunk.chunk_id, chunk.content_hash, "passage: A > B\n\nbody", 1)


@pytest.mark.parametrize("prefix", ["own: ", ""])
def test_the_instruction_of_a_source_takes_the_place_of_the_generations(connection, prefix):
    generation = replace(rows.generation(connection), document_prefix="passage: ")
    rows.store(connection, "a.md", ["body"])
    sources.register(connection, "notes", "files", 1, {"prefix": prefix})
    [text] = rows.missing(connection, generation)
    assert text.text == f"{prefix}body"


def test_what_has_waited_longest_is_claimed_first(connection):
    generation = rows.generation(connection)
    _, late = rows.store(connection, "a.md", _texts(5))
    _, early = rows.store(connection, "b.md", ["early"])
    connection.execute(
        "UPDATE ingestion.ledger SET enqueued_at = now() - interval '1 h' WHERE chunk_id = %s",
        (early[0].chunk_id,),
    )
    assert _claim(connection, generation, limit=1) == _ids(early)
    assert _claim(connection, generation, limit=9) == _ids(late)


def test_a_claimed_chunk_is_nobody_elses(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(5))
    first = _claim(connection, generation, "a", limit=2)
    second = _claim(connection, generation, "b")
    assert (len(first), len(second)) == (2, 3)
    assert first | second == _ids(pieces)
    assert _claim(connection, generation, "c") == set()
    assert rows.missing(connection, generation) == []


def test_a_claim_waits_for_no_other(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(4))
    with connect(database) as other, other.transaction():
        first = _claim(other, generation, "a", limit=2)
        second = _claim(connection, generation, "b")
    assert first | second == _ids(pieces)
    assert not first & second


def test_a_lease_that_ended_frees_what_it_held(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(2))
    claims.claim(connection, generation, "a", limit=2, lease=0)
    assert _claim(connection, generation, "b") == _ids(pieces)
    assert connection.execute(
        "SELECT DISTINCT owner, attempts FROM ingestion.ledger"
    ).fetchall() == [("b", 2)]


def test_a_renewed_lease_holds_what_was_claimed_before(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(2))
    claims.claim(connection, generation, "a", limit=2, lease=0)
    claims.renew(connection, "a")
    assert _claim(connection, generation, "b") == set()
    claims.renew(connection, "a", lease=0)
    assert _claim(connection, generation, "b") == _ids(pieces)


def test_a_claim_holds_for_who_cannot_see_its_owner_yet(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", _texts(2))
    assert len(_claim(connection, generation, "a")) == 2
    connection.execute("DELETE FROM ingestion.owners")  # as in an older snapshot
    assert _claim(connection, generation, "b") == set()


def test_what_is_given_back_is_as_it_was(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(3))
    ours = _claim(connection, generation, "a", limit=2)
    theirs = _claim(connection, generation, "b")
    with _listening(database) as heard:
        assert claims.release(connection, "a") == 2
        assert claims.release(connection, "a") == 0
    assert heard == [claims.CHANNEL]
    states = connection.execute(
        "SELECT chunk_id, state, attempts, owner, lease_until IS NULL FROM ingestion.ledger"
    ).fetchall()
    assert sorted(states) == sorted(
        [(i, "pending", 0, None, True) for i in ours]
        + [(i, "processing", 1, "b", False) for i in theirs]
    )
    assert ours | theirs == _ids(pieces)


def test_a_failure_that_is_given_back_is_still_a_failure(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["one"])
    _fail(connection, generation, DOWN)
    _pass(connection)
    assert len(_claim(connection, generation)) == 1
    claims.release(connection, "a")
    assert _row(connection, "state, attempts, error_class") == (
        "error", 1, "OllamaUnavailableError",
    )  # fmt: skip


def test_owners_that_ended_are_forgotten(connection):
    for owner in ("live", "idle", "dead"):
        claims.renew(connection, owner)
    connection.execute(
        "UPDATE ingestion.owners SET lease_until = now() - interval '2 days' WHERE owner = 'dead'"
    )
    claims.release(connection, "idle")
    assert connection.execute("SELECT owner FROM ingestion.owners").fetchall() == [("live",)]


def test_a_text_that_failed_in_passing_waits_longer_each_time(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["one"])
    for attempt in range(1, 4):
        _fail(connection, generation, DOWN)
        assert _claim(connection, generation) == set()
        attempts, wait = _row(
            connection, "attempts, extract(epoch FROM not_before - failed_at)::float"
        )
        assert attempts == attempt
        assert 0 <= wait <= 5 * 2**attempt + 1
        _pass(connection)
    assert len(_claim(connection, generation)) == 1


def test_nothing_waits_more_than_an_hour(connection):
    row = connection.execute(
        "SELECT max(extract(epoch FROM ingestion.retry_at(a) - now()))"
        " FROM generate_series(1, 2000) a"
    ).fetchone()
    assert row is not None
    assert 3000 < row[0] < 3601


def test_what_is_quarantined_or_waits_for_its_time_is_not_in_the_way(connection):
    generation = rows.generation(connection)
    _, first = rows.store(connection, "a.md", _texts(2000))
    claims.claim(connection, generation, "a", limit=2000)
    for error, part in ((POISON, first[:1000]), (DOWN, first[1000:])):
        ledger.record(connection, generation, [Failed.of(_text(c), error) for c in part])
    connection.execute("UPDATE ingestion.ledger SET not_before = now() + interval '1 h'")
    _, (late,) = rows.store(connection, "b.md", ["late"])
    connection.execute("ANALYZE ingestion.ledger")
    with connection.transaction():
        before = _read(connection, "ledger")
        assert _claim(connection, generation) == {late.chunk_id}
        assert _read(connection, "ledger") - before < 100


def test_only_a_retry_takes_what_is_quarantined(connection):
    generation = rows.generation(connection)
    _, (chunk,) = rows.store(connection, "a.md", ["one"])
    _fail(connection, generation, POISON)
    assert _claim(connection, generation) == set()
    assert rows.missing(connection, generation) == []
    assert _ids(rows.missing(connection, generation, only_failed=True)) == {chunk.chunk_id}


# Equal texts


def test_of_equal_texts_one_is_embedded_and_the_others_get_copies(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["same"] * 5 + ["other"])
    first = claims.claim(connection, generation, "a", limit=6)
    assert sorted(text.text for text in first) == ["other", "same"]
    claims.complete(connection, generation, rows.vectors(first))
    assert claims.claim(connection, generation, "a", limit=2) == []
    assert claims.depth(connection, generation) == Depth(0, 0, 0, 0, 0.0)
    assert embeddings.coverage(connection, generation, rows.KEY).embedded == 6
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_an_equal_text_shares_the_quarantine(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["poison", "poison"])
    _fail(connection, generation, POISON)
    assert _claim(connection, generation) == set()
    assert claims.depth(connection, generation).quarantined == 2


def test_a_copy_completes_a_document_too(connection):
    generation = rows.generation(connection)
    _, known = rows.store(connection, "a.md", ["known"])
    document, old = rows.store(connection, "b.md", ["old"])
    rows.embed(connection, generation, known + old)
    new = rows.split(document, ["known"])
    chunks.write(connection, rows.batch(document, new=new, gone=old))
    assert _claim(connection, generation) == set()
    assert set(rows.stored_vectors(connection, generation)) == _ids(known + new)


# What becomes of it


def test_a_vector_completes_its_chunk(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", _texts(3))
    claimed = claims.claim(connection, generation, "a", limit=3)
    assert claims.complete(connection, generation, rows.vectors(claimed)) == 3
    assert claims.depth(connection, generation) == Depth(0, 0, 0, 0, 0.0)
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_the_last_vector_of_a_document_drops_what_it_replaces(connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["one", "two"])
    _, other = rows.store(connection, "b.md", ["unembedded"])
    rows.embed(connection, generation, old)
    new = rows.split(document, ["ONE", "TWO"])
    chunks.write(connection, rows.batch(document, new=new, gone=old))
    claims.complete(connection, generation, rows.vectors(new[:1]))
    assert _ids(old) <= set(rows.stored_vectors(connection, generation))
    claims.complete(connection, generation, rows.vectors(new[1:]))
    assert set(rows.stored_vectors(connection, generation)) == _ids(new)
    assert _claim(connection, generation) == _ids(other)


def test_a_quarantine_too_drops_what_it_replaces(connection):
    generation = rows.generation(connection)
    document, old = rows.store(connection, "a.md", ["one"])
    rows.embed(connection, generation, old)
    new = rows.split(document, ["poison"])
    chunks.write(connection, rows.batch(document, new=new, gone=old))
    claims.fail(connection, generation, [Failed.of(_text(new[0]), DOWN)])
    assert set(rows.stored_vectors(connection, generation)) == _ids(old)
    assert claims.fail(connection, generation, [Failed.of(_text(new[0]), POISON)]) == 1
    assert rows.stored_vectors(connection, generation) == {}


def test_a_zombie_that_completes_late_does_no_harm(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["one"])
    late = claims.claim(connection, generation, "zombie", limit=1, lease=0)
    again = claims.claim(connection, generation, "b", limit=1)
    assert late == again
    assert claims.complete(connection, generation, rows.vectors(again)) == 1
    assert claims.complete(connection, generation, rows.vectors(late)) == 1
    claims.fail(connection, generation, [Failed.of(late[0], DOWN)])
    assert claims.depth(connection, generation) == Depth(0, 0, 0, 0, 0.0)
    assert len(rows.stored_vectors(connection, generation)) == 1


def test_two_writers_of_one_chunk_do_not_collide(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(20))
    barrier, stored = threading.Barrier(4), []

    def write() -> None:
        with connect(database) as other:
            for _ in range(10):
                barrier.wait(20)
                stored.append(rows.embed(other, generation, Random(0).sample(pieces, 20)))

    _run(write, 4)
    assert stored == [20] * 40
    assert len(rows.stored_vectors(connection, generation)) == 20


def test_the_depth_tells_states_apart_and_the_oldest(connection):
    generation = rows.generation(connection)
    assert claims.depth(connection, generation) == Depth(0, 0, 0, 0, 0.0)
    _, pieces = rows.store(connection, "a.md", _texts(10))
    claims.claim(connection, generation, "a", limit=6)
    held = connection.execute(
        "SELECT chunk_id FROM ingestion.ledger WHERE state = 'processing'"
    ).fetchall()
    texts = [_text(c) for c in pieces if (c.chunk_id,) in held]
    claims.fail(connection, generation, [Failed.of(text, POISON) for text in texts[:3]])
    claims.fail(connection, generation, [Failed.of(text, DOWN) for text in texts[3:5]])
    connection.execute("UPDATE ingestion.ledger SET enqueued_at = now() - interval '90 s'")
    depth = claims.depth(connection, generation)
    assert (depth.pending, depth.processing, depth.failed, depth.quarantined) == (4, 1, 2, 3)
    assert 90 <= depth.oldest_seconds < 150


# A partition's run


def test_only_what_waits_in_the_partition_is_read(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(4))
    rows.store(connection, "b.md", ["elsewhere"], key="notes/01")
    rows.embed(connection, generation, pieces[:2])
    assert _ids(rows.missing(connection, generation)) == _ids(pieces[2:])


def test_no_page_is_skipped_or_repeated_while_vectors_are_written(database, connection):
    generation = rows.generation(connection)
    expected = set()
    for n in range(25):
        _, pieces = rows.store(connection, f"{n}.md", [f"{n}: {text}" for text in _texts(100)])
        expected |= _ids(pieces)
    seen = []
    for page in claims.pages(lambda: connect(database), generation, rows.KEY):
        seen += [text.chunk_id for text in page]
        embeddings.write(connection, generation, rows.vectors(page[: len(page) // 2]))
    assert len(seen) == 2500
    assert set(seen) == expected
    assert seen == sorted(seen)


def test_a_page_reads_its_own_rows_and_not_the_rest_of_the_partition(connection):
    generation = rows.generation(connection)
    for n in range(2):
        rows.store(connection, f"{n}.md", [f"{n} {text}" for text in _texts(3000)])
    with connection.transaction():
        before = _read(connection, "chunks"), _read(connection, "ledger")
        next(claims.pages(lambda: nullcontext(connection), generation, rows.KEY))
        assert _read(connection, "chunks") - before[0] < 3100
        assert _read(connection, "ledger") - before[1] < 3100


def test_a_text_that_fails_again_is_tried_once_in_a_run(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(3))
    _fail(connection, generation, DOWN)
    seen = []
    for page in claims.pages(lambda: connect(database), generation, rows.KEY):
        seen += page
        ledger.record(connection, generation, [Failed.of(text, DOWN) for text in page])
    assert _ids(seen) == _ids(pieces)
    assert len(seen) == 3


def test_a_run_takes_over_at_once_what_a_killed_one_had_claimed(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(5))
    next(claims.pages(lambda: connect(database), generation, rows.KEY))
    assert rows.missing(connection, generation) == []
    EmbeddingsWriter(connection, rows.KEY, generation).begin()
    assert _ids(rows.missing(connection, generation)) == _ids(pieces)


def test_a_run_leaves_workers_and_other_partitions_alone(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(5))
    rows.store(connection, "b.md", ["elsewhere"], key="notes/01")
    next(claims.pages(lambda: connect(database), generation, "notes/01"))
    held = _claim(connection, generation, "worker", limit=2)
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    writer.begin()
    assert _ids(rows.missing(connection, generation)) == _ids(pieces) - held
    assert writer.left() == Left(in_hand=2, pending=3)
    writer.give_up(DOWN)
    assert claims.depth(connection, generation).processing == 3
    claims.release(connection, "worker")
    assert writer.left() == Left(in_hand=0, pending=2)


# Death and races


def test_what_a_killed_owner_held_comes_back_when_its_lease_ends(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", _texts(3))
    command = [sys.executable, "-c", HOLD, database, "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "3\n"
        os.kill(process.pid, signal.SIGKILL)
    assert _claim(connection, generation, "b") == set()
    deadline = time.monotonic() + 30
    while not (back := _claim(connection, generation, "b")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert back == _ids(pieces)


def test_claimers_and_a_writer_at_once_leave_every_text_with_its_vector_and_no_chunk_taken_twice(
    database, connection
):
    generation = rows.generation(connection)
    held: Counter[tuple[UUID, bytes]] = Counter()
    guard, done = threading.Lock(), threading.Event()
    wrong: list[tuple[UUID, bytes]] = []

    def take(owner: str) -> None:
        with connect(database) as own:
            while not (done.is_set() and claims.depth(own, generation) == Depth(0, 0, 0, 0, 0.0)):
                texts = claims.claim(own, generation, owner, limit=7)
                with guard:
                    held.update(_named(text) for text in texts)
                    wrong.extend(name for name in map(_named, texts) if held[name] > 1)
                claims.complete(own, generation, rows.vectors(texts))
                with guard:
                    held.subtract(_named(text) for text in texts)
                if not texts:
                    time.sleep(0.01)

    claimers = [threading.Thread(target=take, args=(f"w{i}",)) for i in range(4)]
    for claimer in claimers:
        claimer.start()
    try:
        _scribble(connection, 150)
    finally:
        done.set()
        for claimer in claimers:
            claimer.join()
    assert wrong == []
    coverage = embeddings.coverage(connection, generation, rows.KEY)
    assert coverage.chunks == coverage.embedded > 60
    assert rows.every_vector_belongs_to_its_text(connection, generation)
    left = connection.execute("SELECT FROM ingestion.chunks WHERE superseded").fetchall()
    assert left == []


def _scribble(connection: Connection, edits: int) -> None:
    """Insert documents, edit them and delete them, as a run does and more often."""
    random = Random(0)
    stored = [rows.store(connection, f"{n}.md", [f"{n}.{i}" for i in range(6)]) for n in range(12)]
    for edit in range(edits):
        n = random.randrange(len(stored))
        document, old = stored[n]
        if random.random() < 0.15:
            documents.write(connection, Changes(gone=[document.document_id]))
            stored[n] = rows.store(
                connection, f"{n}-{edit}.md", [f"{edit % 9} {i}" for i in range(6)]
            )
            continue
        texts = [chunk.text for chunk in old]
        texts[random.randrange(len(texts))] = f"edit {edit}"
        random.shuffle(texts)
        new = rows.split(document, texts)
        kept = _ids(new) & _ids(old)
        chunks.write(
            connection,
            rows.batch(
                document,
                new=[c for c in new if c.chunk_id not in kept],
                moved=[c for c in new if c.chunk_id in kept],
                gone=[c for c in old if c.chunk_id not in kept],
            ),
        )
        stored[n] = document, new


def _named(text: Text | Chunk) -> tuple[UUID, bytes]:
    return text.chunk_id, text.content_hash


def _text(chunk: Chunk) -> Text:
    return Text(chunk.chunk_id, chunk.content_hash, chunk.text, chunk.tokens)


def _fail(connection: Connection, generation: Generation, error: Any) -> None:
    """Let all that can be claimed fail."""
    texts = claims.claim(connection, generation, "a", limit=100)
    claims.fail(connection, generation, [Failed.of(text, error) for text in texts])


def _read(connection: Connection, table: str) -> int:
    """Rows of a table that this session has looked at, in the transaction and shortly before."""
    row = connection.execute(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables"
        " WHERE relid = ('ingestion.' || %s)::regclass",
        (table,),
    ).fetchone()
    return int(row[0]) if row else 0


def _run(work: Any, n: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
