"""Every fault of the double against 2,000 texts, from the store through the server and back.

Whatever happens, a text ends with its own vector, or with a ledger row that says why not, or the
run fails and the next one, on a server that is well again, embeds what is missing and no more.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from psycopg import sql

from ingestion_assets.defs.drain import drain
from ingestion_assets.embedding import Backoff, EmbeddingStream, Endpoints, Metrics, Ollama
from ingestion_assets.embedding.trust import EVERY
from ingestion_assets.errors import (
    MixedVectorsError,
    ModelError,
    ModelMismatchError,
    OllamaAuthError,
    OllamaError,
    OllamaUnavailableError,
    PoisonTextError,
    RequestTooLargeError,
    RetryBudgetError,
    TextTooLongError,
    WrongDimensionsError,
)
from ingestion_assets.store import canary, claims
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.writers import EmbeddingsWriter
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.services.faulty_ollama import Double
from ingestion_assets_tests.store import rows

N = 2_000
BATCH = 64
WORKERS = 4
POISON = [f"poison {i}" for i in range(4)]
TEXTS = POISON + [f"the {i}th text of many" for i in range(N - len(POISON))]
HALVINGS = 6  # log2(BATCH)
STEPS = 2 * HALVINGS + 6  # requests until one text of a batch is found guilty
CANARIES = HALVINGS + 6  # that are sent meanwhile
BISECTION = 3 * BATCH + 4  # texts sent again in those requests
ROUND = 2 * WORKERS * BATCH  # texts that are under way, or wait to be sent again
NAMED = ("status", "variant", "retry_after", "after")  # parts of a rule that tell cases apart
SOON = 0.05  # seconds; what production waits half a minute for
FASTER = 50  # times, than production backs off


@dataclass(frozen=True)
class Case:
    """Rules, and what may come of them.

    Attributes:
        resent: texts that may be sent again.
        requests: that may be needed besides; none for as many as it takes.
        rejects: why the poisoned texts are rejected; none if all texts are stored.
        fails: how the run ends; none if it completes.
    """

    name: str
    rules: list[dict[str, Any]]
    resent: int
    requests: int | None = None
    rejects: type[OllamaError] | None = None
    fails: type[OllamaError] | None = None
    timeout: float = 5.0
    deadline: float = 20.0
    auto_pull: bool = False
    batch: int = BATCH


EVERY_OTHER = list(range(0, 9 * N, 2))
HEALTHY = Case("", [], 0)


@dataclass(frozen=True)
class Run:
    stream: EmbeddingStream
    error: OllamaError | None

    @property
    def metrics(self) -> Metrics:
        return self.stream.metrics


@dataclass(frozen=True)
class Partition:
    """2,000 chunks in Postgres, and a server to embed them."""

    double: Double
    database: str
    connection: Connection
    generation: Generation
    vectors: dict[str, bytes]

    async def embed(self, case: Case) -> Run:
        """What a run does with a partition: the stream into the writer, to the end."""
        async with Ollama(self.double.url, timeout=case.timeout) as ollama:
            pool = Endpoints(
                [ollama],
                workers=WORKERS,
                max_workers=WORKERS,
                breaker_seconds=SOON,
                deadline=case.deadline,
                auto_pull=case.auto_pull,
                backoff=BACKOFF,
            )
            model = await pool.identify("all-minilm")
            pages = claims.pages(lambda: connect(self.database), self.generation, rows.KEY)
            stream = EmbeddingStream(
                pool,
                model,
                lambda: next(pages, []),
                batch_size=case.batch,
                backoff=BACKOFF,
                grace=0.5,
            )
            self.double.break_by(*case.rules)
            return Run(stream, await self._written(stream))

    async def _written(self, stream: EmbeddingStream) -> OllamaError | None:
        writer = EmbeddingsWriter(self.connection, rows.KEY, self.generation)
        try:
            await drain(stream, writer, lambda: None)
        except OllamaError as error:
            return error
        return None

    def empty(self) -> None:
        """Have all texts wait for their vectors, as if nothing had been tried."""
        self.connection.execute(sql.SQL("TRUNCATE {}").format(self.generation.table))
        self.connection.execute("TRUNCATE ingestion.ledger")
        self.connection.execute("UPDATE ingestion.generations SET canary = NULL")

    def stored(self) -> set[str]:
        """The texts that have a vector, each of which must be the text's own."""
        query = sql.SQL(
            "SELECT c.text, vector_send(e.embedding), e.content_hash = c.content_hash"
            " FROM {} e JOIN ingestion.chunks c USING (chunk_id)"
        )
        embedded = self.connection.execute(
            query.format(self.generation.table), binary=True
        ).fetchall()
        header = 4  # bytes before the numbers
        for text, vector, is_present in embedded:
            assert (vector[header:], is_present) == (self.vectors[text], True)
        return {text for text, _, _ in embedded}

    def failed(self, *, quarantined: bool) -> dict[str, str]:
        """Texts that failed according to the ledger, and the classes of their errors."""
        query = (
            "SELECT text, error_class FROM ingestion.ledger JOIN ingestion.chunks USING (chunk_id)"
            " WHERE state = 'error' AND quarantined = %s"
        )
        return dict(self.connection.execute(query, (quarantined,)).fetchall())

    def canaries(self, run: Run) -> int:
        """Requests of a run besides those of its texts, without the ones that every run sends."""
        usual = 1 + 2 + 1  # to load the model, to prove it, to settle the latest answers
        requests: int = self.double.stats()["requests"]["/api/embed"]
        return requests - run.metrics.requests - usual

    def heal(self) -> None:
        """Have the server well again, with counts at zero."""
        until = time.monotonic() + 5
        while True:
            try:
                return self.double.reset()
            except httpx.TransportError:
                assert time.monotonic() < until
                time.sleep(0.02)


def _named(fault: str, rule: dict[str, Any]) -> str:
    return "-".join([fault, *(str(rule[key]) for key in NAMED if key in rule)])


def once(fault: str, resent: int = BATCH, timeout: float = 5.0, **rule: Any) -> Case:
    struck = {"fault": fault, "match": "many", "nth": [5], "seconds": 9, **rule}
    return Case(_named(fault, rule), [struck], resent, timeout=timeout)


def now_and_then(fault: str, timeout: float = 5.0, **rule: Any) -> Case:
    """Every tenth request, those that are sent again included."""
    struck = {"fault": fault, "match": "many", "nth": list(range(10, 9 * N, 10)), **rule}
    return Case(_named(fault, rule), [struck], N // 4, timeout=timeout)


def for_a_while(fault: str, resent: int = 4 * ROUND, timeout: float = 5.0, **rule: Any) -> Case:
    struck = {"fault": fault, "match": " ", "after": 6, "lasts": 0.2, **rule}
    return Case(_named(fault, rule), [struck], resent, timeout=timeout)


def poison(
    fault: str, rejects: type[OllamaError], timeout: float = 5.0, others: int = 0, **rule: Any
) -> Case:
    """Others: requests more, because batches got smaller."""
    struck, n = {"fault": fault, "match": "poison", **rule}, len(POISON)
    resent, requests = n * BISECTION, n * STEPS + others
    return Case(_named(fault, rule), [struck], resent, requests, rejects, timeout=timeout)


def too_large(fault: str, resent: int, timeout: float = 5.0, **rule: Any) -> Case:
    struck = {"fault": fault, "batch": BATCH // 2 + 1, "seconds": 9, **rule}
    return Case(_named(fault, rule), [struck], resent, timeout=timeout)


def from_then_on(
    fault: str,
    fails: type[OllamaError] = OllamaUnavailableError,
    timeout: float = 5.0,
    resent: int = 4 * ROUND,
    deadline: float = 0.25,
    batch: int = BATCH,
    **rule: Any,
) -> Case:
    struck = {"fault": fault, "match": " ", "after": 12, "seconds": 9, **rule}
    name = _named(fault, rule)
    return Case(
        name, [struck], resent, fails=fails, timeout=timeout, deadline=deadline, batch=batch
    )


PASSING = [
    once("F1", resent=3 * ROUND, seconds=0.1),
    once("F2"),
    once("F3"),
    once("F3", variant="chunked"),
    once("F4", timeout=0.2),
    once("F5", timeout=0.2),
    *(once(fault, resent=BISECTION) for fault in ("F6", "F9", "F10", "F16")),
    once("F7"),
    once("F8"),
    once("F8", variant="oom"),
    once("F11"),
    once("F11", resent=2 * ROUND, variant="state"),
    *(once("F12", variant=v) for v in ("missing", "extra", "dimension", "null", "empty")),
    once("F13"),
    *(once("F14", status=status) for status in (502, 503, 504, 429)),
    once("F14", status=429, retry_after="1"),
    once("F14", resent=BISECTION, status=413),
    once("F18", timeout=0.2),
    once("F19"),
    once("F20", resent=3 * ROUND, seconds=0.1),
    once("F21", match=" ", nth=[2]),
]
FREQUENT = [
    *(now_and_then(fault) for fault in ("F2", "F3", "F6", "F7", "F8", "F11", "F13", "F14", "F19")),
    now_and_then("F4", timeout=0.1, seconds=0.3),
    now_and_then("F5", timeout=0.1, seconds=0.3),
    now_and_then("F14", status=429),
    *(now_and_then("F12", variant=v) for v in ("missing", "null")),
]
LASTING = [
    *(for_a_while(fault) for fault in ("F2", "F3", "F7", "F8", "F11", "F14", "F19")),
    *(for_a_while(fault) for fault in ("F6", "F9", "F10", "F16")),
    for_a_while("F4", timeout=0.1, seconds=9),
    for_a_while("F12", variant="missing"),
    for_a_while("F13", resent=3 * N),
    for_a_while("F14", resent=3 * N, status=429),
    for_a_while("F18", timeout=0.1),
]
POISONED = [
    *(poison(fault, PoisonTextError) for fault in ("F6", "F9", "F10", "F11")),
    poison("F16", TextTooLongError),
    poison("F14", RequestTooLargeError, status=413),
    *(poison("F12", PoisonTextError, variant=v) for v in ("missing", "empty")),
    poison("F8", PoisonTextError, others=N // 8),
    poison("F14", PoisonTextError, status=500),
    poison("F18", PoisonTextError, timeout=0.05, others=N // 8),
]
LARGE = [
    too_large("F4", resent=2 * ROUND, timeout=0.1, seconds=0.5),
    too_large("F7", resent=3 * ROUND),
    too_large("F8", resent=3 * ROUND, variant="oom"),
    too_large("F8", resent=5 * N),
    too_large("F14", resent=N, status=413),
]
FINAL = [
    from_then_on("F1", times=1, seconds=0.4),
    from_then_on("F20", times=1, seconds=0.4),
    *(from_then_on(fault) for fault in ("F2", "F3", "F7", "F8", "F11", "F14", "F19")),
    *(from_then_on(fault) for fault in ("F6", "F9", "F10", "F16")),
    *(from_then_on(fault, timeout=0.1) for fault in ("F4", "F5", "F18")),
    *(from_then_on("F12", variant=v) for v in ("missing", "null")),
    from_then_on("F11", variant="state"),
    from_then_on("F13", resent=3 * N),
    from_then_on("F14", resent=3 * N, status=429),
]
# What ends a run by itself, long before the deadline.
HOPELESS = [
    from_then_on("F12", WrongDimensionsError, variant="dimension", deadline=600),
    from_then_on(
        "F14", RetryBudgetError, nth=EVERY_OTHER, match="many", resent=N, deadline=600, batch=8
    ),
    from_then_on("F15", OllamaAuthError, deadline=600),
    from_then_on("F15", OllamaAuthError, status=403, deadline=600),
    from_then_on("F17", ModelError, deadline=600),
    from_then_on("F21", MixedVectorsError, resent=EVERY + ROUND, deadline=600),
    from_then_on("F21", MixedVectorsError, after=0, deadline=600),
]


DELETED = {"fault": "F17", "match": "many", "nth": [12]}


async def _sooner(seconds: float) -> None:
    await asyncio.sleep(seconds / FASTER)


BACKOFF = Backoff(_sooner)


def name(case: Case) -> str:
    return case.name


@pytest.fixture(scope="module")
def _partition(_double: Double, postgres: str, template: str) -> Iterator[Partition]:
    with fresh_database(postgres, template) as database, connect(database) as connection:
        rows.store(connection, "a.md", TEXTS)
        generation = rows.generation(connection, 384)
        vectors = {text: _double.vector(text).astype(">f4").tobytes() for text in TEXTS}
        yield Partition(_double, database, connection, generation, vectors)


@pytest.fixture
def partition(faulty_ollama: Double, _partition: Partition) -> Iterator[Partition]:
    _partition.empty()
    yield _partition
    _partition.heal()


@pytest.mark.parametrize("case", PASSING, ids=name)
async def test_what_happens_once_costs_no_text(case: Case, partition: Partition) -> None:
    await completes(case, partition)


@pytest.mark.parametrize("case", FREQUENT, ids=name)
async def test_what_happens_now_and_then_costs_no_text(case: Case, partition: Partition) -> None:
    await completes(case, partition)


@pytest.mark.parametrize("case", LASTING, ids=name)
async def test_what_lasts_for_a_while_costs_no_text(case: Case, partition: Partition) -> None:
    await completes(case, partition)


@pytest.mark.parametrize("case", LARGE, ids=name)
async def test_what_is_too_large_is_sent_in_parts(case: Case, partition: Partition) -> None:
    await completes(case, partition)


@pytest.mark.parametrize("case", POISONED, ids=name)
async def test_a_bad_text_costs_only_itself(case: Case, partition: Partition) -> None:
    run = await completes(case, partition)
    assert partition.canaries(run) <= len(POISON) * CANARIES
    assert (await partition.embed(case)).metrics.texts_sent == 0


@pytest.mark.parametrize("case", FINAL, ids=name)
async def test_the_next_run_does_what_this_one_could_not(case: Case, partition: Partition) -> None:
    await ends_and_is_resumed(case, partition)


@pytest.mark.parametrize("case", HOPELESS, ids=name)
async def test_what_no_waiting_cures_ends_the_run(case: Case, partition: Partition) -> None:
    await ends_and_is_resumed(case, partition)


async def test_a_deleted_model_is_pulled_and_the_run_goes_on(partition: Partition) -> None:
    await completes(Case("", [DELETED], ROUND, auto_pull=True), partition)
    assert partition.double.stats()["requests"]["/api/pull"] == 1


@pytest.mark.parametrize("variant", ["cut", "error"])
async def test_a_pull_that_fails_ends_the_run(variant: str, partition: Partition) -> None:
    broken = {"fault": "F22", "path": "/api/pull", "variant": variant}
    case = Case("", [DELETED, broken], ROUND, fails=ModelError, auto_pull=True)
    check(case, await partition.embed(case), partition)
    assert partition.failed(quarantined=True) == {}


async def test_a_model_that_gives_other_vectors_than_before_stores_none(
    partition: Partition,
) -> None:
    other = partition.double.vector("no canary")
    canary.keep(partition.connection, partition.generation, other)
    case = Case("", [], 0, fails=ModelMismatchError)
    assert check(case, await partition.embed(case), partition) == N


async def completes(case: Case, partition: Partition) -> Run:
    """Every text is stored, or rejected by name."""
    run = await partition.embed(case)
    assert check(case, run, partition) == 0
    return run


async def ends_and_is_resumed(case: Case, partition: Partition) -> None:
    """The run fails, and the next one embeds what is left and no more."""
    left = check(case, await partition.embed(case), partition)
    assert left > 0
    partition.heal()
    second = await partition.embed(HEALTHY)
    assert (second.error, second.metrics.texts_sent) == (None, left)
    assert partition.stored() == set(TEXTS)


def check(case: Case, run: Run, partition: Partition) -> int:
    """The run ended as it must, and the ledger knows every text without a vector; their number."""
    metrics, stored = run.metrics, partition.stored()
    rejected, failed = (partition.failed(quarantined=q) for q in (True, False))
    assert isinstance(run.error, case.fails or type(None)), run.error
    assert rejected == (dict.fromkeys(POISON, case.rejects.__name__) if case.rejects else {})
    assert stored | rejected.keys() | failed.keys() == set(TEXTS)
    assert len(stored) + len(rejected) + len(failed) == N
    assert set(failed.values()) <= {type(run.error).__name__}
    assert len(stored) == metrics.texts_embedded
    assert metrics.texts_sent <= len(stored) + len(rejected) + case.resent
    if case.requests is not None:
        assert metrics.requests <= -(-N // BATCH) + case.requests
    return len(failed)
