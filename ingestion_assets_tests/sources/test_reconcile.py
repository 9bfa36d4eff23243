import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from ingestion_assets.changes import Changes
from ingestion_assets.chunks.chunking import Chunking, Kind
from ingestion_assets.documents.document import Document
from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import MassDeletionError, SourceError
from ingestion_assets.sources import Reconciliation, Record, Source, document_id, files
from ingestion_assets.sources.categories import Rule
from ingestion_assets_tests.sources.given import LONG_AGO, Store, counts, put


def changes_of(store: Store, source: Source) -> list[Changes[Document]]:
    store.run(source)
    return store.changes


@pytest.fixture
def store():
    return Store()


def test_new_documents_come_as_rows(root, source, store):
    put(root, "guide/a.md", b"---\ntag: own\n---\n# Ropes\n")
    source = replace(source, domain="d", category="c", metadata={"tag": "general", "x": 1})
    run = store.run(source)
    (row,) = store.changes[0].rows
    assert (row.uri, row.title, row.media_type) == ("guide/a.md", "Ropes", "text/markdown")
    assert (row.source, row.partition_key) == ("handbook", "handbook/00")
    assert (row.domain, row.category) == ("d", "c")
    assert row.metadata == {"tag": "own", "x": 1, "encoding": "utf-8"}
    assert (row.bytes, row.modified_at) == (25, datetime.fromtimestamp(LONG_AGO, UTC))
    assert row.document_id == document_id("handbook", "guide/a.md")
    assert counts(run) == {"seen": 1, "new": 1, "bytes_read": 25}


def test_unchanged_documents_are_not_read(root, source, store):
    put(root, "a.md")
    store.run(source)
    run = store.run(source)
    assert store.changes == []
    assert counts(run) == {"seen": 1, "unchanged": 1}


def test_a_document_counts_as_ingested_before_its_bytes_were_read(root, source, store, monkeypatch):
    """Or a change between the two, within the same time stamp, would never be seen."""
    read_at = []
    read = files.read

    def noted(*how):
        read_at.append(datetime.now(UTC))
        return read(*how)

    monkeypatch.setattr(files, "read", noted)
    put(root, "a.md")
    store.run(source)
    assert store.known["a.md"].ingested_at < read_at[0]


def test_nothing_is_done_before_iterating(source):
    source.root.rmdir()
    assert counts(Reconciliation(source, "handbook/00", {}, lambda _: Counter())) == {}


def test_changed_content_is_a_row_with_the_same_id(root, source, store):
    put(root, "a.md")
    store.run(source)
    before = store.changes[0].rows[0]
    put(root, "a.md", b"other words", LONG_AGO + 1)
    run = store.run(source)
    (row,) = store.changes[0].rows
    assert (row.document_id, row.text) == (before.document_id, "other words")
    assert counts(run) == {"seen": 1, "changed": 1, "bytes_read": 11}


def test_a_new_time_alone_is_a_row_with_the_same_hash(root, source, store):
    put(root, "a.md")
    store.run(source)
    before = store.changes[0].rows[0]
    put(root, "a.md", modified=LONG_AGO + 1)
    run = store.run(source)
    (row,) = store.changes[0].rows
    assert row.content_hash == before.content_hash
    assert row.modified_at == before.modified_at + timedelta(seconds=1)
    assert counts(run) == {"seen": 1, "touched": 1, "bytes_read": 5}
    assert counts(store.run(source)) == {"seen": 1, "unchanged": 1}


def test_a_file_changed_within_its_time_stamp_is_noticed(root, source, store):
    now = datetime.now(UTC).timestamp()
    put(root, "a.md", b"words", now)
    store.run(source)
    assert counts(store.run(source)) == {"seen": 1, "unchanged": 1, "bytes_read": 5}
    put(root, "a.md", b"WORDS", now)
    assert counts(store.run(source)) == {"seen": 1, "changed": 1, "bytes_read": 5}


def test_a_changed_setting_writes_all_rows_again(root, source, store):
    put(root, "a.md")
    store.run(source)
    changed = replace(source, category="new")
    run = store.run(changed)
    assert store.changes[0].rows[0].category == "new"
    assert counts(run) == {"seen": 1, "changed": 1, "bytes_read": 5}
    assert counts(store.run(changed)) == {"seen": 1, "unchanged": 1}


def test_a_changed_field_map_has_the_documents_read_again(root, source, store):
    put(root, "a.json", b'[{"head": "Ropes", "body": "Of hemp."}]')
    store.run(source)
    assert store.changes[0].rows[0].text == "head: Ropes\nbody: Of hemp."
    store.run(replace(source, fields=FieldMap(text=("body",), title="head")))
    (row,) = store.changes[0].rows
    assert (row.title, row.text) == ("Ropes", "# Ropes\n\nOf hemp.")


def test_removed_files_are_gone(root, source, store):
    put(root, "a.md")
    path = put(root, "b.md")
    store.run(source)
    path.unlink()
    run = store.run(source)
    assert [change.gone for change in store.changes] == [[document_id("handbook", "b.md")]]
    assert counts(run) == {"seen": 1, "unchanged": 1, "gone": 1}


def test_excluded_files_are_gone(root, source, store):
    put(root, "a.md")
    put(root, "b.md")
    store.run(source)
    assert store.run(replace(source, exclude=("b.md",))).counts.gone == 1


def test_a_file_replaced_by_a_folder_is_gone(root, source, store):
    put(root, "keep.md")
    path = put(root, "a.md")
    store.run(source)
    path.unlink()
    path.mkdir()
    assert store.run(source).counts.gone == 1


def test_a_file_that_vanishes_before_it_is_read_is_gone(root, source, store, monkeypatch):
    path = put(root, "a.md")
    put(root, "b.md")
    store.run(source)
    put(root, "a.md", b"changed")
    real = os.open

    def vanish_then_open(*args, **options):
        path.unlink(missing_ok=True)
        return real(*args, **options)

    monkeypatch.setattr(os, "open", vanish_then_open)
    run = store.run(source)
    assert store.changes[0].gone == [document_id("handbook", "a.md")]
    assert counts(run) == {"seen": 2, "unchanged": 1, "gone": 1}


def test_a_stored_document_that_cannot_be_read_stays(open_root, source, store, as_nobody):
    source = replace(source, root=open_root)
    path = put(open_root, "a.md")
    put(open_root, "sub/b.md")
    store.run(source)
    put(open_root, "a.md", b"changed", LONG_AGO + 1)
    path.chmod(0)
    (open_root / "sub").chmod(0)
    with as_nobody():
        run = store.run(source)
    assert store.changes == []
    assert [(f.uri, f.error_class) for f in run.failures] == [
        ("a.md", "SourceError"),
        ("sub/", "SourceError"),
    ]
    assert "Permission denied" in run.failures[0].message
    assert counts(run) == {"seen": 1, "failed": 2}


def test_a_stored_document_that_turns_binary_stays_and_is_named(root, source, store):
    put(root, "a.md")
    store.run(source)
    put(root, "a.md", b"\x89PNG\r\n\x1a\n" + bytes(50), LONG_AGO + 1)
    run = store.run(source)
    assert store.changes == []
    assert [f.error_class for f in run.failures] == ["UnsupportedMediaError"]


def test_binary_files_are_skipped_and_named(root, source, store):
    put(root, "a.md")
    put(root, "b.png", b"\x89PNG\r\n\x1a\n" + bytes(50))
    run = store.run(source)
    assert [(f.uri, f.error_class) for f in run.skipped] == [("b.png", "UnsupportedMediaError")]
    assert run.failures == []
    assert counts(run) == {"seen": 2, "new": 1, "skipped": 1, "bytes_read": 63}


def test_a_bad_document_does_not_stop_its_neighbours(root, source, store):
    put(root, "a.md")
    put(root, "b.md", bytes(range(128, 256)) * 20)
    put(root, "c.md", b"x" * 100)
    put(root, "d.md")
    run = store.run(replace(source, max_bytes=2560 + 40))
    run = store.run(replace(source, max_bytes=99))
    assert sorted(store.known) == ["a.md", "c.md", "d.md"]
    assert [f.uri for f in run.failures] == ["b.md", "c.md"]


def test_batches_are_bounded_by_documents(root, source, store):
    for n in range(250):
        put(root, f"{n}.md")
    assert [len(change.rows) for change in changes_of(store, source)] == [100, 100, 50]


def test_batches_are_bounded_by_text(root, source, store):
    for n in range(5):
        put(root, f"{n}.txt", b"word " * 700_000)
    assert [len(change.rows) for change in changes_of(store, source)] == [2, 2, 1]


def test_batches_come_while_the_walk_goes_on(root, source):
    for n in range(300):
        put(root, f"{n:03}.md")
    reconciliation = Reconciliation(source, "handbook/00", {}, lambda _: Counter())
    next(iter(reconciliation))
    assert reconciliation.counts.seen == 101


def test_partitions_mind_their_own_files(root, source):
    source = replace(source, buckets=2)
    for n in range(20):
        put(root, f"{n}.md")
    stores = {key: Store() for key in source.partition_keys()}
    runs = [store.run(source, key) for key, store in stores.items()]
    assert sum(run.counts.new for run in runs) == 20
    assert all(store.run(source, key).counts.unchanged for key, store in stores.items())


def test_a_missing_root_deletes_nothing(root, source, store):
    put(root, "a.md")
    store.run(source)
    root.rename(root.parent / "elsewhere")
    with pytest.raises(SourceError, match="cannot be read"):
        store.run(source)


def test_an_empty_mount_point_deletes_nothing(root, source, store):
    path = put(root, "a.md")
    store.run(source)
    path.unlink()
    with pytest.raises(SourceError, match=r"is empty, but 1 documents"):
        store.run(source)
    put(root, ".keep")
    assert store.run(source).counts.gone == 1


def _twelve_less(gone: int, root: Path, source: Source, store: Store) -> None:
    for n in range(12):
        put(root, f"{n}.md")
    store.run(source)
    for n in range(gone):
        (root / f"{n}.md").unlink()


def test_more_than_a_third_is_not_deleted_unasked(root, source, store):
    _twelve_less(5, root, source, store)
    with pytest.raises(MassDeletionError, match=r"5 of the 12 .* ingest run handbook --yes"):
        store.run(source)
    assert len(store.known) == 12


def test_more_than_a_third_is_deleted_when_that_is_allowed(root, source, store):
    _twelve_less(5, root, source, store)
    assert store.run(source, allow_deletion=True).counts.gone == 5


def test_a_third_may_go(root, source, store):
    _twelve_less(4, root, source, store)
    assert store.run(source).counts.gone == 4


def test_renamed_documents_are_not_counted_as_lost(root, source, store):
    _twelve_less(0, root, source, store)
    for n in range(12):
        (root / f"{n}.md").rename(root / f"chapter-{n}.md")
    assert store.run(source).counts.gone == 12


def test_new_documents_of_another_kind_make_up_for_none(root, source, store):
    _twelve_less(5, root, source, store)
    for n in range(12):
        put(root, f"{n}.png", b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises(MassDeletionError, match="5 of the 12"):
        store.run(source)


class Bucketed:
    """A source of files in 64 buckets, most of which hold one or none."""

    def __init__(self, root: Path, source: Source, store: Store) -> None:
        self.source = replace(source, buckets=64)
        self.store, self._root = store, root
        for n in range(40):
            put(root, f"{n}.md")
        self.run()

    def lose(self, n: int) -> None:
        for gone in range(n):
            (self._root / f"{gone}.md").unlink()

    def run(self) -> int:
        """Run every partition; how many were refused."""
        refused = 0
        for key in self.source.partition_keys():
            try:
                self.store.run(self.source, key)
            except MassDeletionError:
                refused += 1
        return refused


@pytest.fixture
def bucketed(root, source, store):
    return Bucketed(root, source, store)


def test_a_bucket_may_lose_everything_while_its_source_keeps_most(bucketed):
    bucketed.lose(13)
    assert bucketed.run() == 0
    assert len(bucketed.store.known) == 27


def test_a_source_that_loses_much_is_refused_however_little_each_bucket_loses(bucketed):
    bucketed.lose(14)
    buckets = {bucketed.source.partition_key(f"{n}.md") for n in range(14)}
    assert bucketed.run() == len(buckets) > 10
    assert len(bucketed.store.known) == 40


def test_four_buckets_may_lose_thirty_percent_each(root, source, store):
    source = replace(source, buckets=4)
    files: dict[str, list[Path]] = {key: [] for key in source.partition_keys()}
    for n in range(100):
        mine = files[source.partition_key(f"{n}.md")]
        if len(mine) < 10:
            mine.append(put(root, f"{n}.md"))
    for key in files:
        store.run(source, key)
    for path in [path for mine in files.values() for path in mine[:3]]:
        path.unlink()
    assert [store.run(source, key).counts.gone for key in files] == [3, 3, 3, 3]


def test_what_lies_in_a_folder_that_cannot_be_read_is_not_lost(open_root, source, as_nobody):
    source, store = replace(source, root=open_root, buckets=2), Store()
    for n in range(6):
        put(open_root, f"{n}.md")
        put(open_root, f"sub/{n}.md")
    for key in source.partition_keys():
        store.run(source, key)
    (open_root / "0.md").unlink()
    (open_root / "sub").chmod(0)
    with as_nobody():
        runs = [store.run(source, key) for key in source.partition_keys()]
    assert sum(run.counts.gone for run in runs) == 1


def test_rereading_writes_documents_that_did_not_change(root, source, store):
    put(root, "a.md")
    store.run(source)
    run = store.run(source, reread=True)
    assert [row.uri for change in store.changes for row in change.rows] == ["a.md"]
    assert counts(run) == {"seen": 1, "touched": 1, "bytes_read": 5}


def test_an_empty_source_is_no_error(source, store):
    assert changes_of(store, source) == []


def test_ids_are_stable_and_neighbours_within_a_source():
    first, second = document_id("handbook", "a.md"), document_id("handbook", "b.md")
    assert first == UUID("8ba28bcb-c4b1-fe59-c9fd-35bf50b9f872")
    assert first.bytes[:4] == second.bytes[:4]
    assert len({first, second, document_id("other", "a.md")}) == 3


def yielding(calling: Callable[..., Source], records: list[Record]) -> Source:
    return calling(lambda: iter(records))


def test_records_come_as_rows(calling, store):
    at = datetime.fromtimestamp(LONG_AGO, UTC)
    record = Record(
        "https://wiki/a/",
        "---\ntag: own\nx: 2\n---\n# Ropes\n",
        media_type="text/markdown",
        title="About ropes",
        metadata={"x": 3},
        modified_at=at,
    )
    source = replace(yielding(calling, [record]), metadata={"tag": "general", "y": 1})
    run = store.run(source)
    (row,) = store.changes[0].rows
    assert (row.uri, row.title, row.media_type) == (record.uri, "About ropes", "text/markdown")
    assert row.metadata == {"tag": "own", "x": 3, "y": 1, "encoding": "utf-8"}
    assert (row.bytes, row.modified_at) == (30, at)
    assert counts(run) == {"seen": 1, "new": 1, "bytes_read": 30}


def test_records_that_are_as_stored_are_no_rows(calling, store):
    source = yielding(calling, [Record("a", "words"), Record("b", b"words", title="B")])
    store.run(source)
    run = store.run(source)
    assert store.changes == []
    assert counts(run) == {"seen": 2, "unchanged": 2, "bytes_read": 10}


@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        (Record("a", "other words"), "changed"),
        (Record("a", "words", title="A"), "changed"),
        (Record("a", "words", metadata={"x": 1}), "changed"),
        (Record("a", "words", modified_at=datetime.fromtimestamp(LONG_AGO, UTC)), "touched"),
    ],
)
def test_a_changed_record_is_a_row(calling, store, after, outcome):
    store.run(yielding(calling, [Record("a", "words")]))
    assert getattr(store.run(yielding(calling, [after])).counts, outcome) == 1


def test_what_is_not_yielded_any_more_is_gone(calling, store):
    records = [Record("a", "words"), Record("b/", "words")]
    store.run(yielding(calling, records))
    run = store.run(yielding(calling, records[:1]))
    assert [change.gone for change in store.changes] == [[document_id("handbook", "b/")]]
    assert counts(run) == {"seen": 1, "unchanged": 1, "gone": 1, "bytes_read": 5}


def test_a_record_with_a_slash_at_its_end_protects_nothing_below(calling, store):
    records = [Record("a/", "words"), Record("a/b", "words")]
    store.run(yielding(calling, records))
    broken = Record("a/", "words", title="\0")
    assert store.run(yielding(calling, [broken])).counts.gone == 1
    assert sorted(store.known) == ["a/"]


def test_a_function_that_fails_deletes_nothing(calling, store):
    def failing():
        yield Record("c", "words")
        raise OSError("connection lost")

    store.run(yielding(calling, [Record("a", "words"), Record("b", "words")]))
    with pytest.raises(SourceError, match="nothing is deleted"):
        store.run(calling(failing), allow_deletion=True)
    assert sorted(store.known) == ["a", "b"]


def test_a_function_that_yields_nothing_deletes_nothing(calling, store):
    store.run(yielding(calling, [Record("a", "words")]))
    with pytest.raises(MassDeletionError, match="'handbook' is empty, but 1 documents"):
        store.run(yielding(calling, []))
    assert store.run(yielding(calling, []), allow_deletion=True).counts.gone == 1


def test_a_partition_of_a_function_may_become_empty(calling):
    records = [Record(f"{n}", "words") for n in range(20)]
    source = replace(yielding(calling, records), buckets=16)
    key = source.partition_key("0")
    mine = [record for record in records if source.partition_key(record.uri) == key]
    others = [record for record in records if record not in mine]
    assert len(mine) < 3
    store = Store()
    assert store.run(source, key).counts.new == len(mine)
    after = replace(yielding(calling, others), buckets=16)
    assert store.run(after, key).counts.gone == len(mine)


def test_an_unusable_record_costs_itself_alone(calling, store):
    store.run(yielding(calling, [Record("a", "words"), Record("b", "words")]))
    records = [Record("a", "new", metadata={"x": {1}}), Record("b", "new"), Record("", "")]
    run = store.run(yielding(calling, records))
    assert [row.uri for row in store.changes[0].rows] == ["b"]
    assert [failure.uri for failure in run.failures] == ["a", "record 3"]
    assert sorted(store.known) == ["a", "b"]


def test_a_uri_that_is_yielded_twice_is_named_and_the_first_is_kept(calling, store):
    run = store.run(yielding(calling, [Record("a", "first"), Record("a", "second")]))
    assert [row.text for row in store.changes[0].rows] == ["first"]
    assert [(f.uri, "twice" in f.message) for f in run.failures] == [("a", True)]


def test_front_matter_names_domain_and_category(root, source, store):
    put(root, "hr/a.md", b"---\ncategory: pay\n---\n# A\n")
    put(root, "hr/b.md")
    put(root, "c.md")
    rules = (Rule("hr/**", domain="people", category="leave"),)
    store.run(replace(source, domain="company", categories=rules))
    names = {row.uri: (row.domain, row.category) for row in store.changes[0].rows}
    assert names == {
        "hr/a.md": ("people", "pay"),
        "hr/b.md": ("people", "leave"),
        "c.md": ("company", None),
    }


def test_a_record_names_its_domain_and_category(calling, store):
    def yielded():
        yield Record("a", "text", metadata={"domain": "people"})

    store.run(replace(calling(yielded), domain="company", category="note"))
    (row,) = store.changes[0].rows
    assert (row.domain, row.category) == ("people", "note")


@pytest.mark.parametrize(
    "change",
    [{"categories": (Rule("**", domain="new"),)}, {"chunker": Chunking(Kind.RECURSIVE)}],
)
def test_other_rules_or_another_chunker_read_all_documents_again(root, source, store, change):
    put(root, "a.md")
    store.run(source)
    assert counts(store.run(replace(source, **change))) == {
        "seen": 1,
        "changed": 1,
        "bytes_read": 5,
    }
    assert changes_of(store, replace(source, **change)) == []
