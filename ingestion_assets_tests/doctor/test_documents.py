"""What a run would change is found without a run, and what it would not is not."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ingestion_assets.chunks.reconcile import chunked_as
from ingestion_assets.doctor import documents as compared
from ingestion_assets.doctor import partitions
from ingestion_assets.doctor.documents import Comparison, SourcesCheck
from ingestion_assets.sources import Reconciliation, Source
from ingestion_assets.store import documents, sources
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage.finding import Scope
from ingestion_assets_tests.store import rows

CHUNKER = "chunker-1"
Break = Callable[[Connection, Path], object]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def source(connection: Connection, tmp_path: Path) -> Source:
    """Eight files in two partitions, stored, and split by the present chunker."""
    source = Source("notes", tmp_path, buckets=2)
    for n in range(8):
        (tmp_path / f"{n}.md").write_text(f"Text of file {n}.")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    sources.register(connection, "notes", "files", 2, {})
    for key in source.partition_keys():
        for change in Reconciliation(source, key, {}, lambda _: Counter()):
            documents.write(connection, change)
            for row in change.rows:
                connection.execute(
                    "UPDATE ingestion.documents SET chunked_as = %s WHERE document_id = %s",
                    (chunked_as(row.content_hash, CHUNKER), row.document_id),
                )
    return source


def _compare(
    connection: Connection, source: Source, busy: tuple[str, ...] = (), chunker: str = CHUNKER
) -> Comparison:
    return SourcesCheck([source], busy, lambda _: chunker).compare(connection)


def _kinds(comparison: Comparison) -> dict[str, int]:
    return {found.kind.name: found.count for found in comparison.findings()}


def test_nothing_is_found_where_all_is_stored(connection: Connection, source: Source) -> None:
    found = _compare(connection, source)
    assert (found.findings(), found.partitions) == ([], [])


@pytest.mark.parametrize(
    ("kind", "break_"),
    [
        ("documents_missing", lambda _, root: (root / "new.md").write_text("New.")),
        ("documents_stale", lambda _, root: (root / "3.md").write_text("Another text.")),
        ("documents_orphaned", lambda _, root: (root / "3.md").unlink()),
        (
            "chunks_stale",
            lambda c, _: c.execute(
                "UPDATE ingestion.documents SET chunked_as = 'old' WHERE uri = '3.md'"
            ),
        ),
    ],
)
def test_what_a_run_would_change_is_found_with_its_partition(
    kind: str, break_: Break, connection: Connection, source: Source
) -> None:
    break_(connection, source.root)
    found = _compare(connection, source)
    assert _kinds(found) == {kind: 1}
    uri = "new.md" if kind == "documents_missing" else "3.md"
    assert found.partitions == [source.partition_key(uri)]
    assert found.findings()[0].examples == (f"notes/{uri}",)
    assert _kinds(_compare(connection, source, busy=(source.partition_key(uri),))) == {}


def test_file_that_was_only_touched_is_no_damage(connection: Connection, source: Source) -> None:
    (source.root / "3.md").touch()
    assert _kinds(_compare(connection, source)) == {}


def test_another_chunker_makes_all_chunks_stale(connection: Connection, source: Source) -> None:
    assert _kinds(_compare(connection, source, chunker="chunker-2")) == {"chunks_stale": 8}


@pytest.mark.parametrize("key", ["notes/00", "notes/77"])
def test_documents_in_wrong_partitions_are_moved(
    key: str, connection: Connection, source: Source
) -> None:
    connection.execute("UPDATE ingestion.documents SET partition_key = %s", (key,))
    found = _compare(connection, source)
    wrong = sum(source.partition_key(f"{n}.md") != key for n in range(8))
    assert _kinds(found)["documents_misplaced"] == wrong > 0
    compared.move(connection, found.misplaced)
    assert _kinds(_compare(connection, source)) == {}


def test_source_that_is_gone_is_named_and_nothing_of_it_counts_as_orphaned(
    connection: Connection, source: Source
) -> None:
    found = _compare(connection, source.moved(source.root / "unmounted"))
    assert set(_kinds(found)) == {"sources_unreadable"}
    assert found.partitions == []


def test_other_buckets_than_stored_are_named(connection: Connection, source: Source) -> None:
    other = Source("notes", source.root, buckets=4)
    assert _kinds(_compare(connection, other)) == {"buckets_differ": 1}


def test_source_that_is_not_listed_any_more_is_named(
    connection: Connection, source: Source
) -> None:
    assert compared.unlisted(connection, [source]) == []
    [found] = compared.unlisted(connection, [])
    assert found.examples == ("notes",)


def test_partition_keys_are_compared_with_what_there_is(
    connection: Connection, source: Source
) -> None:
    rows.store(connection, "a.md", ["one"], key="wiki/00")
    known = ["notes/00", "wiki/00", "gone/00"]
    keys = partitions.compare(connection, [source], known, Scope())
    assert (keys.missing, keys.left_over) == (["notes/01"], ["gone/00"])
    assert {found.kind.name for found in keys.findings()} == {
        "partitions_missing", "partitions_left_over",
    }  # fmt: skip
    assert partitions.compare(connection, [source], known, Scope(["wiki"])).findings() == []
