"""Every chunk has its vector or one row that says why not, and a bad text is not sent again."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from ingestion_assets.changes import Changes, Text
from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.errors import OllamaUnavailableError, PoisonTextError, TextTooLongError
from ingestion_assets.store import chunks, claims, documents, embeddings, ledger
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.embeddings import Coverage
from ingestion_assets.store.generations.activation import activate_when_covered
from ingestion_assets.store.ledger import Failed
from ingestion_assets.store.writers import EmbeddingsWriter
from ingestion_assets_tests.store import rows

POISON = PoisonTextError("http://o:1", "NaN")
DOWN = OllamaUnavailableError("http://o:1", "refused")

DIE_BEFORE_THE_LEDGER = """
import sys, time
from ingestion_assets.store.connection import connect
from ingestion_assets.store.writers import EmbeddingsWriter
from ingestion_assets_tests.store import rows

with connect(sys.argv[1]) as connection:
    generation = rows.generation(connection)
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    writer.begin()
    good = [t for t in rows.missing(connection, generation) if t.text != "poison"]
    writer.write(rows.vectors(good))
    print("committed", flush=True)
    time.sleep(600)
"""


def _poisoned(*pieces: Chunk | Text) -> list[Failed]:
    return [
        Failed(p.chunk_id, p.content_hash, "PoisonTextError", "NaN", quarantined=True)
        for p in pieces
    ]


def _failed(*pieces: Chunk) -> list[Failed]:
    return [
        Failed(p.chunk_id, p.content_hash, "OllamaUnavailableError", "refused", quarantined=False)
        for p in pieces
    ]


def _rows(connection: Connection, columns: str) -> list[Any]:
    return connection.execute(
        f"SELECT {columns} FROM ingestion.ledger ORDER BY chunk_id, generation_id"
    ).fetchall()


def _errors(connection: Connection, columns: str) -> list[Any]:
    return connection.execute(
        f"SELECT {columns} FROM ingestion.ledger WHERE state = 'error' ORDER BY chunk_id"
    ).fetchall()


def _states(connection: Connection) -> dict[UUID, str]:
    found = connection.execute("SELECT chunk_id, state FROM ingestion.chunk_status").fetchall()
    assert len(dict(found)) == len(found)
    return dict(found)


def _ids(texts: Sequence[Text | Chunk]) -> set[UUID]:
    return {text.chunk_id for text in texts}


def test_a_failure_says_what_failed_and_why(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["one"])
    (text,) = rows.missing(connection, generation)
    assert ledger.record(connection, generation, [Failed.of(text, POISON)]) == 1
    assert _rows(connection, "chunk_id, content_hash, state, attempts, error_class, error") == [
        (text.chunk_id, text.content_hash, "error", 1, "PoisonTextError", str(POISON))
    ]


@pytest.mark.parametrize(
    ("error", "quarantined"),
    [(POISON, True), (TextTooLongError("http://o:1", "long"), True), (DOWN, False)],
)
def test_only_errors_of_the_content_quarantine(error, quarantined):
    text = Text(UUID(int=1), b"h" * 16, "one", 1)
    assert Failed.of(text, error).quarantined is quarantined


def test_attempts_are_counted_for_each_text(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    for _ in range(3):
        ledger.record(connection, generation, _failed(chunk))
    assert _rows(connection, "attempts") == [(3,)]
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    ledger.record(connection, generation, _poisoned(changed))
    assert _rows(connection, "attempts, content_hash, quarantined") == [(1, b"h" * 16, True)]


def test_nothing_is_recorded_of_a_text_that_changed_went_or_is_embedded(connection):
    generation = rows.generation(connection)
    document, (changed, embedded) = rows.store(connection, "a.md", ["one", "two"])
    gone, (deleted,) = rows.store(connection, "b.md", ["three"])
    failures = _poisoned(changed, embedded, deleted)
    moved = replace(changed, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[moved]))
    documents.write(connection, Changes(gone=[gone.document_id]))
    rows.embed(connection, generation, [embedded])
    assert ledger.record(connection, generation, failures) == 0
    assert _rows(connection, "state, content_hash") == [("pending", b"h" * 16)]


def test_no_failures_are_recorded_as_nothing(connection):
    assert ledger.record(connection, rows.generation(connection), []) == 0


def test_a_quarantined_text_is_not_missing_and_a_failed_one_is(connection):
    generation = rows.generation(connection)
    _, (good, poison, failed) = rows.store(connection, "a.md", ["good", "poison", "failed"])
    ledger.record(connection, generation, _poisoned(poison) + _failed(failed))
    assert _ids(rows.missing(connection, generation)) == _ids([good, failed])


def test_a_poison_text_is_sent_once_in_three_runs(database, connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["one", "poison", "two"])
    sent: list[str] = []
    for _ in range(3):
        writer = EmbeddingsWriter(connection, rows.KEY, generation)
        writer.begin()
        pages = claims.pages(lambda: connect(database), generation, rows.KEY)
        for page in pages:
            sent += [text.text for text in page]
            writer.write(rows.vectors([t for t in page if t.text != "poison"]))
            writer.reject([Failed.of(t, POISON) for t in page if t.text == "poison"])
        counts = writer.finish()
    assert sorted(sent) == ["one", "poison", "two"]
    assert (counts["rows"], counts["quarantined"], counts["missing"]) == (2, 1, 0)
    assert _rows(connection, "attempts") == [(1,)]


def test_a_changed_text_is_tried_again(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["poison"])
    ledger.record(connection, generation, _poisoned(chunk))
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    assert [t.content_hash for t in rows.missing(connection, generation)] == [b"h" * 16]
    assert _states(connection) == {chunk.chunk_id: "pending"}
    rows.embed(connection, generation, [changed])
    assert _rows(connection, "chunk_id") == []


def test_another_generation_tries_again(connection):
    first = rows.generation(connection, model="m")
    _, (chunk,) = rows.store(connection, "a.md", ["poison"])
    ledger.record(connection, first, _poisoned(chunk))
    second = rows.generation(connection, model="n")
    assert ledger.quarantine_twins(connection, second, rows.KEY) == 0
    assert _ids(rows.missing(connection, second)) == {chunk.chunk_id}
    rows.embed(connection, second, [chunk])
    assert _rows(connection, "generation_id") == [(first.generation_id,)]


def test_the_ledger_forgets_a_document_that_is_deleted(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["poison"])
    ledger.record(connection, generation, _poisoned(chunk))
    documents.write(connection, Changes(gone=[document.document_id]))
    assert _rows(connection, "chunk_id") == []


@pytest.mark.parametrize("key", [rows.KEY, "notes/01"])
def test_a_twin_of_a_quarantined_text_is_quarantined_without_being_sent(connection, key):
    generation = rows.generation(connection)
    _, (poison,) = rows.store(connection, "a.md", ["poison"])
    ledger.record(connection, generation, _poisoned(poison))
    _, (twin, good) = rows.store(connection, "b.md", ["poison", "good"], key=key)
    assert _ids(rows.missing(connection, generation, key)) == {good.chunk_id}
    assert ledger.quarantine_twins(connection, generation, key) == 1
    assert ledger.quarantine_twins(connection, generation, key) == 0
    columns = "content_hash, attempts, quarantined, error_class, error, failed_at"
    first, second = _errors(connection, columns)
    assert first == second
    assert set(_errors(connection, "chunk_id")) == {(poison.chunk_id,), (twin.chunk_id,)}


def test_a_twin_outlives_the_text_it_was_quarantined_for(connection):
    generation = rows.generation(connection)
    document, (poison,) = rows.store(connection, "a.md", ["poison"])
    ledger.record(connection, generation, _poisoned(poison))
    rows.store(connection, "b.md", ["poison"])
    ledger.quarantine_twins(connection, generation, rows.KEY)
    documents.write(connection, Changes(gone=[document.document_id]))
    assert rows.missing(connection, generation) == []
    assert embeddings.coverage(connection, generation, rows.KEY) == Coverage(1, 0, 1)


def test_a_failed_text_quarantines_no_twin(connection):
    generation = rows.generation(connection)
    _, (failed, twin) = rows.store(connection, "a.md", ["same", "same"])
    ledger.record(connection, generation, _failed(failed))
    assert ledger.quarantine_twins(connection, generation, rows.KEY) == 0
    assert _ids(rows.missing(connection, generation)) == _ids([failed, twin])


def test_a_failed_twin_becomes_quarantined(connection):
    generation = rows.generation(connection)
    _, (failed, twin) = rows.store(connection, "a.md", ["same", "same"])
    ledger.record(connection, generation, _failed(failed) + _poisoned(twin))
    assert ledger.quarantine_twins(connection, generation, rows.KEY) == 1
    assert _rows(connection, "quarantined, error") == [(True, "NaN"), (True, "NaN")]


def test_an_embedded_text_has_no_row_in_the_ledger(connection):
    generation = rows.generation(connection)
    _, (one, two) = rows.store(connection, "a.md", ["one", "two"])
    ledger.record(connection, generation, _failed(one) + _poisoned(two))
    rows.embed(connection, generation, [one])
    assert _rows(connection, "chunk_id") == [(two.chunk_id,)]


def test_a_vector_settles_only_the_text_it_was_made_from(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    ledger.record(connection, generation, _poisoned(changed))
    ledger.settle(connection, generation, rows.vectors([chunk]))
    assert _rows(connection, "content_hash") == [(b"h" * 16,)]
    ledger.settle(connection, generation, rows.vectors([changed]))
    assert _rows(connection, "content_hash") == []


def test_a_copied_vector_settles_the_twin(connection):
    generation = rows.generation(connection)
    _, (one, twin) = rows.store(connection, "a.md", ["same", "same"])
    ledger.record(connection, generation, _poisoned(one, twin))
    rows.embed(connection, generation, [one])
    assert embeddings.reuse(connection, generation, rows.KEY) == 1
    assert _rows(connection, "chunk_id") == []


def test_a_vector_and_a_failure_at_once_leave_the_vector(database, connection):
    generation = rows.generation(connection)
    _, (chunk,) = rows.store(connection, "a.md", ["one"])
    with ThreadPoolExecutor(1) as pool, connect(database) as other:
        with connection.transaction():
            rows.embed(connection, generation, [chunk])
            recording = pool.submit(ledger.record, other, generation, _poisoned(chunk))
            rows.wait_until_blocked(database)
        assert recording.result() == 0
    assert _rows(connection, "chunk_id") == []


def test_a_failure_that_is_written_first_is_settled_by_the_vector(database, connection):
    generation = rows.generation(connection)
    _, (chunk,) = rows.store(connection, "a.md", ["one"])
    with ThreadPoolExecutor(1) as pool, connect(database) as other:
        with connection.transaction():
            ledger.record(connection, generation, _poisoned(chunk))
            writing = pool.submit(rows.embed, other, generation, [chunk])
            rows.wait_until_blocked(database)
        assert writing.result() == 1
    assert _rows(connection, "chunk_id") == []


def test_a_retry_takes_every_failure_and_nothing_else(connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", ["new", "poison", "failed"])
    _, poison, failed = pieces
    ledger.record(connection, generation, _poisoned(poison) + _failed(failed))
    retried = rows.missing(connection, generation, only_failed=True)
    assert _ids(retried) == _ids([poison, failed])


def test_a_retry_leaves_failures_of_an_earlier_text_alone(connection):
    generation = rows.generation(connection)
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    ledger.record(connection, generation, _poisoned(chunk))
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    retried = rows.missing(connection, generation, only_failed=True)
    assert retried == []
    assert ledger.partitions_with_failures(connection, ["notes"]) == []


def test_a_retry_reads_page_after_page(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", [f"text {i}" for i in range(1500)])
    ledger.record(connection, generation, _poisoned(*pieces[:1200]))
    pages = claims.pages(lambda: connect(database), generation, rows.KEY, only_failed=True)
    seen = [text.chunk_id for page in pages for text in page]
    assert len(seen) == 1200
    assert set(seen) == _ids(pieces[:1200])


def test_partitions_with_failures_are_those_of_the_sources(connection):
    generation = rows.generation(connection)
    for key in ("notes/00", "notes/01", "wiki/00", "notes/02"):
        _, pieces = rows.store(connection, f"{key}.md", [f"bad {key}", "bad"], key=key)
        if key != "notes/00":
            ledger.record(connection, generation, _failed(*pieces))
    assert ledger.partitions_with_failures(connection, ["notes"]) == ["notes/01", "notes/02"]
    assert ledger.partitions_with_failures(connection, ["wiki", "x"]) == ["wiki/00"]
    assert ledger.partitions_with_failures(connection, []) == []


def test_failures_of_a_retired_generation_are_not_retried(connection):
    first = rows.generation(connection, model="m")
    _, pieces = rows.store(connection, "a.md", ["one"])
    ledger.record(connection, first, _failed(*pieces))
    second = rows.generation(connection, model="n")
    rows.embed(connection, second, pieces)
    assert activate_when_covered(connection, second)
    assert ledger.partitions_with_failures(connection, ["notes"]) == []


def test_a_quarantined_replacement_takes_the_place_of_the_old_chunk(connection):
    generation = rows.generation(connection)
    document, (old,) = rows.store(connection, "a.md", ["old"])
    rows.embed(connection, generation, [old])
    (new,) = rows.split(document, ["poison"])
    chunks.write(connection, rows.batch(document, new=[new], gone=[old]))
    embeddings.finish(connection, generation, rows.KEY)
    assert _ids([old]) == set(rows.stored_vectors(connection, generation))
    ledger.record(connection, generation, _poisoned(new))
    assert embeddings.finish(connection, generation, rows.KEY) == Coverage(1, 0, 1)
    assert rows.stored_vectors(connection, generation) == {}


def test_a_replacement_that_failed_in_passing_leaves_the_old_chunk(connection):
    generation = rows.generation(connection)
    document, (old,) = rows.store(connection, "a.md", ["old"])
    rows.embed(connection, generation, [old])
    (new,) = rows.split(document, ["new"])
    chunks.write(connection, rows.batch(document, new=[new], gone=[old]))
    ledger.record(connection, generation, _failed(new))
    assert embeddings.finish(connection, generation, rows.KEY).missing == 1
    assert _ids([old]) == set(rows.stored_vectors(connection, generation))


def test_a_quarantined_text_loses_the_vector_of_its_earlier_text(connection):
    generation = rows.generation(connection)
    document, (chunk, other) = rows.store(connection, "a.md", ["one", "two"])
    rows.embed(connection, generation, [chunk, other])
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    embeddings.finish(connection, generation, rows.KEY)
    assert set(rows.stored_vectors(connection, generation)) == _ids([chunk, other])
    ledger.record(connection, generation, _poisoned(changed))
    assert embeddings.finish(connection, generation, rows.KEY) == Coverage(2, 1, 1)
    assert set(rows.stored_vectors(connection, generation)) == _ids([other])


def test_a_generation_is_covered_by_vectors_and_quarantines(connection):
    rows.generation(connection, model="m")
    _, (good, bad) = rows.store(connection, "a.md", ["good", "bad"])
    second = rows.generation(connection, model="n")
    rows.embed(connection, second, [good])
    ledger.record(connection, second, _failed(bad))
    assert not activate_when_covered(connection, second)
    ledger.record(connection, second, _poisoned(bad))
    assert activate_when_covered(connection, second)


def test_a_quarantine_of_an_earlier_text_covers_nothing(connection):
    rows.generation(connection, model="m")
    document, (chunk,) = rows.store(connection, "a.md", ["one"])
    second = rows.generation(connection, model="n")
    ledger.record(connection, second, _poisoned(chunk))
    changed = replace(chunk, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[changed]))
    assert not activate_when_covered(connection, second)


def test_every_live_chunk_has_one_status(connection):
    generation = rows.generation(connection)
    document, pieces = rows.store(connection, "a.md", ["a", "b", "c", "d", "e", "f", "g"])
    done, error, pending, processing, changed, queued, gone = pieces
    rows.embed(connection, generation, [done, changed, gone])
    ledger.record(connection, generation, _failed(error, processing, queued))
    for chunk, state in ((processing, "processing"), (queued, "pending")):
        connection.execute(
            "UPDATE ingestion.ledger SET state = %s WHERE chunk_id = %s", (state, chunk.chunk_id)
        )
    moved = replace(changed, content_hash=b"h" * 16)
    chunks.write(connection, rows.batch(document, moved=[moved], gone=[gone]))
    assert _states(connection) == {
        done.chunk_id: "completed",
        error.chunk_id: "error",
        pending.chunk_id: "pending",
        processing.chunk_id: "processing",
        changed.chunk_id: "pending",
        queued.chunk_id: "pending",
    }


def test_the_status_is_of_the_generation_that_search_reads(connection):
    first = rows.generation(connection, model="m")
    _, (chunk,) = rows.store(connection, "a.md", ["one"])
    ledger.record(connection, first, _poisoned(chunk))
    second = rows.generation(connection, dimensions=3, model="n")
    rows.embed(connection, second, [chunk])
    assert _states(connection) == {chunk.chunk_id: "error"}
    assert activate_when_covered(connection, second)
    assert _states(connection) == {chunk.chunk_id: "completed"}
    row = connection.execute("SELECT generation_id FROM ingestion.chunk_status").fetchone()
    assert row == (second.generation_id,)


def test_what_died_between_the_vectors_and_the_ledger_is_completed(database, connection):
    generation = rows.generation(connection)
    _, pieces = rows.store(connection, "a.md", ["one", "poison", "two"])
    command = [sys.executable, "-c", DIE_BEFORE_THE_LEDGER, database]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "committed\n"
        os.kill(process.pid, signal.SIGKILL)
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    writer.begin()
    (left,) = rows.missing(connection, generation)
    assert left.chunk_id == pieces[1].chunk_id
    writer.reject([Failed.of(left, POISON)])
    counts = writer.finish()
    assert (counts["rows"], counts["quarantined"], counts["missing"]) == (2, 1, 0)
    assert sorted(_states(connection).values()) == ["completed", "completed", "error"]
