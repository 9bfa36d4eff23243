"""What is set in the environment changes what a run does; one test for each such variable."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import pairwise
from uuid import UUID, uuid4

import dagster as dg
import pytest

from ingestion_assets.changes import Text
from ingestion_assets.chunks.chunk import Chunk
from ingestion_assets.chunks.chunking import Chunking
from ingestion_assets.defs import build
from ingestion_assets.defs.resources import ChunkerResource, OllamaResource
from ingestion_assets.documents import blocks
from ingestion_assets.embedding import EmbeddingStream
from ingestion_assets.embedding.delivery import Rejected
from ingestion_assets.errors import IngestionError, ModelError
from ingestion_assets.settings import Settings
from ingestion_assets_tests.services.faulty_ollama import Double, running

TEXTS = 24


@dataclass
class Outcome:
    """What became of the texts."""

    stream: EmbeddingStream
    embedded: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    error: IngestionError | None = None


def _resource(name: str, environment: dict[str, str]) -> object:
    settings = Settings.from_environment(environment)
    return (build.definitions(settings).resources or {})[name]


def _embed(double: Double, **environment: str) -> Outcome:
    """What the asset `embeddings` does with some texts, `poison` among them."""
    given = environment if "OLLAMA_HOSTS" in environment else {"OLLAMA_HOST": double.url}
    resource = {"ollama": _resource("ollama", {**given, **environment})}
    with (
        closing(asyncio.new_event_loop()) as loop,
        dg.build_resources(resource, event_loop=loop) as opened,
    ):
        ollama: OllamaResource = opened.ollama
        outcome = Outcome(ollama.stream(ollama.identify(), _pages()))
        ollama.run(_follow(outcome))
    return outcome


async def _follow(outcome: Outcome) -> None:
    try:
        async for vectors in outcome.stream:
            outcome.embedded += len(vectors.ids)
    except IngestionError as exc:
        outcome.error = exc
    outcome.rejected = outcome.stream.rejected


def _pages() -> Iterator[list[Text]]:
    texts = ["poison", *(f"text {n}" for n in range(1, TEXTS))]
    yield [
        Text(UUID(int=n), blake2b(text.encode(), digest_size=16).digest(), text, 3)
        for n, text in enumerate(texts)
    ]


def test_batch_size_limits_the_texts_of_a_request(ollama: Double) -> None:
    requests = []
    for size in ("2", "64"):
        ollama.reset()
        assert _embed(ollama, INGEST_BATCH_SIZE=size).embedded == TEXTS
        requests.append(ollama.stats()["requests"]["/api/embed"])
    assert requests[0] >= TEXTS / 2 > requests[1]


def test_workers_are_the_requests_in_flight_at_first(ollama: Double) -> None:
    in_flight = []
    for workers in ("1", "6"):
        ollama.reset(request_ms=50, slots=8)
        _embed(ollama, INGEST_BATCH_SIZE="4", INGEST_WORKERS=workers, INGEST_MAX_WORKERS=workers)
        in_flight.append(ollama.stats()["max_in_flight"])
    assert in_flight[0] <= 2 < in_flight[1]  # the connections are opened beside it


@pytest.mark.parametrize(("retries", "rejected"), [("0", 1), ("1", 0)])
def test_batch_retries_are_further_attempts(ollama: Double, retries: str, rejected: int) -> None:
    ollama.break_by({"fault": "F3", "match": "poison", "times": 3})
    outcome = _embed(ollama, INGEST_BATCH_RETRIES=retries, INGEST_BATCH_SIZE="4")
    assert (outcome.embedded, len(outcome.rejected)) == (TEXTS - rejected, rejected)


def test_timeout_gives_up_a_request_without_an_answer(ollama: Double) -> None:
    ollama.break_by({"fault": "F4", "match": "poison", "times": 1, "seconds": 20})
    outcome = _embed(ollama, INGEST_TIMEOUT="1")
    assert outcome.embedded == TEXTS
    assert outcome.stream.metrics.retries > 0  # what is waited for is not sent again


@pytest.mark.parametrize(("failures", "opened"), [("1", True), ("1000", False)])
def test_breaker_failures_take_a_server_out_for_its_seconds(
    ollama: Double, failures: str, opened: bool
) -> None:
    ollama.break_by({"fault": "F14", "match": "text", "times": 2})
    outcome = _embed(
        ollama,
        INGEST_BREAKER_FAILURES=failures,
        INGEST_BREAKER_SECONDS="0.1",
        INGEST_WORKERS="1",
        INGEST_MAX_WORKERS="1",
    )
    assert outcome.embedded == TEXTS
    [server] = outcome.stream.metrics.endpoints
    assert (server.breaker.opened > 0) == opened


def test_hosts_share_the_work(ollama: Double) -> None:
    ollama.reset(request_ms=50)
    with running(request_ms=50) as other:
        outcome = _embed(ollama, OLLAMA_HOSTS=f"{ollama.url},{other.url}", INGEST_BATCH_SIZE="2")
        assert outcome.embedded == TEXTS
        assert all(double.stats()["texts_embedded"] > 2 for double in (ollama, other))


@pytest.mark.parametrize(("pull", "pulls"), [("false", 0), ("true", 1)])
def test_auto_pull_fetches_a_missing_model(ollama: Double, pull: str, pulls: int) -> None:
    ollama.break_by({"fault": "F17", "match": "poison", "times": 1})
    outcome = _embed(ollama, INGEST_AUTO_PULL=pull, INGEST_BREAKER_SECONDS="0.1")
    assert ollama.stats()["requests"].get("/api/pull", 0) == pulls
    assert isinstance(outcome.error, ModelError) == (not pulls)


@pytest.mark.parametrize(("allowed", "loads"), [("false", 0), ("true", 1)])
def test_cpu_retry_loads_the_model_another_way_for_a_bad_text(
    ollama: Double, caplog: pytest.LogCaptureFixture, allowed: str, loads: int
) -> None:
    ollama.break_by({"fault": "F10", "match": "poison"})
    outcome = _embed(ollama, INGEST_CPU_RETRY=allowed)
    assert [found.text.text for found in outcome.rejected] == ["poison"]
    assert caplog.text.count("without a GPU for a text") == loads


def _chunks(**environment: str) -> list[Chunk]:
    chunking = _resource("chunking", environment)
    assert isinstance(chunking, ChunkerResource)
    text = " ".join(f"Sentence number {n} has a few words." for n in range(60))
    return chunking.chunker(Chunking()).split(uuid4(), text, blocks("text/plain", text), None)


def test_chunk_tokens_limit_a_chunk() -> None:
    small = _chunks(INGEST_CHUNK_TOKENS="40")
    assert max(chunk.tokens for chunk in small) <= 40
    assert 40 < max(chunk.tokens for chunk in _chunks()) <= 200


@pytest.mark.parametrize(("overlap", "shares"), [("0", False), ("20", True)])
def test_chunk_overlap_is_shared_by_neighbours(overlap: str, shares: bool) -> None:
    chunks = _chunks(INGEST_CHUNK_TOKENS="60", INGEST_CHUNK_OVERLAP=overlap)
    assert any(right.start < left.end for left, right in pairwise(chunks)) == shares
