import io
import stat
import zipfile
from dataclasses import replace

import pytest

from ingestion_assets.errors import ArchiveError, MassDeletionError
from ingestion_assets.sources import Record, archives, listing
from ingestion_assets.sources.origin import Found
from ingestion_assets_tests.sources.given import LONG_AGO, Store, counts, put

MB = 1_000_000


def packed(*members: tuple[str | zipfile.ZipInfo, bytes], **how) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", **{"compression": zipfile.ZIP_DEFLATED, **how}) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = (stat.S_IFLNK | 0o777) << 16
    return made


def read(raw: bytes, max_bytes: int = MB) -> dict[str, str]:
    """Each member's text, or the class of its error."""
    try:
        return {
            found.uri.removeprefix("a.zip"): (
                found.raw().decode() if isinstance(found, Record) else type(found).__name__
            )
            for found in archives.members(Record("a.zip", raw), max_bytes)
        }
    except ArchiveError as exc:
        return {exc.uri: type(exc).__name__}


@pytest.fixture
def store():
    return Store()


def stored(store: Store) -> list[str]:
    return sorted(store.known)


def test_members_are_documents_of_their_own(root, source, store):
    put(root, "in/a.zip", packed(("guide/x.md", b"# Ropes"), ("y.txt", b"words")))
    run = store.run(replace(source, include=("**/*.zip",)))
    rows = {row.uri: row for row in store.changes[0].rows}
    assert {uri: row.title for uri, row in rows.items()} == {
        "in/a.zip!/guide/x.md": "Ropes",
        "in/a.zip!/y.txt": "y",
    }
    assert rows["in/a.zip!/y.txt"].modified_at.timestamp() == LONG_AGO
    assert counts(run) == {"seen": 2, "new": 2, "bytes_read": rows["in/a.zip!/y.txt"].bytes}


def test_an_unchanged_archive_is_not_read(root, source, store):
    put(root, "a.zip", packed(("x.md", b"1"), ("y.md", b"2")))
    store.run(source)
    assert counts(store.run(source)) == {"seen": 2, "unchanged": 2}


def test_members_are_added_changed_and_removed_like_files(root, source, store):
    put(root, "a.zip", packed(("same.md", b"1"), ("changed.md", b"2"), ("gone.md", b"3")))
    store.run(source)
    raw = packed(("same.md", b"1"), ("changed.md", b"two"), ("new.md", b"4"))
    put(root, "a.zip", raw, LONG_AGO + 5)
    found = counts(store.run(source))
    assert found == {
        "seen": 3, "new": 1, "changed": 1, "touched": 1, "gone": 1, "bytes_read": len(raw),
    }  # fmt: skip
    assert counts(store.run(source)) == {"seen": 3, "unchanged": 3}


def test_an_archive_that_is_gone_takes_its_members_with_it(root, source, store):
    put(root, "a.zip", packed(("x.md", b"1"), ("y.md", b"2")))
    put(root, "b.md")
    store.run(source)
    (root / "a.zip").unlink()
    assert counts(store.run(source))["gone"] == 2
    assert stored(store) == ["b.md"]


def test_an_archive_counts_as_one_document_where_many_are_gone(root, source, store):
    put(root, "a.zip", packed(*((f"{n}.md", b"%d" % n) for n in range(9))))
    for n in range(4):
        put(root, f"{n}.md", b"%d" % n)
    store.run(source)
    (root / "0.md").unlink()
    assert counts(store.run(source))["gone"] == 1
    for n in range(1, 4):
        (root / f"{n}.md").unlink()
    with pytest.raises(MassDeletionError, match="3 of the 4 documents"):
        store.run(source)


def test_an_archive_that_broke_keeps_what_is_stored_of_it(root, source, store):
    raw = packed(("x.md", b"1"))
    put(root, "a.zip", raw)
    store.run(source)
    put(root, "a.zip", raw[:-10], LONG_AGO + 1)
    run = store.run(source)
    assert [(f.uri, f.error_class) for f in run.failures] == [("a.zip", "ArchiveError")]
    assert stored(store) == ["a.zip!/x.md"]


def test_a_member_that_fails_is_named_again_by_every_run(root, source, store):
    put(root, "a.zip", packed(("x.md", b"1"), ("../y.md", b"2")))
    for _ in range(2):
        (failure,) = store.run(source).failures
        assert failure.error_class == "UnsafeMemberError"


def test_all_members_belong_to_the_partition_of_their_archive(root, source, store):
    source = replace(source, buckets=16)
    put(root, "a.zip", packed(*((f"{n}.md", b"%d" % n) for n in range(20))))
    key = source.partition_key("a.zip")
    store.run(source, key)
    assert {source.partition_key(uri) for uri in store.known} == {key}
    assert len(store.known) == 20


def test_a_stored_archive_has_the_digest_of_its_file(root, source, store):
    source = replace(source, buckets=4)
    put(root, "a.zip", packed(*((f"{n}.md", b"%d" % n) for n in range(5))))
    for key in source.partition_keys():
        store.run(source, key)
    entries = [Found(uri, known.bytes, known.modified_at) for uri, known in store.known.items()]
    assert len(entries) == 5
    assert listing.digests(source, entries) == listing.digests(source)


def test_archives_in_an_archive_are_read_once_deep():
    deepest = packed(("z.md", b"deep"))
    inner = packed(("y.md", b"inner"), ("c.zip", deepest))
    assert read(packed(("x.md", b"outer"), ("b.zip", inner))) == {
        "!/x.md": "outer",
        "!/b.zip!/y.md": "inner",
        "!/b.zip!/c.zip": "ArchiveLimitError",
    }


@pytest.mark.parametrize("name", ["../x.md", "/etc/x.md", "a/../../x.md", "..\\x.md", "C:\\x.md"])
def test_a_name_that_leads_out_is_an_error_and_the_rest_is_read(name):
    found = read(packed((name, b"evil"), ("y.md", b"fine")))
    assert list(found.values()) == ["UnsafeMemberError", "fine"]


def test_a_member_without_a_name_is_an_error_and_the_rest_is_read():
    raw = packed(("x", b"1"), ("y.md", b"fine"), compression=zipfile.ZIP_STORED)
    nameless = raw.replace(b"x", b"\0")  # which ends a name
    assert read(nameless) == {"!/": "UnsafeMemberError", "!/y.md": "fine"}


def test_a_link_is_an_error_and_the_rest_is_read():
    found = read(packed((link("x.md"), b"/etc/passwd"), ("y.md", b"fine")))
    assert found == {"!/x.md": "UnsafeMemberError", "!/y.md": "fine"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_an_error():
    found = [
        type(found).__name__
        for found in archives.members(
            Record("a.zip", packed(("x.md", b"1"), ("x.md", b"2"), ("y.md", b"3"))), MB
        )
    ]
    assert found == ["Record", "DuplicateMemberError", "Record"]


def test_an_encrypted_member_is_an_error():
    raw = bytearray(packed(("x.md", b"1"), ("y.md", b"fine")))
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    assert read(bytes(raw)) == {"!/x.md": "EncryptedMemberError", "!/y.md": "fine"}


def test_a_damaged_member_is_an_error():
    raw = packed(("x.md", b"aaaa"), ("y.md", b"fine"), compression=zipfile.ZIP_STORED)
    assert read(raw.replace(b"aaaa", b"aaab")) == {"!/x.md": "ArchiveError", "!/y.md": "fine"}


def test_a_method_that_unpacks_without_bounds_is_an_error():
    assert read(packed(("x.md", b"1"), compression=zipfile.ZIP_LZMA)) == {"!/x.md": "ArchiveError"}


def test_hidden_members_are_left_out_as_in_folders():
    raw = packed(("__MACOSX/._x.md", b""), (".git/config", b""), ("dir/", b""), ("x.md", b"1"))
    assert read(raw) == {"!/x.md": "1"}


def test_a_flat_bomb_costs_its_member():
    bomb = packed(("bomb.txt", bytes(50 * MB)), ("y.md", b"fine"))
    assert len(bomb) < MB / 10
    assert read(bomb) == {"!/bomb.txt": "ArchiveLimitError", "!/y.md": "fine"}


def test_a_header_that_lies_about_the_size_is_not_trusted():
    raw = bytearray(packed(("bomb.txt", bytes(50 * MB))))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        size = raw.index(mark) + at
        raw[size : size + 4] = (10).to_bytes(4, "little")
    assert read(bytes(raw)) == {"!/bomb.txt": "ArchiveError"}


def test_members_share_the_bytes_they_may_have(monkeypatch):
    monkeypatch.setattr(archives, "_MOST_BYTES", 3 * MB)
    nested = packed(*((f"{n}.txt", bytes(MB)) for n in range(9)))
    raw = packed(("b.zip", nested), ("c.zip", nested))
    found = list(_taken(raw))
    assert found[-1] == "a.zip: ArchiveLimitError"
    assert len(found) <= 5


def test_members_are_counted_across_nested_archives(monkeypatch):
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 10)
    nested = packed(*((f"{n}.txt", b"") for n in range(6)))
    assert list(_taken(packed(("b.zip", nested), ("c.zip", nested))))[8:] == [
        "a.zip: ArchiveLimitError"
    ]


def _taken(raw: bytes):
    try:
        for found in archives.members(Record("a.zip", raw), MB):
            yield found.uri
    except ArchiveError as exc:
        yield f"{exc.uri}: {type(exc).__name__}"


def test_a_document_that_is_packed_like_an_archive_is_no_archive():
    docx = packed(("[Content_Types].xml", b""), ("word/document.xml", b""))
    assert not archives.is_archive(Record("a.zip", docx))
    assert not archives.is_archive(Record("a.jar", packed(("x.md", b""))))
