from ingestion_assets.chunks.chunk import content_hash
from ingestion_assets.chunks.chunking import Chunking
from ingestion_assets_tests.chunks.given import WORDPIECE, prose, split

PARTS = ("# Guide", "## Retries", "Again.")


def test_the_heading_path_alone_is_embedded_unless_something_else_is_asked_for():
    [chunk] = split(*PARTS, title="The whole guide")
    assert (chunk.heading, chunk.context) == ("Guide > Retries", None)
    assert chunk.content_hash == content_hash(None, "Guide > Retries", "Again.")


def test_without_heading_only_the_text_is_embedded():
    [chunk] = split(*PARTS, title="The whole guide", rules=Chunking(heading=False))
    assert (chunk.heading, chunk.context) == ("Guide > Retries", "")
    assert chunk.content_hash == content_hash(None, "", "Again.")
    assert chunk.tokens == 2


def test_the_title_is_embedded_before_the_path():
    [chunk] = split(*PARTS, title="The whole \n guide", rules=Chunking(title=True))
    path = "The whole guide > Guide > Retries"
    assert (chunk.heading, chunk.context) == ("Guide > Retries", path)
    assert chunk.content_hash == content_hash(None, path, "Again.")


def test_the_title_can_stand_alone():
    [chunk] = split(*PARTS, title="Manual", rules=Chunking(title=True, heading=False))
    assert chunk.context == "Manual"


def test_a_title_that_is_the_first_heading_is_embedded_once():
    [chunk] = split(*PARTS, title="Guide", rules=Chunking(title=True))
    assert chunk.context is None


def test_a_long_title_leaves_room_for_the_text():
    chunks = split(*PARTS[:2], prose(30), title="long title " * 90, rules=Chunking(title=True))
    assert all(chunk.context == "… > Retries" or len(chunk.context or "") < 300 for chunk in chunks)
    assert WORDPIECE.count([chunks[0].context or ""])[0] <= 50


def test_ids_do_not_depend_on_what_is_embedded_before_the_text():
    rules = [Chunking(), Chunking(heading=False), Chunking(title=True)]
    chunks = [split(*PARTS, title="T", rules=rule)[0] for rule in rules]
    assert len({chunk.chunk_id for chunk in chunks}) == 1
    assert len({chunk.content_hash for chunk in chunks}) == 3
