"""Health says what is wrong, and searches go on as far as they can."""

import asyncio
import time
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from ingestion_assets_tests.api import given
from ingestion_assets_tests.api.given import service

NOBODY = "http://127.0.0.1:9"
NO_DATABASE = "postgresql://user:secret@127.0.0.1:9/none"


async def _search(http: httpx.AsyncClient, query: str, **params: str) -> httpx.Response:
    return await http.get("/api/search", params={"q": query, **params})


async def test_all_well_is_healthy(stored, ollama):
    async with service(stored, ollama.url) as http:
        answer = await http.get("/health")
        assert answer.status_code == 200
        said = answer.json()
        assert said["status"] == "healthy"
        assert said["database"]["status"] == "up"
        assert said["generation"]["model"] == "all-minilm"
        assert said["ollama"] == [
            {"url": ollama.url, "status": "up", "breaker": "closed", "detail": ""}
        ]
        assert (await http.get("/health/ready")).json() == {"status": "ready"}


async def test_without_ollama_it_is_degraded_but_ready(stored):
    async with service(stored, NOBODY) as http:
        said = (await http.get("/health")).json()
        assert said["status"] == "degraded"
        assert "ollama serve" in said["ollama"][0]["detail"]
        assert (await http.get("/health/ready")).status_code == 200


async def test_without_vectors_it_is_degraded(database, ollama):
    async with service(database, ollama.url) as http:
        said = (await http.get("/health")).json()
    assert (said["status"], said["generation"]) == ("degraded", None)


async def test_without_a_database_it_is_unhealthy_and_alive(ollama):
    async with service(NO_DATABASE, ollama.url, api_pool_timeout=0.3) as http:
        answer = await http.get("/health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "unhealthy"
        assert "secret" not in answer.text
        ready = await http.get("/health/ready")
        assert (ready.status_code, ready.json()["error"]) == (503, "unavailable")
        assert (await http.get("/health/live")).json() == {"status": "alive"}
        search = await _search(http, "whales", method="text")
        assert (search.status_code, search.json()["error"]) == (503, "unavailable")
        assert "secret" not in search.text


async def test_a_database_that_hangs_is_unhealthy(stored, ollama):
    with psycopg.connect(stored) as blocking:
        blocking.execute("LOCK TABLE ingestion.generations IN ACCESS EXCLUSIVE MODE")
        async with service(stored, ollama.url) as http:
            said = (await http.get("/health")).json()
    assert (said["status"], said["database"]["status"]) == ("unhealthy", "down")


async def test_breaker_opens_and_recovers_and_searches_go_on(stored, ollama):
    ollama.break_by({"fault": "F14"})
    async with service(stored, ollama.url, breaker_seconds=0.3) as http:
        for n in range(6):
            answer = await _search(http, f"whales {n}")
            assert answer.status_code == 200
            assert answer.json()["degraded"]
        said = (await http.get("/health")).json()
        assert said["status"] == "degraded"
        assert said["ollama"][0]["breaker"] in ("open", "half-open")
        assert "5 failures in a row" in said["ollama"][0]["detail"] or "canary" in str(said)
        assert "ingest_api_breaker_state{" in (await http.get("/metrics")).text
        ollama.break_by()
        said = answer.json()
        while said["degraded"]:
            answer = await _search(http, f"whales {time.monotonic()}")
            assert answer.status_code == 200
            said = answer.json()
        assert said["method"] == "hybrid"


@pytest.mark.parametrize(
    "rules",
    [
        [{"fault": "F18"}],
        [{"fault": "F4", "seconds": 5}],
        [{"fault": "F2", "probability": 0.5}],
        [{"fault": "F13", "retry_after": "1"}],
        [{"fault": "F12", "variant": "null"}],
        [{"fault": "F12", "variant": "dimension"}],
        [{"fault": "F11", "match": "whales"}],
        [{"fault": "F15"}],
        [{"fault": "F17"}],
        [{"fault": "F19"}],
        [{"fault": "F6"}],
    ],
    ids=lambda rules: rules[0]["fault"] + rules[0].get("variant", ""),
)
async def test_every_fault_of_ollama_leaves_a_whole_or_a_degraded_answer(stored, ollama, rules):
    ollama.break_by(*rules)
    async with service(stored, ollama.url, query_timeout=0.3) as http:
        for n in range(4):
            answer = await _search(http, f"whales {n}")
            assert answer.status_code == 200, answer.text
            assert "whales.md" in given.uris(answer)
            assert bool(answer.json()["degraded"]) == (answer.json()["method"] == "text")
            vector = await _search(http, f"whales {n} alone", method="vector")
            assert vector.status_code in (200, 422, 502, 503, 504), vector.text
            assert vector.status_code == 200 or vector.json().keys() == {"error", "detail"}


async def test_lost_connections_and_a_database_that_is_away_are_survived(stored, ollama, postgres):
    async with service(stored, ollama.url, api_pool_min=3, api_pool_timeout=0.5) as http:
        assert (await _load(http)) == {200}
        _end_connections(postgres, stored)
        assert (await _load(http)) == {200}
        _end_connections(postgres, stored, back=False)
        assert (await _load(http)) == {503}
        assert (await http.get("/health")).status_code == 503
        _end_connections(postgres, stored)
        said = await _search(http, "whales")
        while said.status_code == 503:
            said = await _search(http, "whales")
        assert given.uris(said)


async def _load(http: httpx.AsyncClient) -> set[int]:
    """The statuses of searches at the same time; all of them well-formed."""
    answers = await asyncio.gather(*(_search(http, f"whales {n}") for n in range(6)))
    for answer in answers:
        assert answer.json().keys() >= ({"hits"} if answer.is_success else {"error", "detail"})
    return {answer.status_code for answer in answers}


def _end_connections(server: str, database: str, *, back: bool = True) -> None:
    """End all connections as a restart does, and say whether new ones are taken."""
    name = urlsplit(database).path.strip("/")
    allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(name), sql.Literal(back)))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
