"""Rows of an attached table are embedded in place: each once, each with its own text's vector."""

from concurrent.futures import ThreadPoolExecutor
from random import Random
from threading import Event, Thread

import psycopg
import pytest

from ingestion_assets.changes import Text, Vectors
from ingestion_assets.errors import DimensionError
from ingestion_assets.store.attached import detach
from ingestion_assets.store.attached.listing import counts, failures, retry
from ingestion_assets.store.attached.wanted import Wanted
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.ledger import Failed
from ingestion_assets_tests.store.attached.given import (
    NOTES,
    OWN_TRIGGER,
    attached,
    lengths,
    queue,
    statuses,
    vectors,
    work,
)


@pytest.fixture
def notes(connection):
    """A table with two notes."""
    connection.execute(NOTES)
    connection.execute("INSERT INTO notes (title, body) VALUES ('one', 'a'), ('two', NULL)")
    return connection


def failed(text: Text, *, quarantined: bool = False) -> Failed:
    return Failed(text.chunk_id, text.content_hash, "PoisonTextError", "NaN", quarantined)


def test_rows_that_were_there_and_rows_that_come_are_embedded(notes, database):
    worker = queue(database, attached(notes))
    assert statuses(notes) == {"pending": ["1", "2"]}
    assert work(worker) == ["note: one\n\na", "note: two"]
    notes.execute("INSERT INTO notes (title, body) VALUES ('three', 'b')")
    assert statuses(notes) == {"completed": ["1", "2"], "pending": ["3"]}
    assert work(worker) == ["note: three\n\nb"]
    assert statuses(notes) == {"completed": ["1", "2", "3"]}
    assert lengths(notes) == [12, 9, 14]


def test_an_update_embeds_again_only_if_the_text_changed(notes, database):
    worker = queue(database, attached(notes))
    work(worker)
    notes.execute("UPDATE notes SET pinned = true, title = title")
    assert statuses(notes) == {"completed": ["1", "2"]}
    notes.execute("UPDATE notes SET title = 'uno' WHERE id = 1")
    assert statuses(notes) == {"completed": ["2"], "pending": ["1"]}
    assert work(worker) == ["note: uno\n\na"]


def test_a_text_that_comes_back_before_it_is_embedded_is_not_embedded_again(notes, database):
    worker = queue(database, attached(notes))
    work(worker)
    notes.execute("UPDATE notes SET body = 'x'")
    notes.execute("UPDATE notes SET body = CASE id WHEN 1 THEN 'a' END")
    assert work(worker) == []
    assert statuses(notes) == {"completed": ["1", "2"]}


def test_a_vector_of_a_text_that_has_changed_is_not_stored(notes, database):
    worker = queue(database, attached(notes))
    old = worker.claim(10)
    assert statuses(notes) == {"processing": ["1", "2"]}
    notes.execute("UPDATE notes SET body = 'longer' WHERE id = 1")
    assert worker.complete(vectors(old)) == 1
    assert statuses(notes) == {"completed": ["2"], "pending": ["1"]}
    assert lengths(notes) == [None, 9]
    assert work(worker) == ["note: one\n\nlonger"]
    assert lengths(notes) == [17, 9]


def test_a_failure_of_a_text_that_has_changed_is_not_noted(notes, database):
    worker = queue(database, attached(notes))
    old = worker.claim(10)
    notes.execute("UPDATE notes SET body = 'longer' WHERE id = 1")
    worker.fail([failed(text, quarantined=True) for text in old])
    assert statuses(notes) == {"error": ["2"], "pending": ["1"]}


def test_what_is_deleted_leaves_nothing_behind(notes, database):
    worker = queue(database, attached(notes))
    texts = worker.claim(10)
    notes.execute("DELETE FROM notes WHERE id = 1")
    assert worker.complete(vectors(texts)) == 1
    assert statuses(notes) == {"completed": ["2"]}
    notes.execute("TRUNCATE notes")
    assert statuses(notes) == {}
    assert work(worker) == []


def test_a_row_with_a_new_key_is_embedded_under_it_and_the_old_one_is_forgotten(notes, database):
    notes.execute("ALTER TABLE notes ALTER id DROP IDENTITY")
    worker = queue(database, attached(notes))
    work(worker)
    notes.execute("UPDATE notes SET id = id + 10")
    work(worker)
    assert statuses(notes) == {"completed": ["11", "12"]}
    assert lengths(notes) == [12, 9]


def test_empty_rows_are_skipped_and_lose_their_vector(notes, database):
    worker = queue(database, attached(notes))
    work(worker)
    notes.execute("UPDATE notes SET title = ' ', body = '' WHERE id = 1")
    assert work(worker) == []
    assert statuses(notes) == {"completed": ["2"], "skipped": ["1"]}
    assert lengths(notes) == [None, 9]


def test_a_long_row_of_skipped_rows_does_not_hide_the_next_text(notes, database):
    notes.execute("INSERT INTO notes (title) SELECT '' FROM generate_series(1, 50)")
    notes.execute("INSERT INTO notes (title) VALUES ('last')")
    worker = queue(database, attached(notes))
    assert work(worker, limit=2)[-1] == "note: last"


def test_a_row_whose_expression_fails_is_quarantined_and_its_neighbours_are_not(notes, database):
    notes.execute("INSERT INTO notes (title, body) VALUES ('three', '0'), ('four', '2')")
    notes.execute("UPDATE notes SET body = '1' WHERE id < 3")
    made = attached(notes, wanted=Wanted(expression="title || (6 / body::int)"))
    worker = queue(database, made)
    assert sorted(work(worker)) == ["note: four3", "note: one6", "note: two6"]
    assert statuses(notes) == {"completed": ["1", "2", "4"], "error": ["3"]}
    (failure,) = failures(notes, made)
    assert (failure.key, failure.error) == ("3", "division by zero")
    assert failure.quarantined
    notes.execute("UPDATE notes SET body = '3' WHERE id = 3")
    assert work(worker) == ["note: three2"]


def test_failed_rows_are_tried_again_when_the_operator_says_so(notes, database):
    made = attached(notes)
    worker = queue(database, made)
    worker.fail([failed(text, quarantined=True) for text in worker.claim(10)])
    assert work(worker) == []
    assert counts(notes, made).failed == 2
    assert retry(notes, made) == 2
    assert statuses(notes) == {"pending": ["1", "2"]}
    assert len(work(worker)) == 2


def test_two_queues_never_claim_the_same_row(notes, database):
    notes.execute("INSERT INTO notes (title) SELECT 'n' || n FROM generate_series(3, 400) n")
    made = attached(notes)
    taken: list[list[str]] = [[], []]
    workers = [
        Thread(target=lambda i=i: taken[i].extend(work(queue(database, made, f"worker {i}"), 7)))
        for i in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(taken)
    assert len(taken[0]) + len(taken[1]) == len({*taken[0], *taken[1]}) == 400
    assert [*statuses(notes)] == ["completed"]


def test_a_writer_and_two_workers_leave_every_row_with_its_own_vector(notes, database):
    notes.execute("ALTER TABLE notes ALTER id SET GENERATED BY DEFAULT")
    made = attached(notes)
    done = Event()

    def serve(owner: str) -> int:
        worker, stored = queue(database, made, owner), 0
        while not done.is_set():
            if texts := worker.claim(7):
                stored += worker.complete(vectors(texts))
        return stored

    with ThreadPoolExecutor() as threads:
        workers = [threads.submit(serve, f"worker {i}") for i in range(2)]
        try:
            _write_at_random(notes)
        finally:
            done.set()
        assert all(worker.result() for worker in workers)
    notes.execute("UPDATE ingestion.attached_rows SET not_before = NULL")
    work(queue(database, made, "last"))
    assert statuses(notes).keys() == {"completed"}
    texts = "SELECT length('note: ' || title || coalesce(E'\n\n' || body, '')) FROM notes"
    assert lengths(notes) == [n for (n,) in notes.execute(texts + " ORDER BY id")]


def _write_at_random(connection: Connection) -> None:
    dice = Random(4)
    for i in range(400):
        row = dice.randrange(1, 60)
        statements = [
            f"INSERT INTO notes (title) VALUES ('n{'x' * (i % 50)}')",
            f"UPDATE notes SET body = repeat('y', {1 + i}) WHERE id % 60 = {row}",
            f"UPDATE notes SET pinned = true, body = body || 'z' WHERE id = {row}",
            f"UPDATE notes SET id = {1000 + i} WHERE id = {row}",
            f"DELETE FROM notes WHERE id = {row}",
        ]
        connection.execute(dice.choices(statements, (4, 4, 4, 1, 1))[0])


def test_a_dead_owners_rows_come_back_and_its_late_vectors_are_refused(notes, database):
    made = attached(notes)
    dead, living = queue(database, made, "dead", lease=0), queue(database, made, "living")
    texts = dead.claim(10)
    again = living.claim(10)
    assert {t.chunk_id for t in again} == {t.chunk_id for t in texts}
    assert dead.complete(vectors(texts)) == 0
    assert living.complete(vectors(again)) == 2


def test_a_lease_that_is_renewed_is_kept(notes, database):
    made = attached(notes)
    first = queue(database, made, "first")
    first.claim(10)
    notes.execute("UPDATE ingestion.attached_rows SET lease_until = now() - interval '1 s'")
    first.renew()
    assert queue(database, made, "second").claim(10) == []


def test_what_is_released_is_pending_again_and_counts_as_not_tried(notes, database):
    made = attached(notes)
    first = queue(database, made, "first")
    first.claim(1)
    first.release()
    assert statuses(notes) == {"pending": ["1", "2"]}
    attempts = notes.execute("SELECT DISTINCT attempts FROM ingestion.attached_rows").fetchall()
    assert attempts == [(0,)]
    assert len(queue(database, made, "second").claim(10)) == 2


def test_a_failure_in_passing_is_tried_again_later_with_the_old_vector_in_place(notes, database):
    worker = queue(database, attached(notes))
    work(worker)
    notes.execute("UPDATE notes SET title = 'uno' WHERE id = 1")
    worker.fail([failed(text) for text in worker.claim(10)])
    assert statuses(notes) == {"completed": ["2"], "error": ["1"]}
    assert lengths(notes) == [12, 9]
    (waits,) = notes.execute(
        "SELECT not_before > now() AND not_before < now() + interval '11 s'"
        " FROM ingestion.attached_rows WHERE state = 'error'"
    ).fetchone()
    assert waits
    notes.execute("UPDATE ingestion.attached_rows SET not_before = now() - interval '1 s'")
    assert work(worker) == ["note: uno\n\na"]
    assert statuses(notes) == {"completed": ["1", "2"]}


def test_a_quarantined_text_is_left_alone_until_it_changes(notes, database):
    worker = queue(database, attached(notes))
    work(worker)
    notes.execute("UPDATE notes SET title = 'bad' WHERE id = 1")
    worker.fail([failed(text, quarantined=True) for text in worker.claim(10)])
    assert lengths(notes) == [None, 9]
    assert work(worker) == []
    depth = worker.depth()
    assert (depth.pending, depth.processing, depth.failed, depth.quarantined) == (0, 0, 0, 1)
    notes.execute("UPDATE notes SET title = 'good' WHERE id = 1")
    assert work(worker) == ["note: good\n\na"]


def test_a_row_that_another_worker_looks_at_for_a_moment_is_stored_all_the_same(
    notes, database, monkeypatch
):
    worker = queue(database, attached(notes), "me")
    texts = worker.claim(10)
    with connect(database) as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM ingestion.attached_rows FOR UPDATE")
        monkeypatch.setattr(
            "ingestion_assets.store.attached.queue.sleep", lambda _: other.execute("ROLLBACK")
        )
        assert worker.complete(vectors(texts)) == len(texts) > 0
    assert [*statuses(notes)] == ["completed"]


def test_a_lease_is_renewed_without_waiting_for_a_row_that_is_held(notes, database):
    worker = queue(database, attached(notes), "me")
    worker.claim(10)
    until = "SELECT min(lease_until) FROM ingestion.attached_rows WHERE row_key <> '1'"
    before = notes.execute(until).fetchone()
    with connect(database) as other:
        other.execute("BEGIN")
        other.execute("SELECT FROM ingestion.attached_rows WHERE row_key = '1' FOR UPDATE")
        worker.renew()
        other.execute("ROLLBACK")
    assert notes.execute(until).fetchone() > before


def test_a_row_that_is_locked_is_left_for_later_and_nobody_waits_for_it(notes, database):
    worker = queue(database, attached(notes))
    with connect(database) as other, other.transaction():
        other.execute("SELECT FROM notes WHERE id = 1 FOR UPDATE")
        assert [text.text for text in worker.claim(10)] == ["note: two"]
        worker.release()
        texts = worker.claim(10)
        other.execute("SELECT FROM notes WHERE id = 2 FOR UPDATE")
        assert worker.complete(vectors(texts)) == 0
    assert worker.complete(vectors(texts)) == 1
    notes.execute("UPDATE ingestion.attached_rows SET not_before = NULL")
    assert work(worker) == ["note: one\n\na"]


def test_what_the_worker_writes_enqueues_and_notifies_nothing(notes, database):
    worker = queue(database, attached(notes))
    notes.execute("LISTEN ingestion_ledger")
    work(worker)
    worker.claim(10)
    assert list(notes.notifies(timeout=0.2)) == []


def test_a_statement_notifies_once(notes):
    attached(notes)
    notes.execute("LISTEN ingestion_ledger")
    notes.execute("INSERT INTO notes (title) SELECT 'n' FROM generate_series(1, 1000)")
    assert len(list(notes.notifies(timeout=0.2))) == 1
    notes.execute("UPDATE notes SET pinned = true")
    assert list(notes.notifies(timeout=0.2)) == []


def test_a_text_that_is_too_long_is_told_what_to_do(notes, database):
    made = attached(notes)
    worker = queue(database, made)
    (text,) = worker.claim(1)
    long = Failed(text.chunk_id, text.content_hash, "TextTooLongError", "too long", True)
    worker.fail([long])
    (failure,) = failures(notes, made)
    assert failure.error == "too long; shorten the row's text, or attach the table with --store"


def test_vectors_of_another_length_are_refused(notes, database):
    worker = queue(database, attached(notes))
    texts = worker.claim(10)
    fitting = vectors(texts)
    wide = Vectors(fitting.ids, fitting.hashes, fitting.matrix.repeat(2, axis=1))
    with pytest.raises(DimensionError, match=r"public\.notes"):
        worker.complete(wide)


def test_a_scan_that_was_broken_off_is_finished_by_the_worker(notes, database, monkeypatch):
    notes.execute("INSERT INTO notes (title) SELECT 'n' || n FROM generate_series(3, 25) n")
    monkeypatch.setattr("ingestion_assets.store.attached.scanning.PAGE", 10)
    made = attached(notes)
    notes.execute("DELETE FROM ingestion.attached_rows WHERE row_key::int > 10")
    notes.execute("UPDATE ingestion.attachments SET scanned_to = '10', scanned_at = NULL")
    assert len(work(queue(database, made))) == 25
    assert [*statuses(notes)] == ["completed"]


def test_a_table_that_is_detached_under_a_worker_has_nothing_more_to_do(notes, database):
    worker = queue(database, attached(notes))
    texts = worker.claim(1)
    detach(notes, "notes")
    assert worker.complete(vectors(texts)) == 0
    worker.fail([failed(text) for text in texts])
    worker.renew()
    worker.release()
    assert worker.claim(10) == []


def test_an_application_without_rights_on_our_tables_can_write(notes, database):
    notes.execute("DROP ROLE IF EXISTS application_b3")
    notes.execute("CREATE ROLE application_b3")
    try:
        notes.execute("GRANT INSERT, UPDATE, DELETE, SELECT ON notes TO application_b3")
        worker = queue(database, attached(notes))
        notes.execute("SET ROLE application_b3")
        notes.execute("INSERT INTO notes (title) VALUES ('three')")
        notes.execute("UPDATE notes SET title = 'uno' WHERE id = 1")
        notes.execute("DELETE FROM notes WHERE id = 2")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            notes.execute("SELECT ingestion.enqueue_attached('notes', '{1}')")
        notes.execute("RESET ROLE")
        assert sorted(work(worker)) == ["note: three", "note: uno\n\na"]
    finally:
        notes.execute("RESET ROLE; DROP OWNED BY application_b3; DROP ROLE application_b3")


@pytest.fixture
def adopted(notes):
    """The notes, with a trigger of the application's own; the second one is embedded already."""
    notes.execute(OWN_TRIGGER)
    notes.execute(
        "UPDATE notes SET embedding = '[1,2,3,4]', embedding_status = 'completed' WHERE id = 2"
    )
    return notes


def test_an_adopted_trigger_is_served(adopted, database):
    worker = queue(database, attached(adopted))
    assert worker.channels == ["ingestion_ledger", "embedding_queue"]
    assert work(worker) == ["note: one\n\na"]
    assert lengths(adopted) == [12, 1]
    adopted.execute("INSERT INTO notes (title) VALUES ('three')")
    adopted.execute("UPDATE notes SET body = 'changed' WHERE id = 1")
    assert sorted(work(worker)) == ["note: one\n\nchanged", "note: three"]
    adopted.execute("UPDATE notes SET title = title")
    assert work(worker) == ["note: two"]
    assert statuses(adopted) == {"completed": ["1", "2", "3"]}


def test_a_change_in_an_adopted_table_while_its_text_is_embedded_is_not_lost(adopted, database):
    worker = queue(database, attached(adopted))
    texts = worker.claim(10)
    adopted.execute("UPDATE notes SET body = 'changed' WHERE id = 1")
    assert worker.complete(vectors(texts)) == 0
    texts = worker.claim(10)
    assert [text.text for text in texts] == ["note: one\n\nchanged"]
    adopted.execute("UPDATE notes SET body = 'again' WHERE id = 1")
    worker.fail([failed(text, quarantined=True) for text in texts])
    assert work(worker) == ["note: one\n\nagain"]


def test_rows_deleted_from_an_adopted_table_are_forgotten(adopted, database):
    made = attached(adopted)
    work(queue(database, made))
    adopted.execute("DELETE FROM notes WHERE id = 1")
    assert work(queue(database, made)) == []
    assert adopted.execute("SELECT count(*) FROM ingestion.attached_rows").fetchone() == (0,)
