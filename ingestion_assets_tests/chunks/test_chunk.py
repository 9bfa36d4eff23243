from uuid import UUID

from ingestion_assets.chunks.chunk import chunk_id, content_hash, embedded_text

DOCUMENT = UUID(int=7 << 64)


def test_heading_gives_the_text_its_context() -> None:
    assert embedded_text("Guide > Retries", "Again.") == "Guide > Retries\n\nAgain."
    assert embedded_text("", "Again.") == "Again."


def test_content_hash_names_prefix_heading_and_text() -> None:
    hashes = {
        content_hash(prefix, heading, text)
        for prefix in (None, "", "query: ")
        for heading in ("", "Guide")
        for text in ("Again.", "Once.")
    }
    assert len(hashes) == 12
    assert content_hash(None, "Guide", "Once.") == content_hash(None, "Guide", "Once.")


def test_chunk_id_depends_on_document_text_and_occurrence() -> None:
    ids = {chunk_id(DOCUMENT, text, n) for text in ("a", "b") for n in (0, 1)}
    assert len(ids) == 4
    assert {i.bytes[:8] for i in ids} == {DOCUMENT.bytes[:8]}
