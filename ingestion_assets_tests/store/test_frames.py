"""A partition comes back exactly as it was stored, however many pages it takes."""

import numpy as np
import pandas as pd
import pytest

from ingestion_assets.store import chunks, frames
from ingestion_assets.store.frames import Frames
from ingestion_assets_tests.store import rows

READERS = [frames.documents, frames.chunks, frames.embeddings]


@pytest.fixture(params=[2, 3, 6, 5000])
def page(request, monkeypatch):
    """Rows of a page; the partition of these tests has six of each."""
    monkeypatch.setattr(frames, "PAGE", request.param)
    return request.param


@pytest.fixture
def stored(connection):
    generation = rows.generation(connection)
    owners = [rows.store(connection, f"{n}.md", [f"text {n}"]) for n in range(6)]
    rows.store(connection, "elsewhere.md", ["text"], key="notes/01")
    rows.embed(connection, generation, [chunk for _, (chunk,) in owners])
    return owners


def test_documents_come_back_as_they_were_written(connection, stored, page):
    frame = Frames(frames.documents(connection, rows.KEY)).whole()
    assert list(frame.index) == list(range(6))
    for owner, _ in stored:
        (row,) = frame[frame["document_id"] == owner.document_id].to_dict("records")
        for column, value in row.items():
            assert value == getattr(owner, column) or (value is getattr(owner, column) is None)


def test_chunks_come_back_as_they_were_written(connection, stored, page):
    frame = Frames(frames.chunks(connection, rows.KEY)).whole()
    found = frame[
        ["chunk_id", "document_id", "ordinal", "heading", "text", "content_hash", "tokens",
         "start_offset", "end_offset"]
    ]  # fmt: skip
    expected = [
        (c.chunk_id, c.document_id, c.ordinal, c.heading, c.text, c.content_hash, c.tokens,
         c.start, c.end)
        for _, (c,) in stored
    ]  # fmt: skip
    assert list(found.itertuples(index=False, name=None)) == sorted(expected)
    assert set(frame["partition_key"]) == {rows.KEY}
    assert set(frame["chunker"]) == {rows.CHUNKER}


def test_vectors_come_back_as_they_were_written(connection, stored, page):
    frame = Frames(frames.embeddings(connection, rows.KEY)).whole()
    pieces = sorted((chunk for _, (chunk,) in stored), key=lambda c: c.chunk_id)
    matrix = np.stack(list(frame["embedding"]))
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, rows.vectors(pieces).matrix)
    assert list(frame["content_hash"]) == [chunk.content_hash for chunk in pieces]
    assert list(frame["document_id"]) == [chunk.document_id for chunk in pieces]
    assert frame["embedded_at"].notna().all()


def test_half_precision_vectors_come_back_as_float32(connection):
    generation = rows.generation(connection, dimensions=2048)
    _, pieces = rows.store(connection, "a.md", ["one", "two"])
    rows.embed(connection, generation, pieces)
    frame = Frames(frames.embeddings(connection, rows.KEY)).whole()
    expected = rows.vectors(sorted(pieces, key=lambda c: c.chunk_id), 2048).matrix
    assert frame["embedding"][0].dtype == np.float32
    np.testing.assert_array_equal(
        np.stack(list(frame["embedding"])), expected.astype(np.float16).astype(np.float32)
    )


@pytest.mark.parametrize("read", READERS)
def test_pages_are_full_and_none_is_empty(connection, stored, page, read):
    sizes = [len(frame) for frame in read(connection, rows.KEY)]
    assert sizes == {2: [2, 2, 2], 3: [3, 3]}.get(page, [6])


@pytest.mark.parametrize("read", READERS)
def test_an_empty_partition_is_one_empty_frame_with_the_columns(connection, stored, read):
    full = Frames(read(connection, rows.KEY)).whole()
    (empty,) = read(connection, "notes/99")
    assert len(empty) == 0
    assert list(empty.columns) == list(full.columns)


def test_without_a_generation_the_columns_are_the_same(connection):
    (before,) = frames.embeddings(connection, rows.KEY)
    rows.generation(connection)
    (after,) = frames.embeddings(connection, rows.KEY)
    assert (list(before.columns), len(before)) == (list(after.columns), 0)


def test_superseded_chunks_are_left_out(connection, stored):
    owner, gone = stored[0]
    chunks.write(connection, rows.batch(owner, gone=gone))
    for read in (frames.chunks, frames.embeddings):
        assert gone[0].chunk_id not in set(Frames(read(connection, rows.KEY)).whole()["chunk_id"])


def test_empty_pages_between_full_ones_do_not_change_the_types():
    full = pd.DataFrame({"n": [1, 2]})
    whole = Frames(iter([full.head(0).astype(object), full, full.head(0).astype(object), full]))
    pd.testing.assert_frame_equal(whole.whole(), pd.DataFrame({"n": [1, 2, 1, 2]}))
