from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.reconcile import (
    Chunked,
    Counts,
    Splitting,
    StoredChunk,
    StoredDocument,
    chunked_as,
)
from ingestion_assets_tests.chunks.given import WORDPIECE, prose

CHUNKER = Chunker(64, 10, WORDPIECE)


class Store:
    """What the store does with the batches, in memory."""

    def __init__(self) -> None:
        self.chunks: dict[UUID, Chunk] = {}
        self.chunked: dict[UUID, bytes] = {}
        self.asked: list[list[UUID]] = []

    def stored(self, document_ids: Sequence[UUID]) -> dict[UUID, list[StoredChunk]]:
        self.asked.append(list(document_ids))
        of: dict[UUID, list[StoredChunk]] = {document_id: [] for document_id in document_ids}
        for c in self.chunks.values():
            if c.document_id in of:
                of[c.document_id].append(
                    StoredChunk(c.chunk_id, c.ordinal, c.heading, c.content_hash, c.start, c.end)
                )
        return {document_id: chunks for document_id, chunks in of.items() if chunks}

    def write(self, batch: Chunked) -> None:
        for chunk_id in batch.gone:
            del self.chunks[chunk_id]
        assert not {c.chunk_id for c in batch.new} & self.chunks.keys()
        assert {c.chunk_id for c in batch.moved} <= self.chunks.keys()
        self.chunks |= {c.chunk_id: c for c in [*batch.new, *batch.moved]}
        self.chunked |= dict(batch.documents)

    def splitting(self, documents: Iterable[StoredDocument]) -> Splitting:
        return Splitting(documents, self.stored, CHUNKER)

    def run(self, documents: Iterable[StoredDocument]) -> Counts:
        splitting = self.splitting(documents)
        for batch in splitting:
            self.write(batch)
        return splitting.counts

    def texts(self) -> list[str]:
        return [
            c.text for c in sorted(self.chunks.values(), key=lambda c: (c.document_id, c.start))
        ]


def doc(
    n: int, text: str, prefix: str | None = None, partition_key: str = "handbook/00"
) -> StoredDocument:
    hashed = text.encode()[:16]
    return StoredDocument(UUID(int=n), partition_key, "text/markdown", "", text, hashed, prefix)


def test_a_first_run_is_all_new():
    store = Store()
    counts = store.run([doc(1, "# A\n\nOne.\n\n# B\n\nTwo.\n"), doc(2, "Three.\n")])
    assert store.texts() == ["One.", "Two.", "Three."]
    assert (counts.documents, counts.chunks, counts.new) == (2, 3, 3)
    assert (counts.moved, counts.kept, counts.gone) == (0, 0, 0)
    assert counts.tokens == sum(c.tokens for c in store.chunks.values())


def test_a_second_run_keeps_everything():
    store = Store()
    documents = [doc(n, f"# A\n\n{prose(20, f'topic {n}')}\n") for n in range(3)]
    store.run(documents)
    [batch] = store.splitting(documents)
    assert (batch.new, batch.moved, batch.gone) == ([], [], [])
    counts = store.run(documents)
    assert counts.kept == counts.chunks == len(store.chunks)


def test_an_edit_is_one_new_one_gone_and_the_rest_moved():
    store = Store()
    store.run([doc(1, "# A\n\nOne.\n\n# B\n\nTwo.\n\n# C\n\nThree.\n")])
    counts = store.run([doc(1, "# A\n\nOne.\n\n# B\n\nTwo, longer.\n\n# C\n\nThree.\n")])
    assert (counts.new, counts.gone, counts.moved, counts.kept) == (1, 1, 1, 1)
    assert store.texts() == ["One.", "Two, longer.", "Three."]


def test_a_renamed_heading_moves_its_chunks():
    store = Store()
    store.run([doc(1, "# A\n\nOne.\n")])
    [batch] = store.splitting([doc(1, "# Z\n\nOne.\n")])
    assert ([c.heading for c in batch.moved], batch.new, batch.gone) == (["Z"], [], [])


def test_an_emptied_document_is_chunked_and_its_chunks_gone():
    store = Store()
    store.run([doc(1, "One.\n")])
    counts = store.run([doc(1, "")])
    assert (counts.documents, counts.gone, counts.chunks) == (1, 1, 0)
    assert store.chunks == {}


def test_documents_are_named_with_what_they_were_chunked_as():
    store = Store()
    document = doc(1, "One.\n", prefix="passage: ")
    store.run([document])
    fingerprint = CHUNKER.fingerprint("passage: ")
    assert store.chunked == {document.document_id: chunked_as(document.content_hash, fingerprint)}


def test_chunked_as_changes_with_content_and_chunker():
    names = {chunked_as(hashed, chunker) for hashed in (b"a", b"b") for chunker in ("1", "2")}
    assert {len(name) for name in names} == {16}
    assert len(names) == 4


def test_a_batch_has_one_partition_and_one_chunker():
    documents = [
        doc(1, "One.\n"),
        doc(2, "Two.\n"),
        doc(3, "Three.\n", "passage: "),
        doc(4, "Four.\n", "passage: ", "handbook/01"),
    ]
    batches = list(Store().splitting(documents))
    assert [(b.partition_key, b.chunker, len(b.documents)) for b in batches] == [
        ("handbook/00", CHUNKER.fingerprint(None), 2),
        ("handbook/00", CHUNKER.fingerprint("passage: "), 1),
        ("handbook/01", CHUNKER.fingerprint("passage: "), 1),
    ]


def large(n: int) -> str:
    return "\n\n".join(f"# Section {i}\n\nText number {i}." for i in range(n))


def test_batches_are_bounded_and_only_the_last_completes_the_document():
    batches = list(Store().splitting([doc(1, large(5000))]))
    assert [len(b.new) <= 2000 for b in batches] == [True] * len(batches)
    assert [len(b.documents) for b in batches] == [0] * (len(batches) - 1) + [1]
    assert sum(len(b.new) for b in batches) == 5000


def test_large_texts_fill_a_batch_sooner():
    first, *others = Store().splitting([doc(1, ("a" + " " * 15) * 150_000)])
    assert len(first.new) < 1900
    assert others


def test_a_run_that_dies_between_batches_is_completed_by_the_next():
    store, whole = Store(), Store()
    document = doc(1, large(5000))
    store.write(next(iter(store.splitting([document]))))
    assert store.chunked == {}
    counts = store.run([document])
    whole.run([document])
    assert 0 < counts.kept < counts.chunks == 5000
    assert store.chunks == whole.chunks


def test_old_chunks_go_only_with_the_batch_that_completes_the_document():
    store = Store()
    store.run([doc(1, "Old text.\n")])
    batches = list(store.splitting([doc(1, large(5000))]))
    assert [len(b.gone) for b in batches] == [0] * (len(batches) - 1) + [1]


def test_documents_are_read_a_few_at_a_time():
    read = []

    def documents() -> Iterator[StoredDocument]:
        for n in range(200):
            read.append(n)
            yield doc(n, large(500))

    store = Store()
    next(iter(store.splitting(documents())))
    assert len(read) == len(store.asked[0]) == 32
