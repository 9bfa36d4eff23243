"""A writer takes a partition's batches and says what came of them."""

from ingestion_assets.changes import Changes
from ingestion_assets.store import sources
from ingestion_assets.store.writers import ChunksWriter, DocumentsWriter, EmbeddingsWriter
from ingestion_assets_tests.store import rows


def test_documents_and_chunks_are_counted(connection):
    sources.register(connection, "notes", "files", 1, {})
    document = rows.document("a.md")
    writer = DocumentsWriter(connection, rows.KEY)
    writer.begin()
    writer.write(Changes([document]))
    assert writer.finish() == {"rows": 1}
    chunks_writer = ChunksWriter(connection, rows.KEY)
    chunks_writer.begin()
    chunks_writer.write(rows.batch(document, new=rows.split(document, ["one", "two"])))
    assert chunks_writer.finish() == {"rows": 2}


def test_texts_that_were_embedded_before_are_not_missing(connection):
    generation = rows.generation(connection)
    _, (one,) = rows.store(connection, "a.md", ["one"], key="notes/01")
    rows.embed(connection, generation, [one])
    rows.store(connection, "b.md", ["one", "two", "two", "three"])
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    writer.begin()
    two, three = rows.missing(connection, generation)[:2]
    assert len(rows.missing(connection, generation)) == 3
    writer.write(rows.vectors([text for text in (two, three) if text.text != "three"][:1]))
    assert writer.finish() == {"rows": 3, "chunks": 4, "embedded": 1, "reused": 2, "missing": 1}
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_the_last_partition_activates_a_generation(connection):
    rows.generation(connection, model="m")
    for key in ("notes/00", "notes/01"):
        rows.store(connection, f"{key}.md", [key], key=key)
    second = rows.generation(connection, model="n")
    statuses = []
    for key in ("notes/00", "notes/01"):
        writer = EmbeddingsWriter(connection, key, second)
        writer.begin()
        writer.write(rows.vectors(rows.missing(connection, second, key), model="n"))
        writer.finish()
        statuses.append(rows.generation(connection, model="n").status)
    assert statuses == ["building", "active"]
