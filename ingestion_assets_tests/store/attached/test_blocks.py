"""Blocks are embedded by their type, and headings within the headings above them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from ingestion_assets.store.attached import AttachedQueue, detach
from ingestion_assets.store.attached.wanted import Wanted
from ingestion_assets.store.connection import Connection
from ingestion_assets_tests.store.attached.given import (
    BLOCKS,
    OF_BLOCKS,
    attached,
    queue,
    statuses,
    work,
)

CONTENTS = [
    ("heading_1", {"text": "Install"}),
    ("paragraph", {"text": "Fetch it first."}),
    ("heading_2", {"text": "Linux"}),
    ("list", {"items": ["deb", {"text": "rpm", "items": ["dnf", "zypper"]}]}),
    ("table", {"header": ["Name", "Size"], "rows": [["deb", 3], ["rpm", 4]]}),
    ("code", {"code": "apt install x", "language": "bash"}),
    ("mermaid", {"code": "graph TD"}),
    ("paragraph", {"text": " "}),
    ("heading_1", {"text": "Use"}),
    ("callout", {"text": "Careful."}),
    ("video", {"url": "x.mp4"}),
]


def insert(connection: Connection, title: str, contents: list[tuple[str, Any]]) -> str:
    """Insert a document and its blocks; its id."""
    row = connection.execute("INSERT INTO documents (title) VALUES (%s) RETURNING id", (title,))
    (document,) = row.fetchone() or ("",)
    for position, (kind, content) in enumerate(contents):
        connection.execute(
            "INSERT INTO blocks (document_id, position, block_type, content)"
            " VALUES (%s, %s, %s, %s)",
            (document, position, kind, json.dumps(content)),
        )
    return str(document)


@pytest.fixture
def blocks(connection):
    """One document of eleven blocks."""
    connection.execute(BLOCKS)
    insert(connection, "Handbook", CONTENTS)
    return connection


@pytest.fixture
def worker(blocks, database) -> AttachedQueue:
    return queue(database, attached(blocks, OF_BLOCKS, prefix=""))


def test_the_text_depends_on_the_type(blocks, worker):
    assert set(work(worker)) == {
        "Handbook > Install",
        "Fetch it first.",
        "Handbook > Install > Linux",
        "- deb\n- rpm\n  - dnf\n  - zypper",
        "Name: deb; Size: 3\nName: rpm; Size: 4",
        "```bash\napt install x\n```",
        "Handbook > Use",
        "Careful.",
    }
    assert statuses(blocks, "blocks")["skipped"] == ["11", "7", "8"]


def test_an_instruction_prefix_stands_before_every_text(blocks, database):
    prefix = "Represent this platform knowledge base section for retrieval: "
    worker = queue(database, attached(blocks, OF_BLOCKS, prefix=prefix))
    assert prefix + "Fetch it first." in work(worker)


def test_a_changed_title_embeds_the_headings_again_and_nothing_else(blocks, worker):
    work(worker)
    blocks.execute("UPDATE documents SET title = title")
    assert work(worker) == []
    blocks.execute("UPDATE documents SET title = 'Manual'")
    assert statuses(blocks, "blocks")["pending"] == ["1", "3", "9"]
    assert sorted(work(worker)) == ["Manual > Install", "Manual > Install > Linux", "Manual > Use"]


def test_a_changed_heading_embeds_those_below_it_again_and_no_others(blocks, worker):
    work(worker)
    blocks.execute("""UPDATE blocks SET content = '{"text": "Set up"}' WHERE id = 1""")
    assert sorted(work(worker)) == ["Handbook > Set up", "Handbook > Set up > Linux"]
    assert statuses(blocks, "blocks").keys() == {"completed", "skipped"}


def test_a_heading_that_goes_or_comes_embeds_those_below_it_again(blocks, worker):
    work(worker)
    blocks.execute("DELETE FROM blocks WHERE id = 1")
    assert work(worker) == ["Handbook > Linux"]
    blocks.execute(
        "INSERT INTO blocks (document_id, position, block_type, content)"
        """ SELECT id, 0, 'heading_1', '{"text": "First"}' FROM documents"""
    )
    assert sorted(work(worker)) == ["Handbook > First", "Handbook > First > Linux"]


def test_a_heading_that_moves_is_embedded_where_it_stands_now(blocks, worker):
    work(worker)
    blocks.execute("UPDATE blocks SET position = 20 WHERE id = 3")
    assert work(worker) == ["Handbook > Use > Linux"]


def test_a_block_that_becomes_a_heading_is_one(blocks, worker):
    work(worker)
    blocks.execute("UPDATE blocks SET block_type = 'heading_3' WHERE id = 2")
    assert work(worker) == ["Handbook > Install > Fetch it first."]


def test_blocks_of_another_document_are_left_alone(blocks, worker):
    insert(blocks, "Other", [("heading_1", {"text": "Install"})])
    work(worker)
    blocks.execute("UPDATE documents SET title = 'New' WHERE title = 'Other'")
    assert work(worker) == ["New > Install"]


def test_other_fields_of_the_content_and_other_positions_embed_nothing(blocks, worker):
    work(worker)
    blocks.execute("""UPDATE blocks SET content = content || '{"by": "me"}', position = position""")
    blocks.execute("UPDATE blocks SET position = position + 100")
    assert work(worker) == []
    assert statuses(blocks, "blocks").keys() == {"completed", "skipped"}


def test_a_document_that_is_deleted_leaves_nothing_behind(blocks, worker):
    work(worker)
    blocks.execute("DELETE FROM documents")
    assert statuses(blocks, "blocks") == {}


def test_a_heading_that_changes_while_another_is_embedded_is_not_lost(blocks, worker):
    texts = worker.claim(20)
    blocks.execute("""UPDATE blocks SET content = '{"text": "Set up"}' WHERE id = 1""")
    held = {text.text for text in texts if text.text.startswith("Handbook")}
    assert "Handbook > Install > Linux" in held
    worker.release()
    assert "Handbook > Set up > Linux" in work(worker)


def test_the_title_and_the_level_may_be_columns_of_the_blocks(connection, database):
    connection.execute(
        "CREATE TABLE blocks (id int PRIMARY KEY, doc text, pos int, lvl int, title text,"
        " block_type text, content text)"
    )
    connection.execute(
        "INSERT INTO blocks VALUES (1, 'a', 1, 1, 'T', 'Heading', 'One'),"
        " (2, 'a', 2, 2, 'T', 'Heading', 'Two'), (3, 'a', 3, NULL, 'T', 'text', 'body')"
    )
    wanted = Wanted(
        type="block_type", content="content", document="doc", position="pos", level="lvl",
        title="title",
    )  # fmt: skip
    made = attached(connection, replace(OF_BLOCKS, wanted=wanted), prefix=None)
    worker = queue(database, made)
    assert sorted(work(worker)) == ["T > One", "T > One > Two", "body"]
    connection.execute("UPDATE blocks SET title = 'U'")
    assert sorted(work(worker)) == ["U > One", "U > One > Two"]
    connection.execute("UPDATE blocks SET lvl = 1 WHERE id = 2")
    assert work(worker) == ["U > Two"]
    detach(connection, "blocks")


def test_blocks_without_documents_have_no_context(connection, database):
    connection.execute("CREATE TABLE blocks (id int PRIMARY KEY, block_type text, content text)")
    connection.execute("INSERT INTO blocks VALUES (1, 'heading', '# One'), (2, NULL, NULL)")
    wanted = Wanted(type="block_type", content="content")
    made = attached(connection, replace(OF_BLOCKS, wanted=wanted), prefix=None)
    assert work(queue(database, made)) == ["One"]
    assert statuses(connection, "blocks") == {"completed": ["1"], "skipped": ["2"]}
