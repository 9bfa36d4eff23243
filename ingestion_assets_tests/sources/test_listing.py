import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ingestion_assets.errors import SourceError
from ingestion_assets.sources import Source, files
from ingestion_assets.sources.listing import digests, of_time
from ingestion_assets.sources.origin import Found

LONG_AGO = 1_700_000_000.123456  # seconds


@pytest.fixture
def source(tmp_path: Path) -> Source:
    source = Source("notes", tmp_path / "notes", buckets=4)
    source.root.mkdir()
    for n in range(20):
        _put(source, f"{n}.md")
    return source


def _put(source: Source, uri: str, text: str = "words", at: float = LONG_AGO) -> None:
    path = source.root / uri
    path.write_text(text)
    os.utime(path, (at, at))


def _changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {key for key in before if before[key] != after[key]}


def test_every_partition_has_a_digest_and_an_unchanged_one_keeps_it(source: Source) -> None:
    assert set(digests(source)) == set(source.partition_keys())
    assert digests(source) == digests(source)


@pytest.mark.parametrize(
    "change",
    [
        lambda source: _put(source, "7.md", "words!"),
        lambda source: _put(source, "7.md", at=LONG_AGO + 1),
        lambda source: (source.root / "7.md").unlink(),
    ],
    ids=["size", "time", "deletion"],
)
def test_a_change_changes_the_digest_of_its_partition_alone(source: Source, change) -> None:
    before = digests(source)
    change(source)
    assert _changed(before, digests(source)) == {source.partition_key("7.md")}


def test_a_new_document_changes_its_partition(source: Source) -> None:
    before = digests(source)
    _put(source, "new.md")
    assert _changed(before, digests(source)) == {source.partition_key("new.md")}


def test_a_setting_changes_all_partitions(source: Source) -> None:
    assert len(_changed(digests(source), digests(replace(source, prefix="Say: ")))) == 4


def test_stored_documents_have_the_digest_of_their_files_in_any_order(source: Source) -> None:
    stored = [found for found in files.walk(source) if isinstance(found, Found)]
    assert digests(source, reversed(stored)) == digests(source)
    other = [replace(stored[0], modified_at=datetime(2020, 1, 1, tzinfo=UTC)), *stored[1:]]
    assert digests(source, other) != digests(source)


def test_a_missing_root_is_an_error(source: Source) -> None:
    with pytest.raises(SourceError):
        digests(replace(source, root=source.root / "nowhere"))


def test_a_function_is_not_called_and_asked_for_once(tmp_path: Path) -> None:
    source = Source("wiki", tmp_path, python="no_such_module:pages", buckets=2)
    assert digests(source) == digests(source)
    assert _changed(digests(source, []), digests(source)) == set(source.partition_keys())


def test_a_function_is_asked_for_again_after_its_interval(tmp_path: Path) -> None:
    source = Source("wiki", tmp_path, python="no_such_module:pages", every=3600.0)
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert of_time(source, at) == of_time(source, at + timedelta(minutes=59))
    assert of_time(source, at) != of_time(source, at + timedelta(hours=1))
    without = replace(source, every=None)
    assert of_time(without, at) == of_time(without, at + timedelta(days=99))


def test_an_argument_changes_all_partitions_of_a_function(tmp_path: Path) -> None:
    source = Source("wiki", tmp_path, python="no_such_module:pages", buckets=2)
    after = digests(replace(source, arguments={"space": "ops"}))
    assert _changed(digests(source), after) == set(source.partition_keys())
