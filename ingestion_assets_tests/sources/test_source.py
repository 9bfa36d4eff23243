from dataclasses import replace
from pathlib import Path

import pytest

from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.errors import ConfigError
from ingestion_assets.sources import Source

SOURCE = Source("handbook", Path("/docs"))


@pytest.mark.parametrize(
    ("buckets", "first", "last"),
    [
        (1, "handbook/00", "handbook/00"),
        (16, "handbook/00", "handbook/15"),
        (128, "handbook/000", "handbook/127"),
        (1024, "handbook/0000", "handbook/1023"),
    ],
)
def test_partition_keys_are_as_many_as_buckets_and_sort(buckets, first, last):
    keys = replace(SOURCE, buckets=buckets).partition_keys()
    assert (keys[0], keys[-1], len(keys)) == (first, last, buckets)
    assert sorted(set(keys)) == keys


def test_documents_spread_over_all_partitions():
    source = replace(SOURCE, buckets=8)
    keys = [source.partition_key(f"page/{n}.md") for n in range(800)]
    assert set(keys) == set(source.partition_keys())
    assert max(keys.count(key) for key in set(keys)) < 150


def test_partition_of_a_uri_never_changes():
    source = replace(SOURCE, buckets=1024)
    assert source.partition_key("guide/retries.md") == "handbook/0154"
    assert source.partition_key("日本語.md") == "handbook/0043"


@pytest.mark.parametrize(
    "change",
    [
        {"domain": "d"},
        {"category": "c"},
        {"prefix": "p"},
        {"metadata": {"k": 1}},
        {"fields": FieldMap(text=("body",))},
    ],
)
def test_settings_that_reach_documents_change_their_hashes(change):
    changed = replace(SOURCE, **change)
    assert changed.content_hash(b"raw") != SOURCE.content_hash(b"raw")
    assert not changed.made(SOURCE.content_hash(b"raw"))


def test_other_settings_leave_hashes_alone():
    changed = replace(SOURCE, exclude=("*.txt",), buckets=4, root=Path("/other"))
    assert changed.content_hash(b"raw") == SOURCE.content_hash(b"raw")
    assert changed.made(SOURCE.content_hash(b"other"))


def test_hashes_are_16_bytes_of_the_content():
    assert len(SOURCE.content_hash(b"")) == 16
    assert SOURCE.content_hash(b"a") != SOURCE.content_hash(b"b")


def test_order_of_metadata_keys_does_not_matter():
    one = replace(SOURCE, metadata={"a": 1, "b": 2})
    assert one.content_hash(b"") == replace(SOURCE, metadata={"b": 2, "a": 1}).content_hash(b"")


def test_a_folder_can_be_moved_and_a_function_cannot(tmp_path):
    assert SOURCE.moved(tmp_path).root == tmp_path.resolve()
    with pytest.raises(ConfigError, match=r"kind 'python', no folder.*leave the folder out"):
        replace(SOURCE, python="wiki:pages").moved(tmp_path)
