"""Clients that send or read drop by drop, break off, or speak no HTTP harm nobody else."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from ingestion_assets.api.protocol import Protocol
from ingestion_assets_tests.api import given
from ingestion_assets_tests.api.given import served

HEAD = b"POST /api/query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@contextmanager
def _connected(url: str, *sent: bytes) -> Iterator[socket.socket]:
    """A connection on which something has been sent."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), timeout=30) as connection:
        for part in sent:
            connection.sendall(part)
        yield connection


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: lo"], ids=["nothing", "half"])
def test_a_head_that_does_not_come_ends_the_connection(library, embedder, monkeypatch, sent):
    monkeypatch.setattr(Protocol, "patience", 0.2)
    with served(library, embedder) as url, _connected(url, sent) as connection:
        assert connection.recv(1) == b""
        assert httpx.get(f"{url}/health/live").is_success


def test_an_answer_that_nobody_reads_is_given_up(database, ollama, monkeypatch):
    monkeypatch.setattr(Protocol, "patience", 0.2)
    given.store(database, ollama.url, {"long.md": [f"{n} word {20_000 * 'x'}" for n in range(400)]})
    asked = {"query": "word", "k": 1000, "method": "text", "answer": True, "stream": True}
    body = json.dumps(asked).encode()
    limits: dict[str, Any] = {"api_concurrency": 1, "chat_model": "llama3.2"}
    with (
        served(database, ollama.url, **limits) as url,
        _connected(url, HEAD, b"Content-Length: %d\r\n\r\n" % len(body), body) as connection,
    ):
        assert connection.recv(8) == b"HTTP/1.1"
        given.wait_for(lambda: httpx.get(f"{url}/health").is_success)


def test_a_client_that_breaks_off_its_body_is_no_error_of_ours(library, embedder):
    with served(library, embedder) as url:
        with _connected(url, HEAD, b"Content-Length: 50\r\n\r\n{"):
            pass
        given.wait_for(lambda: 'path="/api/query",status=' in httpx.get(f"{url}/metrics").text)
        assert 'status="500"' not in httpx.get(f"{url}/metrics").text


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01 this is TLS\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        HEAD + b"Content-Length: -5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ],
    ids=["tls", "no host", "negative length", "two lengths"],
)
def test_what_is_no_http_is_refused_in_json(library, embedder, sent):
    with served(library, embedder) as url, _connected(url, sent) as connection:
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"] == "bad_request"


async def test_a_path_with_a_slash_too_many_leads_nowhere(library, embedder):
    async with given.service(library, embedder) as http:
        answer = await http.get("/api/search/", params={"q": "whales"})
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
