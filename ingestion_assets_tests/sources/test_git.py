"""A git repository on disk is a source: what is tracked, as it lies there."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from ingestion_assets.errors import ConfigError, MassDeletionError, SourceError
from ingestion_assets.sources import Source
from ingestion_assets.sources.git import WorkTree
from ingestion_assets.sources.listing import digests
from ingestion_assets_tests.sources.given import LONG_AGO, Store, counts, put


def git(folder: Path, *arguments: str) -> str:
    me = ["-c", "user.name=me", "-c", "user.email=me@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *me, "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.fixture
def repository(root: Path) -> Path:
    git(root, "init", "--quiet")
    for uri in ("a.md", "guide/b.md", "guide/old/c.md", "d.txt"):
        put(root, uri)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "first")
    put(root, "draft.md")
    return root


@pytest.fixture
def source(repository: Path) -> Source:
    return Source("handbook", git=repository)


def uris(source: Source) -> list[str]:
    return [found.uri for found in WorkTree(source).survey()]


def test_tracked_files_are_documents_and_others_are_not(source: Source) -> None:
    assert uris(source) == ["a.md", "d.txt", "guide/b.md", "guide/old/c.md"]


def test_include_and_exclude_select(source: Source) -> None:
    source = replace(source, include=("**/*.md",), exclude=("guide/old",))
    assert uris(source) == ["a.md", "guide/b.md"]


def test_documents_know_the_commit_they_were_read_from(source: Source, repository: Path) -> None:
    store = Store()
    store.run(source)
    first = git(repository, "rev-parse", "HEAD")
    assert {row.metadata["commit"] for row in store.changes[0].rows} == {first}
    put(repository, "a.md", b"other words", LONG_AGO + 1)
    git(repository, "commit", "--quiet", "--all", "--message", "second")
    run = store.run(source)
    [row] = store.changes[0].rows
    assert (row.uri, row.metadata["commit"]) == ("a.md", git(repository, "rev-parse", "HEAD"))
    assert counts(run) == {"seen": 4, "unchanged": 3, "changed": 1, "bytes_read": 11}


def test_what_is_not_committed_is_read_all_the_same(source: Source, repository: Path) -> None:
    store = Store()
    store.run(source)
    put(repository, "a.md", b"edited", LONG_AGO + 1)
    git(repository, "add", "draft.md")
    run = store.run(source)
    assert (run.counts.changed, run.counts.new) == (1, 1)


def test_another_commit_alone_changes_no_document(source: Source, repository: Path) -> None:
    store = Store()
    store.run(source)
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "empty")
    os.utime(repository / "a.md", (LONG_AGO + 1, LONG_AGO + 1))
    run = store.run(source)
    assert counts(run) == {"seen": 4, "unchanged": 3, "touched": 1, "bytes_read": 5}


def test_removed_and_untracked_files_are_gone(source: Source, repository: Path) -> None:
    store = Store()
    store.run(source)
    git(repository, "rm", "--quiet", "--cached", "a.md")
    (repository / "d.txt").unlink()
    assert store.run(source).counts.gone == 2
    git(repository, "rm", "--quiet", "-r", "--cached", ".")
    with pytest.raises(MassDeletionError, match="is empty, but 2"):
        store.run(source)


def test_submodules_and_links_out_are_left_out(
    source: Source, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (repository / "link.md").symlink_to(tmp_path / "secret.md")
    git(repository, "submodule", "--quiet", "add", str(repository), "module")
    git(repository, "add", ".")
    run = Store().run(source)
    assert [failure.uri for failure in run.failures] == ["link.md"]
    assert not [uri for uri in uris(source) if uri.startswith("module")]


def test_a_file_in_conflict_comes_once(source: Source, repository: Path) -> None:
    git(repository, "checkout", "--quiet", "-b", "other")
    put(repository, "a.md", b"theirs")
    git(repository, "commit", "--quiet", "--all", "--message", "theirs")
    git(repository, "checkout", "--quiet", "-")
    put(repository, "a.md", b"ours")
    git(repository, "commit", "--quiet", "--all", "--message", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    assert uris(source).count("a.md") == 1


def test_a_repository_without_any_commit_is_read(root: Path) -> None:
    git(root, "init", "--quiet")
    put(root, "a.md")
    git(root, "add", ".")
    store = Store()
    store.run(Source("handbook", git=root))
    assert "commit" not in store.changes[0].rows[0].metadata


def test_a_sensor_sees_what_changed(source: Source, repository: Path) -> None:
    source = replace(source, buckets=4)
    before = digests(source)
    put(repository, "a.md", b"other words")
    after = digests(source)
    assert {k for k in before if before[k] != after[k]} == {source.partition_key("a.md")}


def test_a_folder_of_a_repository_is_a_source(repository: Path) -> None:
    assert uris(Source("handbook", git=repository / "guide")) == ["b.md", "old/c.md"]


def test_what_is_no_repository_deletes_nothing(source: Source, repository: Path) -> None:
    store = Store()
    store.run(source)
    (repository / ".git").rename(repository / "elsewhere")
    with pytest.raises(SourceError, match=r"not a git repository.*clone it there"):
        store.run(source, allow_deletion=True)
    repository.rename(repository.parent / "away")
    with pytest.raises(SourceError, match="no such folder; mount it"):
        store.run(source, allow_deletion=True)
    assert len(store.known) == 4


def test_a_missing_command_is_named(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="install git"):
        uris(source)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_another_users_repository_is_named(
    source: Source, repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # where no safe.directory is
    for path in (repository, repository / ".git"):
        os.chown(path, 65534, 65534)
    with pytest.raises(SourceError, match=r"dubious ownership.*safe\.directory"):
        uris(source)
