"""Servers that give other vectors than they gave, and vectors that are not their text's."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from psycopg import sql

from ingestion_assets.changes import Vectors
from ingestion_assets.doctor import fidelity, reembedding
from ingestion_assets.doctor.fidelity import Verdict
from ingestion_assets.doctor.servers import Said, ask
from ingestion_assets.embedding import Endpoints, Ollama
from ingestion_assets.embedding.fidelity import NAME, TEXTS, Probe
from ingestion_assets.store import baselines, claims, embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.damage.finding import Scope
from ingestion_assets.store.generations import Generation, Recipe, open_generation
from ingestion_assets_tests.services.faulty_ollama import Double, running
from ingestion_assets_tests.store import rows

MODEL = Recipe("all-minilm", "0123456789abcdef", 384, "", "", {"num_ctx": 256, "num_batch": 256})


@pytest.fixture(scope="module")
def started() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def double(started: Double) -> Double:
    started.reset()
    return started


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


@pytest.fixture
def generation(connection: Connection, double: Double) -> Generation:
    """Four chunks with the double's vectors; two of them have the same text."""
    generation = open_generation(connection, MODEL)
    _, chunks = rows.store(connection, "a.md", ["one", "two", "three", "three"])
    matrix = np.array([double.vector(chunk.text) for chunk in chunks], np.float32)
    ids, hashes = [c.chunk_id for c in chunks], [c.content_hash for c in chunks]
    assert embeddings.write(connection, generation, Vectors(ids, hashes, matrix)) == 4
    return generation


def _ask(
    connection: Connection, generation: Generation, *doubles: Double, sample: int = 10
) -> Said:
    sampled = reembedding.sample(connection, generation, Scope(), sample) if sample else []

    async def asked() -> Said:
        async with Endpoints([Ollama(d.url, timeout=5) for d in doubles], deadline=5) as servers:
            return await ask(servers, generation, sampled)

    return asyncio.run(asked())


def _verdict(connection: Connection, generation: Generation, *doubles: Double) -> Verdict:
    said = _ask(connection, generation, *doubles, sample=0)
    return fidelity.compare(connection, generation, said.probes)


def _kinds(verdict: Verdict) -> list[str]:
    return [found.kind.name for found in verdict.findings]


def test_what_a_model_gives_at_first_is_recorded_and_found_again(
    connection: Connection, generation: Generation, double: Double
) -> None:
    assert baselines.stored(connection, generation) is None
    assert _kinds(_verdict(connection, generation, double)) == []
    known = baselines.stored(connection, generation)
    assert known is not None
    assert (known.server_version, list(known.chunkers)) == ("0.33.0", [rows.CHUNKER])
    assert known.matrix.shape == (len(TEXTS), 384)
    again = _verdict(connection, generation, double)
    assert (_kinds(again), again.versions) == ([], {double.url: "0.33.0"})
    assert max(again.drift, again.batch, again.spread) < 1e-6


def test_drift_is_found_and_says_what_changed(
    connection: Connection, generation: Generation, double: Double
) -> None:
    _verdict(connection, generation, double)
    connection.execute(
        "UPDATE ingestion.baselines SET server_version = '0.12.0',"
        " vectors[3:3][:] = vectors[4:4][:]"
    )
    verdict = _verdict(connection, generation, double)
    [drift] = verdict.findings
    assert drift.kind is fidelity.DRIFT
    assert verdict.drift > 0.1
    [example] = drift.examples
    assert "Ollama was 0.12.0, is 0.33.0" in example
    assert "the model was 0123456789ab, is " in example
    assert f"1 of {len(TEXTS)} texts" in example
    assert TEXTS[2][:20] in example


def test_vectors_of_other_texts_are_not_compared_but_recorded_anew(
    connection: Connection, generation: Generation, double: Double
) -> None:
    baselines.keep(connection, generation, b"others", np.zeros((2, 384), np.float32), "0.1.0")
    assert _kinds(_verdict(connection, generation, double)) == []
    known = baselines.stored(connection, generation)
    assert known is not None
    assert (known.texts, known.server_version) == (NAME, "0.33.0")


def test_list_whose_vectors_are_those_of_other_texts_is_found(
    connection: Connection, generation: Generation, double: Double
) -> None:
    double.break_by({"fault": "F21", "batch": 2})
    assert _kinds(_verdict(connection, generation, double)) == ["batches_disagree"]


def test_servers_that_differ_or_are_silent_are_found(
    connection: Connection, generation: Generation, double: Double
) -> None:
    [probe] = _ask(connection, generation, double, sample=0).probes
    assert isinstance(probe, Probe)
    other = replace(probe, url="http://other", alone=probe.alone[::-1], listed=probe.listed[::-1])
    verdict = fidelity.judge(generation, None, [probe, other])
    assert _kinds(verdict) == ["servers_disagree"]
    assert verdict.findings[0].examples[0].startswith("http://other gives other vectors than")
    double.break_by({"fault": "F15"})
    assert _kinds(_verdict(connection, generation, double)) == ["servers_silent"]


def test_right_vectors_are_not_found_wrong(
    connection: Connection, generation: Generation, double: Double
) -> None:
    said = _ask(connection, generation, double)
    assert said.wrong == []
    assert reembedding.findings(said.wrong, 4) == []


def test_wrong_vector_is_found_and_embedded_again_with_its_twins(
    connection: Connection, generation: Generation, double: Double
) -> None:
    swap = sql.SQL(
        "UPDATE {0} e SET embedding = (SELECT o.embedding FROM {0} o JOIN ingestion.chunks c"
        " USING (chunk_id) WHERE c.text = 'one') FROM ingestion.chunks c"
        " WHERE c.chunk_id = e.chunk_id AND c.ordinal = 2"
    )
    connection.execute(swap.format(generation.table))
    said = _ask(connection, generation, double)
    [finding] = reembedding.findings(said.wrong, 4)
    assert (finding.kind.name, finding.count) == ("vectors_wrong", 1)
    assert finding.examples[0].startswith("notes/a.md: cosine ")
    reembedding.mend(connection, generation, said.wrong)
    texts = claims.claim(connection, generation, "a worker", limit=9)
    assert [text.text for text in texts] == ["three"], "it is not copied from its wrong twin"
    matrix = np.array([double.vector(text.text) for text in texts], np.float32)
    vectors = Vectors([t.chunk_id for t in texts], [t.content_hash for t in texts], matrix)
    claims.complete(connection, generation, vectors)
    assert claims.claim(connection, generation, "a worker", limit=9) == []
    assert _ask(connection, generation, double).wrong == []
