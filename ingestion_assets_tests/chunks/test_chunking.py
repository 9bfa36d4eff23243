import pytest

from ingestion_assets.chunks.chunker import Chunker
from ingestion_assets.chunks.chunking import Chunking, Kind
from ingestion_assets.errors import ConfigError
from ingestion_assets_tests.chunks.given import WORDPIECE


def test_what_is_not_given_comes_from_the_settings():
    assert Chunking().limits(200, 30) == (200, 30)
    assert Chunking(size=40).limits(200, 30) == (40, 20)
    assert Chunking(size=400, overlap=0).limits(200, 30) == (400, 0)


def test_an_overlap_beyond_half_of_the_size_is_refused():
    with pytest.raises(ValueError, match="overlap 60 is more than half of size 100"):
        Chunking(size=100, overlap=60)
    with pytest.raises(
        ConfigError, match=r"overlap 60 is more than half of size 100.*larger `size`"
    ):
        Chunking(overlap=60).limits(100, 30)


def test_a_minimum_beyond_the_size_is_refused():
    with pytest.raises(ValueError, match="minimum 101 is more than size 100"):
        Chunking(size=100, minimum=101)


def test_every_rule_is_in_the_fingerprint():
    rules = [
        Chunking(),
        *(Chunking(kind) for kind in Kind if kind is not Kind.STRUCTURE),
        Chunking(minimum=20),
        Chunking(minimum=40),
        Chunking(heading=False),
        Chunking(title=True),
    ]
    names = {Chunker(200, 30, WORDPIECE, rule).fingerprint(None) for rule in rules}
    assert len(names) == len(rules)
