"""What the paths answer, from a real database and the double of Ollama."""

import json
from contextlib import suppress
from typing import Any

import anyio
import httpx
import psycopg
import pytest
from psycopg import sql

from ingestion_assets.store.connection import connect
from ingestion_assets_tests.api import given
from ingestion_assets_tests.api.given import served, service
from ingestion_assets_tests.retrieval.given import until

CHAT: dict[str, Any] = {"chat_model": "llama3.2", "answer_threshold": -1.0}
NOBODY = "http://127.0.0.1:9"


async def _ask(http: httpx.AsyncClient, **body: object) -> httpx.Response:
    return await http.post("/api/query", json=body)


async def test_search_finds_by_meaning_and_words(library, embedder):
    async with service(library, embedder) as http:
        answer = await http.get("/api/search", params={"q": "what do sea mammals eat", "k": 2})
        said = answer.json()
        assert answer.status_code == 200
        assert given.uris(answer)[0] == "whales.md"
        assert said["method"] == "hybrid"
        assert said["degraded"] == []
        assert {"embed", "search", "total"} <= said["timings"].keys()
        assert said["hits"][0]["distance"] < 0.6


async def test_query_answers_in_parallel_lists(library, embedder):
    async with service(library, embedder) as http:
        said = (await _ask(http, query="bake bread", k=3, method="vector")).json()
    assert said["documents"][0] in given.DOCUMENTS["bread.md"]
    lengths = {len(said[name]) for name in ("documents", "metadatas", "distances", "scores")}
    assert lengths == {3}
    assert said["metadatas"][0]["uri"] == "bread.md"
    assert said["distances"] == sorted(said["distances"])
    assert said["answer"] is None


async def test_filters_are_applied(library, embedder):
    async with service(library, embedder) as http:
        filters = {"uri_prefix": "bread", "metadata": {"tags": ["a"]}, "category": "notes"}
        said = (await _ask(http, query="whales", filters=filters)).json()
        assert {meta["uri"] for meta in said["metadatas"]} == {"bread.md"}
        late = {"q": "whales", "modified_after": "2030-01-01", "method": "vector"}
        assert given.uris(await http.get("/api/search", params=late)) == []


async def test_answer_cites_its_passages(stored, ollama):
    async with service(stored, ollama.url, **CHAT) as http:
        said = (await _ask(http, query="what do whales eat", answer=True)).json()
    assert (said["answer"], said["found"]) == ("It says so [1].", True)
    (cited,) = said["citations"]
    assert cited["chunk_id"] == said["metadatas"][0]["chunk_id"]
    assert said["timings"]["answer"] > 0
    assert given.DOCUMENTS["whales.md"][0] in ollama.stats()["chats"][0][1]["content"]


async def test_far_questions_are_not_answered(library, embedder):
    async with service(library, embedder, chat_model="none-needed") as http:
        question = "Which treaty ended the thirty years war?"
        said = (await _ask(http, query=question, method="vector", answer=True)).json()
    assert (said["answer"], said["found"]) == ("Not found in the documents.", False)
    assert said["degraded"] == []


async def test_answer_without_a_chat_model_names_the_setting(library, embedder):
    async with service(library, embedder) as http:
        said = (await _ask(http, query="whales eat krill", answer=True)).json()
        assert said["documents"]
        assert said["answer"] is None
        assert "INGESTION_CHAT_MODEL" in said["degraded"][0]


async def test_answer_streams_line_by_line(stored, ollama):
    async with service(stored, ollama.url, **CHAT) as http:
        answer = await _ask(http, query="whales", answer=True, stream=True)
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["type"] for line in lines] == ["results", *["token"] * 5, "answer"]
    assert "".join(line["text"] for line in lines[1:-1]) == lines[-1]["answer"]
    assert lines[-1]["citations"][0]["number"] == 1


async def test_streamed_answer_that_breaks_off_ends_with_an_error(stored, ollama):
    ollama.reset(chat_words=["Krill", "<broken>"])
    async with service(stored, ollama.url, **CHAT) as http:
        answer = await _ask(http, query="whales", answer=True, stream=True)
    last = json.loads(answer.text.splitlines()[-1])
    assert (last["type"], last["error"]) == ("error", "unavailable")


def _leave(url: str, body: dict[str, Any]) -> None:
    """Ask, and hang up before the answer is complete."""
    with (
        httpx.Client(timeout=0.5) as http,
        suppress(httpx.ReadTimeout),
        http.stream("POST", url, json=body) as answer,
    ):
        lines = answer.iter_lines()
        for _ in range(3):
            next(lines)


@pytest.mark.parametrize("stream", [True, False])
def test_client_that_leaves_stops_the_model(stored, ollama, stream):
    ollama.reset(chat_words=["x"] * 1000, token_ms=5)
    body = {"query": "whales", "answer": True, "stream": stream}
    with served(stored, ollama.url, **CHAT) as url:
        _leave(f"{url}/api/query", body)
        assert ollama.stats()["chats"]
        given.wait_for(lambda: not ollama.stats()["in_flight"])
        assert ollama.stats()["tokens_spoken"] < 900
        assert httpx.get(f"{url}/api/pool/stats").json()["http"]["answering"] == 0


@pytest.mark.parametrize("stream", [True, False])
async def test_answers_are_given_up_after_a_while(stored, ollama, stream):
    ollama.reset(chat_words=["x"] * 1000, token_ms=20)
    async with service(stored, ollama.url, api_answer_timeout=0.3, **CHAT) as http:
        answer = await _ask(http, query="whales", answer=True, stream=stream)
    last = json.loads(answer.text.splitlines()[-1])
    reason = last["detail"] if stream else last["degraded"][0]
    assert "INGEST_API_ANSWER_TIMEOUT" in reason


async def test_searches_are_given_up_after_a_while(stored, ollama):
    with psycopg.connect(stored) as blocking:
        blocking.execute("LOCK TABLE ingestion.documents IN ACCESS EXCLUSIVE MODE")
        async with service(stored, ollama.url, api_timeout=0.5) as http:
            answer = await http.get("/api/search", params={"q": "whales"})
            stats = (await http.get("/api/pool/stats")).json()["database"]
    assert answer.status_code == 504
    assert answer.json()["error"] == "timeout"
    assert stats["in_use"] == 0


async def test_no_connection_is_held_while_ollama_is_waited_for(stored, ollama):
    ollama.reset(rtt_ms=400)
    async with service(stored, ollama.url, api_pool_max=1) as http, anyio.create_task_group() as g:
        g.start_soon(lambda: http.get("/api/search", params={"q": "slow"}))
        await until(lambda: ollama.stats()["in_flight"])
        stats = (await http.get("/api/pool/stats")).json()
        assert stats["http"]["in_flight"] == 1
        assert stats["database"]["in_use"] == 0
        assert stats["database"]["maximum"] == 1
        words = await http.get("/api/search", params={"q": "whales", "method": "text"})
        assert given.uris(words) == ["whales.md", "whales.md"]


async def test_without_ollama_words_are_searched_and_that_is_said(stored):
    async with service(stored, NOBODY) as http:
        answer = await http.get("/api/search", params={"q": "whales"})
        assert answer.status_code == 200
        assert given.uris(answer) == ["whales.md", "whales.md"]
        assert answer.json()["method"] == "text"
        assert "ollama" in answer.json()["degraded"][0].lower()
        refused = await http.get("/api/search", params={"q": "whales", "method": "vector"})
        assert refused.status_code == 503
        assert refused.json()["error"] == "unavailable"
        metrics = (await http.get("/metrics")).text
    assert "ingest_api_degraded_total{" in metrics


async def test_documents_are_shown_as_text(library, embedder):
    async with service(library, embedder) as http:
        (hit,) = (
            await http.get("/api/search", params={"q": "hydrogen fuses", "method": "text"})
        ).json()["hits"]
        answer = await http.get(f"/api/documents/{hit['document_id']}")
        assert answer.text == given.DOCUMENTS["https://example.org/stars"][0]
        assert answer.headers["content-type"].startswith("text/plain")
        assert "sandbox" in answer.headers["content-security-policy"]
        for nothing in ("00000000-0000-0000-0000-000000000000", "no-uuid"):
            gone = await http.get(f"/api/documents/{nothing}")
            assert gone.json()["error"] == "not_found"


@pytest.mark.parametrize(
    ("params", "part"),
    [
        ({}, "q"),
        ({"q": ""}, "q"),
        ({"q": "  "}, "the question"),
        ({"q": "a\0b"}, "the question"),
        ({"q": "x" * 9000}, "q"),
        ({"q": "a", "k": "0"}, "k"),
        ({"q": "a", "k": "1e9"}, "k"),
        ({"q": "a", "method": "magic"}, "method"),
        ({"q": "a", "mode": "magic"}, "mode"),
        ({"q": "a", "sauce": "b"}, "sauce"),
        ({"q": "a", "source": "b\0"}, "filter source"),
        ({"q": "a", "modified_after": "soon"}, "modified_after"),
    ],
)
async def test_invalid_searches_name_the_part(library, embedder, params, part):
    async with service(library, embedder) as http:
        answer = await http.get("/api/search", params=params)
    assert answer.status_code == 422
    assert answer.json()["error"] == "invalid_request"
    assert answer.json()["detail"].startswith(part)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"query": "a", "stream": true}',
        b'{"query": "\\ud800"}',
        b'{"query": "a", "filters": {"metadata": {"a": "\\u0000"}}}',
        b'{"query": "a", "filters": {"metadata": {"a": NaN}}}',
        b'{"query": "a", "filters": {"metadata": {"a": 1e999}}}',
        b'{"query": "a", "filters": {"metadata": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}}",
        b'{"query": "\xff"}',
    ],
)
async def test_invalid_bodies_are_refused(library, embedder, body):
    async with service(library, embedder) as http:
        headers = {"content-type": "application/json"}
        answer = await http.post("/api/query", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json().keys() == {"error", "detail"}


async def test_other_media_types_are_refused(library, embedder):
    async with service(library, embedder) as http:
        answer = await http.post("/api/query", content=b'{"query": "a"}')
        assert answer.status_code == 415
        assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/api/search", 405, "method_not_allowed"),
        ("GET", "/api/query", 405, "method_not_allowed"),
        ("DELETE", "/", 405, "method_not_allowed"),
    ],
)
async def test_other_paths_and_methods_are_said_in_json(
    library, embedder, method, path, status, code
):
    async with service(library, embedder) as http:
        answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"] == code


async def test_hidden_characters_in_a_filter_are_data(library, embedder):
    async with service(library, embedder) as http:
        for name in ("source", "domain", "category", "uri_prefix"):
            params = {"q": "whales", name: "x' OR true --"}
            assert given.uris(await http.get("/api/search", params=params)) == []


async def test_large_bodies_too_many_requests_and_strangers_are_refused(library, embedder):
    async with service(library, embedder, api_body=1024, api_rate=1.0, api_key="k") as http:
        assert (await http.get("/api/search")).status_code == 401
        http.headers["X-API-Key"] = "k"
        assert (await http.post("/api/query", content=b"x" * 2000)).status_code == 413
        assert (await http.get("/api/search")).status_code == 422
        assert (await http.get("/api/search")).status_code == 429


async def test_more_than_the_concurrency_at_once_are_refused(stored, ollama):
    ollama.reset(request_ms=500)
    answers: list[int] = []

    async def ask(http: httpx.AsyncClient) -> None:
        answers.append((await _ask(http, query="whales", method="vector")).status_code)

    async with (
        service(stored, ollama.url, api_concurrency=1) as http,
        anyio.create_task_group() as group,
    ):
        group.start_soon(ask, http)
        group.start_soon(ask, http)
    assert sorted(answers) == [200, 503]


async def test_empty_database_finds_nothing(database, embedder):
    async with service(database, embedder) as http:
        answer = await http.get("/api/search", params={"q": "whales"})
        assert answer.status_code == 200
        assert answer.json()["hits"] == []
        asked = (await _ask(http, query="whales", answer=True)).json()
        assert asked["found"] is False


async def test_a_text_waiting_for_its_vector_is_found_and_marked(stored, ollama):
    with connect(stored) as connection:
        connection.execute(
            sql.SQL("DELETE FROM {}").format(sql.Identifier("ingestion", "embeddings_1"))
        )
    async with service(stored, ollama.url) as http:
        answer = await http.get("/api/search", params={"q": "krill"})
    assert [hit["embedded"] for hit in answer.json()["hits"]] == [False]
