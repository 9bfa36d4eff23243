"""A writer takes a partition's batches and says what came of them."""

from ingestion_assets.changes import Changes
from ingestion_assets.errors import OllamaUnavailableError, PoisonTextError
from ingestion_assets.store import sources, status
from ingestion_assets.store.generations import active
from ingestion_assets.store.ledger import Failed
from ingestion_assets.store.writers import ChunksWriter, DocumentsWriter, EmbeddingsWriter
from ingestion_assets_tests.store import rows


def test_documents_and_chunks_are_counted(connection):
    sources.register(connection, "notes", "files", 1, {})
    document = rows.document("a.md")
    writer = DocumentsWriter(connection, rows.KEY)
    writer.write(Changes([document]))
    assert writer.finish() == {"rows": 1}
    chunks_writer = ChunksWriter(connection, rows.KEY)
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
    assert writer.finish() == {
        "rows": 3, "chunks": 4, "embedded": 1, "reused": 2, "quarantined": 0, "missing": 1,
    }  # fmt: skip
    assert rows.every_vector_belongs_to_its_text(connection, generation)


def test_rejected_texts_and_their_twins_are_counted(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["poison", "poison", "down", "good"])
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    writer.begin()
    found = {text.text: text for text in rows.missing(connection, generation)}
    poison, down = found["poison"], found["down"]
    writer.reject(
        [
            Failed(poison.chunk_id, poison.content_hash, "PoisonTextError", "NaN", True),
            Failed(down.chunk_id, down.content_hash, "OllamaUnavailableError", "refused", False),
        ]
    )
    writer.write(rows.vectors([found["good"]]))
    assert writer.finish() == {
        "rows": 1, "chunks": 4, "embedded": 1, "reused": 0, "quarantined": 2, "missing": 1,
    }  # fmt: skip


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


def test_giving_up_names_the_reason_for_all_that_is_missing(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["good", "one", "two"])
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    writer.begin()
    found = {text.text: text for text in rows.missing(connection, generation)}
    writer.write(rows.vectors([found["good"]]))
    for _ in range(2):
        writer.give_up(OllamaUnavailableError("http://h", "refused"))
    assert [(f.error_class, f.attempts, f.quarantined) for f in status.failures(connection)] == [
        ("OllamaUnavailableError", 2, False)
    ] * 2
    again = rows.missing(connection, generation)
    assert {text.text for text in again} == {"one", "two"}
    writer.write(rows.vectors(again))
    assert status.failures(connection) == []


def test_giving_up_leaves_texts_in_quarantine(connection):
    generation = rows.generation(connection)
    rows.store(connection, "a.md", ["poison", "one"])
    writer = EmbeddingsWriter(connection, rows.KEY, generation)
    poison = next(t for t in rows.missing(connection, generation) if t.text == "poison")
    writer.reject([Failed.of(poison, PoisonTextError("http://h", "NaN"))])
    writer.give_up(OllamaUnavailableError("http://h", "refused"))
    assert {f.error_class: f.quarantined for f in status.failures(connection)} == {
        "PoisonTextError": True,
        "OllamaUnavailableError": False,
    }


def test_generation_that_can_embed_nothing_does_not_become_active(connection):
    _, (one,) = rows.store(connection, "a.md", ["one"])
    old = rows.generation(connection, model="old")
    rows.embed(connection, old, [one])
    new = rows.generation(connection, model="new")
    [text] = rows.missing(connection, new)
    writer = EmbeddingsWriter(connection, rows.KEY, new)
    writer.reject([Failed.of(text, PoisonTextError("http://h", "NaN"))])
    assert writer.finish()["quarantined"] == 1
    assert active(connection) == old
