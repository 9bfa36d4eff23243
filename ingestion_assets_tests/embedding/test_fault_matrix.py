"""Every fault of the double against 2,000 texts, from the store through the servers and back.

Whatever happens, a text ends with its own vector, with a ledger row that says why not, or the run
fails and the next one, on a server that is well again, does the rest and nothing twice.
"""

import time
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from ingestion_assets.embedding import EmbeddingStream, Endpoints, Metrics, Ollama
from ingestion_assets.errors import (
    ModelError,
    OllamaAuthError,
    OllamaError,
    OllamaUnavailableError,
    PoisonTextError,
    RequestTooLargeError,
    TextTooLongError,
)
from ingestion_assets.store import embeddings
from ingestion_assets.store.connection import Connection, connect
from ingestion_assets.store.generations import Generation
from ingestion_assets.store.ledger import Failed
from ingestion_assets.store.writers import EmbeddingsWriter
from ingestion_assets_tests.embedding.given import AT_ONCE
from ingestion_assets_tests.services.faulty_ollama import Double
from ingestion_assets_tests.store import rows

N = 2_000
BATCH = 32
BISECTED = 2 * BATCH + 4  # texts sent again to find the one at fault in a batch
BISECTIONS = 2 * 5 + 3  # and the requests for it
POISON = {f"poison {i}" for i in range(4)}
TEXTS = [*POISON, *(f"the {i}th text of many" for i in range(N - len(POISON)))]


@dataclass(frozen=True)
class Case:
    """Rules, and what has to come of them."""

    rules: tuple[dict[str, Any], ...]
    resent: int = 0
    requests: int = 1000
    rejects: type[OllamaError] | None = None
    fails: type[OllamaError] | None = None
    deadline: float = 10.0
    timeout: float = 5.0
    auto_pull: bool = False


@dataclass(frozen=True)
class Run:
    metrics: Metrics
    counts: dict[str, int]
    error: OllamaError | None


@pytest.fixture
def generation(connection: Connection) -> Generation:
    rows.store(connection, "a.md", TEXTS)
    return rows.generation(connection, 384)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connect(database) as connection:
        yield connection


async def run(double: Double, case: Case, database: str, generation: Generation) -> Run:
    async with Ollama(double.url, timeout=case.timeout) as ollama:
        pool = Endpoints(
            [ollama],
            breaker_seconds=0.05,
            deadline=case.deadline,
            auto_pull=case.auto_pull,
            backoff=AT_ONCE,
        )
        model = await pool.identify("all-minilm")
        double.break_by(*case.rules)
        pages = embeddings.pages(lambda: connect(database), generation, rows.KEY, None)
        stream = EmbeddingStream(
            pool, model, lambda: next(pages, []), batch_size=BATCH, backoff=AT_ONCE, grace=0.5
        )
        error = None
        with connect(database) as connection:
            writer = EmbeddingsWriter(connection, rows.KEY, generation)
            writer.begin()
            try:
                async with aclosing(aiter(stream)) as batches:
                    async for vectors in batches:
                        writer.write(vectors)
            except OllamaError as exc:
                error = exc
            writer.reject([Failed.of(r.text, r.error) for r in stream.rejected])
            return Run(stream.metrics, writer.finish(), error)


def once(**rule: Any) -> Case:
    return Case(({"match": "many", "times": 1, **rule},), resent=2 * BISECTED)
def now(**rule: Any) -> Case:
    return Case(({"match": "many", "probability":0.1, **rule},), resent=2000)
def window(**rule: Any) -> Case:
    return Case(({"start":0.05, "until":0.35, **rule},), resent=2000)
def poison(kind, **rule: Any) -> Case:
    return Case(({"match": "poison", **rule},), resent=4*BISECTED, requests=4*BISECTIONS, rejects=kind)
def down(kind=OllamaUnavailableError, deadline=0.5, timeout=5.0, **rule: Any) -> Case:
    return Case(({"match": " ", "nth":list(range(20,5000)), **rule},), resent=2000, fails=kind, deadline=deadline, timeout=timeout)
from dataclasses import replace
T=dict(timeout=0.2)
CASES = {
 "once F1": once(fault="F1",seconds=0.1),
 "once F2": once(fault="F2"), "once F3": once(fault="F3"), "once F3c": once(fault="F3",variant="chunked"),
 "once F4": replace(once(fault="F4",seconds=2),**T),
 "once F5": replace(once(fault="F5",seconds=2),**T),
 "once F18": replace(once(fault="F18"),**T),
 **{f"once {f}": once(fault=f) for f in "F6 F7 F8 F9 F10 F11 F13 F16 F19".split()},
 "once F8oom": once(fault="F8",variant="oom"),
 "once F11s": once(fault="F11",variant="state"),
 **{f"once F12 {v}": once(fault="F12",variant=v) for v in "missing extra dimension null empty".split()},
 **{f"once F14 {v}": once(fault="F14",status=v) for v in (502,504,413,429,503)},
 "once F14 ra": once(fault="F14",status=429,retry_after="1"),
 "once F20": once(fault="F20",seconds=0.1),
 "once F21 prove": once(fault="F21",match=" ",batch=2),
 "once F15": replace(once(fault="F15"),fails=OllamaAuthError),
 "once F17": replace(once(fault="F17"),fails=ModelError),
 "pull F17": replace(once(fault="F17"),auto_pull=True),
 "pull F22 cut": Case(({"fault":"F17","times":1,"match":"many"},{"fault":"F22","path":"/api/pull","variant":"cut"}),fails=ModelError,auto_pull=True,resent=BISECTED),
 "pull F22 error": Case(({"fault":"F17","times":1,"match":"many"},{"fault":"F22","path":"/api/pull","variant":"error"}),fails=ModelError,auto_pull=True,resent=BISECTED),
 **{f"now {f}": now(fault=f,seed=i) for i,f in enumerate("F2 F3 F6 F7 F8 F11 F13 F14 F19".split())},
 "now F4": replace(now(fault="F4",seconds=.4),**T),
 **{f"now F12 {v}": now(fault="F12",variant=v,seed=3) for v in "missing extra dimension null empty".split()},
 **{f"window {f}": window(fault=f) for f in "F2 F3 F6 F7 F8 F9 F10 F11 F13 F14 F16 F19".split()},
 "window F14 429": window(fault="F14",status=429),
 "window F12": window(fault="F12",variant="missing"),
 "window F18": replace(window(fault="F18",match=" "),**T),
 **{f"poison {f}": poison(k,fault=f) for f,k in dict(F6=PoisonTextError,F8=PoisonTextError,F9=PoisonTextError,F10=PoisonTextError,F11=PoisonTextError,F16=TextTooLongError).items()},
 "poison 413": poison(RequestTooLargeError,fault="F14",status=413),
 "poison 500": poison(PoisonTextError,fault="F14",status=500),
 "poison F12": poison(PoisonTextError,fault="F12",variant="missing"),
 "poison F18": replace(poison(PoisonTextError,fault="F18"),**T),
 "big F7": Case(({"fault":"F7","batch":17},),resent=2000),
 "big F8oom": Case(({"fault":"F8","batch":17,"variant":"oom"},),resent=2000),
 "big F8": Case(({"fault":"F8","batch":17},),resent=2000),
 "big 413": Case(({"fault":"F14","status":413,"batch":17},),resent=2000),
 "big F4": Case(({"fault":"F4","seconds":9,"batch":17},),resent=2000,timeout=0.2),
 **{f"down {f}": down(fault=f) for f in "F2 F3 F6 F7 F8 F9 F10 F11 F13 F14 F19 F16".split()},
 "down F1": Case(({"fault":"F1","nth":[20],"seconds":2},),resent=2000,fails=OllamaUnavailableError,deadline=0.5),
 "down F20": Case(({"fault":"F20","nth":[20],"seconds":2},),resent=2000,fails=OllamaUnavailableError,deadline=0.5),
 "down F4": down(fault="F4",seconds=9,timeout=0.1),
 "down F5": down(fault="F5",seconds=9,timeout=0.1),
 "down F18": down(fault="F18",timeout=0.1),
 "down F12": down(fault="F12",variant="dimension"),
 "down F12 null": down(fault="F12",variant="null"),
 "down F12 missing": down(fault="F12",variant="missing"),
 "down F14 429": down(fault="F14",status=429),
 "down F15": down(OllamaAuthError,fault="F15"),
 "down F15 403": down(OllamaAuthError,fault="F15",status=403),
 "down F17": down(ModelError,fault="F17"),
 "down F11s": down(fault="F11",variant="state"),
 "down F21": Case(({"fault":"F21","batch":2},),resent=2000,fails=OllamaError),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
async def test_nothing_is_lost_or_wrong(
    case: Case, faulty_ollama: Double, database: str, connection: Connection, generation: Generation, request
) -> None:
    t=time.monotonic()
    faulty_ollama.reset(text_ms=0.15)
    first = await run(faulty_ollama, case, database, generation)
    st = faulty_ollama.stats() if case.rules[0].get("seconds")!=2 else {}
    t1=time.monotonic()-t
    m=first.metrics
    b=m.endpoints[0].breaker
    print(f"CASE {request.node.callspec.id}: {t1:.2f}s sent={m.texts_sent} req={m.requests} retries={m.retries} rej={m.rejected} emb={m.texts_embedded} opened={b.opened} size={m.batch_size} hits={m.rate_limit_hits} loads={st.get('loads')} allreq={st.get('requests')} {first.counts}\n   {first.error!r}\n")
    L=connection.execute("select error_class, quarantined, count(*), min(error) from ingestion.ledger group by 1,2").fetchall()
    print(L)
