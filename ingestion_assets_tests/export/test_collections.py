"""Collections as files: what they hold, and when they are written."""

import json
import re
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest

from ingestion_assets.errors import (
    ConfigError,
    ExportError,
    StoreError,
    StoreUnavailableError,
)
from ingestion_assets.export import Exported, Selection, export
from ingestion_assets.store import collections
from ingestion_assets.store.connection import Connection, connect, partition_lock
from ingestion_assets_tests.export.given import document
from ingestion_assets_tests.store import rows


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def stored(connection: Connection) -> Connection:
    """Three collections: people/pay of two documents, people/uncategorised, uncategorised/notes."""
    document(connection, "b.md", "people", "pay", ["b0", "b1"])
    document(connection, "a.md", "people", "pay", ["a0", "a1", "a2"])
    document(connection, "c.md", "people", None)
    document(connection, "d.md", None, "notes", key="wiki/00")
    return connection


def _files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return found


def _again(stored: Connection, folder: Path | str, **selection: Any) -> Exported:
    return export(stored, str(folder), Selection(**selection))


def test_a_file_for_each_collection_and_format(stored, folder):
    done = _again(stored, folder)
    assert _files(folder) == {
        "_manifest.json",
        *(
            f"{name}.{ending}"
            for name in ("people/pay", "people/uncategorised", "uncategorised/notes")
            for ending in ("json", "parquet")
        ),
    }
    assert (done.collections, done.chunks, done.missing, done.unchanged) == (3, 9, 0, 0)
    assert done.bytes == sum((folder / path).stat().st_size for path in done.written)


def test_json_has_the_chunks_in_the_order_of_their_documents(stored, folder):
    _again(stored, folder)
    found = _json(folder / "people" / "pay.json")
    chunks = found.pop("chunks")
    assert found == {
        "domain": "people",
        "category": "pay",
        "model": "m",
        "digest": "sha",
        "dimensions": 4,
        "generation": 1,
        "count": 5,
        "missing": 0,
    }
    assert [(c["uri"], c["ordinal"], c["text"]) for c in chunks] == [
        ("a.md", 0, "a0"), ("a.md", 1, "a1"), ("a.md", 2, "a2"),
        ("b.md", 0, "b0"), ("b.md", 1, "b1"),
    ]  # fmt: skip
    assert chunks[1]["metadata"] == {"tags": ["a", "ü"], "depth": {"n": 1.5}}
    assert (chunks[1]["title"], chunks[1]["start"], chunks[1]["end"]) == ("A.Md", 10, 12)


def test_pandas_reads_parquet_with_the_vector_of_each_text(stored, folder):
    _again(stored, folder)
    frame = pd.read_parquet(folder / "people" / "pay.parquet")
    assert list(frame["text"]) == ["a0", "a1", "a2", "b0", "b1"]
    assert set(frame["domain"]) == {"people"}
    matrix = np.stack(list(frame["embedding"]))
    assert matrix.dtype == np.float32
    hashes = [bytes.fromhex(hashed) for hashed in frame["content_hash"]]
    assert np.array_equal(matrix, [rows.vector(hashed) for hashed in hashes])
    [chunk] = frame[frame["text"] == "a1"].to_dict("records")
    [same] = [c for c in _json(folder / "people/pay.json")["chunks"] if c["text"] == "a1"]
    same["metadata"] = json.dumps(same["metadata"], ensure_ascii=False)
    assert {name: chunk[name] for name in same} == same
    empty = pd.read_parquet(folder / "uncategorised" / "notes.parquet")["domain"]
    assert empty.isna().all()


def test_a_second_run_writes_nothing(stored, folder):
    _again(stored, folder)
    before = {path: (folder / path).stat().st_mtime_ns for path in _files(folder)}
    done = _again(stored, folder)
    assert (done.written, done.removed, done.bytes, done.unchanged) == ([], [], 0, 6)
    assert {path: (folder / path).stat().st_mtime_ns for path in _files(folder)} == before


def test_only_the_collection_that_changed_is_written(stored, folder):
    _again(stored, folder)
    document(stored, "e.md", "people", None, ["new"])
    assert sorted(_again(stored, folder).written) == [
        "people/uncategorised.json",
        "people/uncategorised.parquet",
    ]


def test_other_metadata_and_other_vectors_are_changes_too(stored, folder):
    _again(stored, folder)
    stored.execute("UPDATE ingestion.documents SET metadata = '{\"n\": 1e999}' WHERE uri = 'a.md'")
    assert len(_again(stored, folder).written) == 2
    assert _json(folder / "people/pay.json")["chunks"][0]["metadata"] == {"n": 10**999}
    stored.execute("UPDATE ingestion.embeddings_1 SET embedded_at = now() + interval '1 s'")
    assert len(_again(stored, folder).written) == 6


def test_what_vanished_is_removed_and_what_moved_moves(stored, folder):
    _again(stored, folder)
    stored.execute("DELETE FROM ingestion.documents WHERE uri = 'd.md'")
    stored.execute("UPDATE ingestion.documents SET category = 'leave' WHERE uri = 'c.md'")
    done = _again(stored, folder)
    assert sorted(done.removed) == [
        "people/uncategorised.json", "people/uncategorised.parquet",
        "uncategorised/notes.json", "uncategorised/notes.parquet",
    ]  # fmt: skip
    assert sorted(done.written) == ["people/leave.json", "people/leave.parquet"]
    assert not (folder / "uncategorised").exists()


def test_a_file_that_was_deleted_or_cut_is_written_again(stored, folder):
    _again(stored, folder)
    (folder / "people/pay.json").unlink()
    (folder / "people/pay.parquet").write_bytes(b"PAR1")
    assert sorted(_again(stored, folder).written) == ["people/pay.json", "people/pay.parquet"]


def test_what_a_selection_leaves_out_stays_as_it_is(stored, folder):
    _again(stored, folder)
    stored.execute("DELETE FROM ingestion.documents WHERE uri = 'd.md'")
    document(stored, "e.md", "people", "pay", ["new"])
    done = _again(stored, folder, include=[("people", "uncat*")])
    assert (done.written, done.removed, done.unchanged) == ([], [], 2)
    done = _again(stored, folder, formats=["json"])
    assert done.written == ["people/pay.json"]
    assert len(done.removed) == 2
    assert len(pd.read_parquet(folder / "people/pay.parquet")) == 5


def test_an_export_of_a_source_has_its_documents_only(stored, folder):
    document(stored, "e.md", "people", "pay", ["theirs"], key="wiki/00")
    assert _again(stored, folder, sources=["wiki"]).chunks == 3
    texts = [c["text"] for c in _json(folder / "people/pay.json")["chunks"]]
    assert texts == ["theirs"]
    with pytest.raises(ConfigError, match=r"export of source wiki.*--to"):
        _again(stored, folder)


def test_chunks_without_the_vector_of_their_text_are_counted_and_left_out(stored, folder):
    document(stored, "e.md", "people", "pay", ["waits"], embedded=False)
    document(stored, "f.md", "new", "new", ["waits too"], embedded=False)
    done = _again(stored, folder)
    assert (done.collections, done.chunks, done.missing) == (3, 9, 2)
    assert _json(folder / "people/pay.json")["missing"] == 1
    stored.execute(
        "UPDATE ingestion.embeddings_1 SET content_hash = '\\x00' WHERE chunk_id ="
        " (SELECT chunk_id FROM ingestion.chunks WHERE text = 'a1')"
    )
    assert _again(stored, folder).missing == 3
    assert "a1" not in [c["text"] for c in _json(folder / "people/pay.json")["chunks"]]


def test_all_files_are_of_one_moment(stored, folder, database, monkeypatch):
    listing = collections.listing

    def and_then_it_changes(*arguments):
        found = listing(*arguments)
        with connect(database) as other:
            document(other, "late.md", "people", "pay", ["late"])
            other.execute("DELETE FROM ingestion.documents WHERE uri = 'd.md'")
        return found

    monkeypatch.setattr(collections, "listing", and_then_it_changes)
    _again(stored, folder)
    assert _json(folder / "people/pay.json")["count"] == 5
    assert len(_json(folder / "people/pay.json")["chunks"]) == 5
    assert len(_json(folder / "uncategorised/notes.json")["chunks"]) == 2


def test_the_vectors_are_the_active_generations(stored, folder):
    other = rows.generation(stored, model="other")
    rows.embed(stored, other, document(stored, "x.md", "x", "x", embedded=False))
    assert not (folder / "x").exists()
    done = _again(stored, folder)
    assert (done.chunks, done.missing, other.status) == (9, 2, "building")
    assert _json(folder / "people/pay.json")["model"] == "m"


def test_domains_that_are_paths_stay_in_the_folder(stored, folder):
    for n, domain in enumerate(("../../escaped", "/etc", "..", "", "PEOPLE", "a/b", "x" * 9000)):
        document(stored, f"{n}.md", domain, domain)
    done = _again(stored, folder)
    assert len(_files(folder)) == len(done.written) + 1 == 21
    assert _files(folder.parent) == {f"out/{path}" for path in _files(folder)}
    domains = {_json(folder / path)["domain"] for path in done.written if path.endswith("json")}
    assert {"../../escaped", "/etc", "..", "", "PEOPLE", "people", "a/b", None} < domains
    assert _again(stored, folder).unchanged == 20


def test_an_export_that_fails_changes_nothing_and_the_next_one_is_whole(
    stored, folder, monkeypatch
):
    _again(stored, folder)
    before = {path: (folder / path).read_bytes() for path in _files(folder)}
    document(stored, "e.md", "people", "pay", ["new"])
    with monkeypatch.context() as broken:
        broken.setattr(Path, "replace", _fail)
        with pytest.raises(ExportError, match="no space"):
            _again(stored, folder)
    assert {path: (folder / path).read_bytes() for path in _files(folder)} == before
    assert len(_again(stored, folder).written) == 2


def test_a_killed_export_leaves_nothing_behind_for_ever(stored, folder, monkeypatch):
    """It had put a new file in its place when it died, and then its collection went away."""
    _again(stored, folder)
    document(stored, "e.md", "late", "late", ["new"])
    replace = Path.replace
    with monkeypatch.context() as broken:
        broken.setattr(
            Path, "replace",
            lambda path, to: _fail() if to.name == "late.parquet" else replace(path, to),
        )  # fmt: skip
        with pytest.raises(ExportError):
            _again(stored, folder)
    assert (folder / "late/late.json").exists()
    stored.execute("DELETE FROM ingestion.documents WHERE uri = 'e.md'")
    _again(stored, folder)
    assert not (folder / "late").exists()


def _fail(*_: object) -> None:
    raise OSError("no space left on device")


def test_a_file_of_somebody_else_is_not_replaced(stored, folder):
    (folder / "people").mkdir(parents=True)
    (folder / "people/pay.json").write_text("mine")
    with pytest.raises(ConfigError, match=r"'people/pay.json' is there already"):
        _again(stored, folder)
    assert (folder / "people/pay.json").read_text() == "mine"


@pytest.mark.parametrize(
    "content", ["", "[]", '{"files": [], "sources": []}', '{"made_by": "me", "files": [{}]}']
)
def test_a_manifest_of_somebody_else_is_refused(stored, folder, content):
    folder.mkdir()
    (folder / "_manifest.json").write_text(content)
    with pytest.raises(ConfigError, match="choose another folder"):
        _again(stored, folder)


def test_a_manifest_cannot_have_a_file_outside_removed(stored, folder):
    _again(stored, folder)
    victim = folder.parent / "victim.json"
    victim.write_text("{}")
    manifest = json.loads((folder / "_manifest.json").read_text())
    manifest["files"][0]["path"] = "../victim.json"
    (folder / "_manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError):
        _again(stored, folder)
    assert victim.exists()


def test_any_fsspec_url_will_do(stored):
    url = "memory://exports/of/today"
    assert len(_again(stored, url).written) == 6
    files = fsspec.filesystem("memory")
    with files.open("/exports/of/today/people/pay.parquet") as file:
        assert len(pd.read_parquet(file)) == 5
    stored.execute("DELETE FROM ingestion.documents WHERE uri = 'd.md'")
    done = _again(stored, url)
    assert (done.where, done.unchanged, len(done.removed)) == (url, 4, 2)
    assert not files.exists("/exports/of/today/uncategorised/notes.json")


@pytest.mark.parametrize(
    ("url", "named"), [("s3://bucket/x", "s3fs"), ("gs://b", "gcsfs"), ("nope://x", "nope")]
)
def test_a_driver_that_is_missing_is_named(stored, url, named):
    with pytest.raises(ConfigError, match=named):
        _again(stored, url)


def test_a_folder_that_cannot_be_written_is_named(stored, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="file/out"):
        _again(stored, tmp_path / "file" / "out")


def test_two_exports_to_one_folder_do_not_meet(stored, folder, database):
    with (
        connect(database) as other,
        partition_lock(other, f"export:{folder}"),
        pytest.raises(StoreUnavailableError),
    ):
        _again(stored, folder)


def test_nothing_embedded_yet_is_said(connection, folder):
    with pytest.raises(StoreError, match="ingest run"):
        _again(connection, folder)


def test_every_field_is_documented(stored, folder):
    _again(stored, folder)
    page = (Path(__file__).parents[2] / "docs" / "collections.md").read_text()
    documented = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    found = _json(folder / "people/pay.json")
    assert list(found["chunks"][0]) == documented[:-1]
    frame = pd.read_parquet(folder / "people/pay.parquet")
    assert list(frame) == ["domain", "category", *documented]
    assert all(f'"{name}"' in page for name in found)
