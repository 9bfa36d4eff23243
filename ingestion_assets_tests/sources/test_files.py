import os
import shutil
import socket
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.errors import SourceError
from ingestion_assets.sources import Source
from ingestion_assets.sources.files import is_empty, read, walk
from ingestion_assets.sources.origin import Absent, Found
from ingestion_assets.sources.record import Record


def put(root: Path, uri: str, content: str = "words") -> Path:
    path = root / uri
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def uris(source: Source, partition_key: str | None = None) -> list[str]:
    return [found.uri for found in walk(source, partition_key)]


def only(source: Source) -> Any:
    (item,) = walk(source)
    return item


def content(source: Source, found: Found) -> tuple[datetime | None, bytes]:
    now = read(source, found.uri)
    assert isinstance(now, Record)
    return now.modified_at, now.raw()


def test_files_come_in_order_of_uri(root, source):
    names = ["b.md", "a/c.md", "a-b.md", "a.md", "a/b/c.md", "ä.md", "a/b.md"]
    for name in names:
        put(root, name)
    assert uris(source) == sorted(names)


def test_found_says_size_and_time_in_microseconds(root, source):
    path = put(root, "a.md", "12345")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    modified_at = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert only(source) == Found("a.md", 5, modified_at)


@pytest.mark.parametrize("seconds", [-(2**40), 2**40])
def test_absurd_times_are_clamped(root, source, seconds):
    path = put(root, "a.md")
    os.utime(path, (seconds, seconds))
    assert only(source).modified_at.tzinfo is UTC


def test_include_and_exclude_select(root, source):
    for name in ["a.md", "b.txt", "drafts/c.md", "docs/d.md", ".git/e.md", "node_modules/f/g.md"]:
        put(root, name)
    chosen = replace(source, include=("**/*.md",), exclude=("drafts",))
    assert uris(chosen) == ["a.md", "docs/d.md"]


def test_excluded_folders_are_not_even_listed(open_root, source, as_nobody):
    put(open_root, "a.md")
    put(open_root, "closed/b.md")
    (open_root / "closed").chmod(0)
    with as_nobody():
        assert uris(replace(source, root=open_root, exclude=("closed",))) == ["a.md"]


def test_partitions_divide_the_files(root, source):
    names = sorted(f"page{n}.md" for n in range(40))
    for name in names:
        put(root, name)
    source = replace(source, buckets=4)
    parts = [uris(source, key) for key in source.partition_keys()]
    assert sorted(chain(*parts)) == names
    assert all(source.partition_key(uri) == source.partition_keys()[2] for uri in parts[2])


def test_links_inside_the_root_are_files(root, source):
    put(root, "a.md", "target")
    (root / "b.md").symlink_to("a.md")
    link: Any = list(walk(source))[1]
    assert (link.uri, link.bytes) == ("b.md", 6)
    assert content(source, link) == (link.modified_at, b"target")


def test_links_out_of_the_root_are_named_and_not_followed(root, source):
    put(root.parent, "secret.md")
    (root / "a.md").symlink_to("../secret.md")
    error = only(source)
    assert isinstance(error, SourceError)
    assert (error.uri, "outside the root" in str(error)) == ("a.md", True)


def test_links_to_folders_and_to_nothing_are_passed_over(root, source):
    put(root, "sub/a.md")
    (root / "loop").symlink_to(".")
    (root / "sub" / "up").symlink_to("..")
    (root / "dangling.md").symlink_to("nowhere.md")
    assert uris(source) == ["sub/a.md"]


def test_a_link_to_itself_is_named(root, source):
    (root / "a.md").symlink_to("a.md")
    assert isinstance(only(source), SourceError)


def test_what_is_no_file_is_passed_over(root, source):
    os.mkfifo(root / "pipe.md")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "s.md"))
        assert uris(source) == []


def test_a_name_that_is_not_utf8_is_named(root, source):
    with open(os.fsencode(root) + b"/caf\xe9.md", "w"):
        pass
    os.mkdir(os.fsencode(root) + b"/dir\xe9")
    first, second = walk(source)
    assert (first.uri, second.uri) == ("caf\\xe9.md", "dir\\xe9/")
    assert "rename" in str(first)


def test_a_name_that_is_not_utf8_belongs_to_one_partition(root, source):
    with open(os.fsencode(root) + b"/caf\xe9.md", "w"):
        pass
    source = replace(source, buckets=4)
    assert [len(uris(source, key)) for key in source.partition_keys()].count(1) == 1


def test_a_file_over_the_limit_is_named_with_the_limit(root, source):
    put(root, "a.md", "12345")
    error = only(replace(source, max_bytes=4))
    assert isinstance(error, SourceError)
    assert "5 bytes, more than the 4" in str(error)


def test_a_missing_root_is_an_error(source):
    source.root.rmdir()
    with pytest.raises(SourceError, match=r"'handbook'.*mount it"):
        list(walk(source))


def test_a_root_that_is_a_file_is_an_error(root, source):
    root.rmdir()
    root.write_text("")
    with pytest.raises(SourceError, match="Not a directory"):
        list(walk(source))


def test_an_unreadable_root_is_an_error(open_root, source, as_nobody):
    closed = open_root / "closed"
    closed.mkdir(mode=0)
    with as_nobody(), pytest.raises(SourceError, match="Permission denied"):
        list(walk(replace(source, root=closed)))


def test_a_root_that_goes_away_during_the_walk_is_an_error(root, source):
    put(root, "a.md")
    put(root, "b/c.md")
    found = walk(source)
    next(found)
    shutil.rmtree(root)
    with pytest.raises(SourceError):
        list(found)


def test_a_root_that_is_replaced_during_the_walk_is_an_error(root, source):
    put(root, "a.md")
    put(root, "b/c.md")
    found = walk(source)
    next(found)
    root.rename(root.parent / "old")
    root.mkdir()
    with pytest.raises(SourceError, match="replaced"):
        list(found)


def test_an_unreadable_folder_is_named_and_the_rest_goes_on(open_root, source, as_nobody):
    put(open_root, "a/x.md")
    put(open_root, "b.md")
    (open_root / "a").chmod(0)
    with as_nobody():
        error, found = walk(replace(source, root=open_root))
    assert (error.uri, found.uri) == ("a/", "b.md")
    assert "Permission denied" in str(error)


def test_read_gives_bytes_and_what_the_file_is_now(root, source):
    path = put(root, "a.md", "old")
    found = only(source)
    path.write_text("newer")
    os.utime(path, (1000, 1000))
    assert content(source, found) == (datetime.fromtimestamp(1000, UTC), b"newer")


def test_a_file_that_vanished_is_absent(root, source):
    put(root, "sub/a.md")
    found = only(source)
    shutil.rmtree(root / "sub")
    assert read(source, found.uri) == Absent(found.uri)


def test_an_unreadable_file_is_named(open_root, source, as_nobody):
    put(open_root, "a.md").chmod(0)
    source = replace(source, root=open_root)
    with as_nobody(), pytest.raises(SourceError, match=r"'a\.md'.*Permission denied"):
        read(source, only(source).uri)


def test_a_file_that_became_a_pipe_does_not_block(root, source):
    path = put(root, "a.md")
    found = only(source)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SourceError, match="no regular file"):
        read(source, found.uri)


def test_a_file_that_became_a_folder_is_named(root, source):
    path = put(root, "a.md")
    found = only(source)
    path.unlink()
    path.mkdir()
    with pytest.raises(SourceError):
        read(source, found.uri)


def test_a_file_that_became_a_link_out_is_not_read(root, source):
    secret = put(root.parent, "secret.md")
    path = put(root, "a.md")
    found = only(source)
    path.unlink()
    path.symlink_to(secret)
    with pytest.raises(SourceError, match="outside"):
        read(source, found.uri)


def test_a_folder_that_becomes_a_link_while_opening_is_not_followed(root, source, monkeypatch):
    put(root.parent, "outside/a.md", "secret")
    put(root, "sub/a.md")
    found = only(source)
    (root / "sub").rename(root / "moved")
    (root / "sub").symlink_to("../outside")
    # The check of where links lead was made just before the folder became one.
    monkeypatch.setattr(os.path, "realpath", str)
    assert read(source, found.uri) == Absent(found.uri)


def test_a_file_that_grew_over_the_limit_is_not_read(root, source):
    source = replace(source, max_bytes=10)
    path = put(root, "a.md")
    found = only(source)
    path.write_text("x" * 11)
    with pytest.raises(SourceError, match="11 bytes"):
        read(source, found.uri)


def test_empty_means_nothing_at_all(root, source):
    assert is_empty(source)
    put(root, ".keep")
    assert not is_empty(source)
