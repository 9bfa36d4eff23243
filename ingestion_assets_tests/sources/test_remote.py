"""What fsspec reads is a source; its memory and local files stand for the others."""

import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from ingestion_assets.errors import ConfigError, MassDeletionError, SourceError
from ingestion_assets.sources import Source
from ingestion_assets.sources.listing import digests
from ingestion_assets.sources.origins import origin
from ingestion_assets_tests.sources.given import LONG_AGO, Store, counts, put


@pytest.fixture
def bucket() -> Iterator[str]:
    """A url below which there are four objects."""
    url = f"memory://{uuid4().hex}/docs"
    for uri in ("a.md", "guide/b.md", "guide/old/c.md", "d.txt"):
        _put(url, uri)
    yield url
    fsspec.filesystem("memory").rm(url, recursive=True)


def _put(url: str, uri: str, text: str = "words") -> None:
    with fsspec.open(f"{url}/{uri}", "w") as file:
        file.write(text)


def _remove(url: str, uri: str) -> None:
    fsspec.filesystem("memory").rm(f"{url}/{uri}")


@pytest.fixture
def source(bucket: str) -> Source:
    return Source("handbook", url=bucket)


@pytest.fixture
def local(root: Path) -> Source:
    """A source of local files, of which each folder is listed by a request of its own."""
    for uri in ("a.md", "guide/b.md", "guide/old/c.md", "d.txt"):
        put(root, uri)
    return Source("handbook", url=f"file://{root}")


def uris(source: Source) -> list[str]:
    return sorted(found.uri for found in origin(source).survey() or ())


def test_objects_are_documents_wherever_they_lie(source: Source, local: Source) -> None:
    for one in (source, local):
        assert uris(one) == ["a.md", "d.txt", "guide/b.md", "guide/old/c.md"]
        chosen = replace(one, include=("**/*.md",), exclude=("guide/old",))
        assert uris(chosen) == ["a.md", "guide/b.md"]
        assert counts(Store().run(one)) == {"seen": 4, "new": 4, "bytes_read": 20}


def test_only_what_has_another_time_is_read(local: Source, root: Path) -> None:
    store = Store()
    store.run(local)
    put(root, "a.md", b"other", LONG_AGO + 1)
    assert counts(store.run(local)) == {"seen": 4, "unchanged": 3, "changed": 1, "bytes_read": 5}


def test_a_version_that_the_store_names_decides(
    source: Source, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = type(fsspec.filesystem("memory"))
    find = memory.find

    def with_versions(self, path, **options):
        found = find(self, path, **options)
        return {name: {**info, "ETag": f'"{self.cat(name)!r}"'} for name, info in found.items()}

    monkeypatch.setattr(memory, "find", with_versions)
    store = Store()
    store.run(source)
    before = digests(source)
    _put(bucket, "a.md")  # another time
    assert counts(store.run(source)) == {"seen": 4, "unchanged": 4}
    assert digests(source) == before
    _put(bucket, "a.md", "other")
    assert counts(store.run(source)) == {"seen": 4, "unchanged": 3, "changed": 1, "bytes_read": 5}
    assert digests(source) != before


def test_many_objects_are_fetched_in_batches(source: Source, bucket: str) -> None:
    for n in range(70):
        _put(bucket, f"more/{n}.md")
    assert Store().run(source).counts.new == 74


def test_objects_that_are_gone_are_deleted(source: Source, bucket: str) -> None:
    store = Store()
    store.run(source)
    _remove(bucket, "a.md")
    assert store.run(source).counts.gone == 1
    for uri in ("guide/b.md", "guide/old/c.md", "d.txt"):
        _remove(bucket, uri)
    with pytest.raises(MassDeletionError, match="is empty, but 3"):
        store.run(source)
    _put(bucket, "a.md")


def test_an_object_that_is_too_large_is_not_fetched(source: Source, bucket: str) -> None:
    _put(bucket, "a.md", "x" * 99)
    run = Store().run(replace(source, max_bytes=98))
    assert [(f.uri, "99 bytes" in f.message) for f in run.failures] == [("a.md", True)]
    assert run.counts.bytes_read == 15


def test_a_missing_root_deletes_nothing(local: Source, root: Path) -> None:
    store = Store()
    store.run(local)
    root.rename(root.parent / "away")
    with pytest.raises(SourceError, match=r"cannot be read.*FileNotFoundError.*nothing is deleted"):
        store.run(local, allow_deletion=True)


def test_what_lies_in_a_folder_that_cannot_be_listed_stays(open_root: Path, as_nobody) -> None:
    for uri in ("a.md", "sub/b.md"):
        put(open_root, uri)
    source, store = Source("handbook", url=f"file://{open_root}"), Store()
    store.run(source)
    (open_root / "sub").chmod(0)
    with as_nobody():
        run = store.run(source)
    assert [failure.uri for failure in run.failures] == ["sub/"]
    assert sorted(store.known) == ["a.md", "sub/b.md"]


def test_links_are_not_followed(local: Source, root: Path) -> None:
    (root / "up").symlink_to(root)
    os.symlink("/etc/hostname", root / "link.md")
    assert uris(local) == ["a.md", "d.txt", "guide/b.md", "guide/old/c.md"]


@pytest.mark.parametrize(
    ("url", "package", "what"),
    [
        ("s3://bucket/docs", "s3fs", r"needs the extra 's3'"),
        ("gcs://bucket/docs", "gcsfs", "needs a package that is not installed.*gcsfs"),
    ],
)
def test_what_is_not_installed_is_named(source: Source, url: str, package: str, what: str) -> None:
    if find_spec(package):
        pytest.skip(f"{package} is installed")
    with pytest.raises(ConfigError, match=what):
        uris(replace(source, url=url))


def test_an_unknown_scheme_is_named(source: Source) -> None:
    with pytest.raises(SourceError, match="Protocol not known"):
        uris(replace(source, url="nothing://bucket/docs"))
