"""The real process: it serves, it drains, it refuses what is unsafe."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from ingestion_assets.api.serving import listen, url_of
from ingestion_assets.errors import ConfigError
from ingestion_assets_tests.api import given


@contextmanager
def _process(folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "ingestion_assets", "serve", "--port", "0"]
    environment = {**os.environ, **environment}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("Search at "):
            return line.split()[2].strip(";")
    raise AssertionError("it did not start")


def test_sigterm_finishes_what_is_under_way(stored, ollama, tmp_path):
    ollama.reset(rtt_ms=1500)
    environment = {"INGESTION_DATABASE_URL": stored, "OLLAMA_HOST": ollama.url}
    answers: list[httpx.Response] = []
    with _process(tmp_path, **environment) as process:
        url = _url(process)
        given.wait_for(lambda: _is_alive(url))
        asking = threading.Thread(
            target=lambda: answers.append(
                httpx.get(f"{url}/api/search", params={"q": "whales"}, timeout=30)
            )
        )
        asking.start()
        given.wait_for(lambda: ollama.stats()["in_flight"])
        process.send_signal(signal.SIGTERM)
        asking.join()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "Stopped.\n"
    assert given.uris(answers[0])[0]
    assert answers[0].json()["degraded"] == []


def test_another_address_needs_a_key(tmp_path):
    with _process(tmp_path, INGEST_API_HOST="0.0.0.0", INGEST_API_KEY="") as process:
        assert process.wait(60) == 2
        assert process.stderr is not None
        assert "INGEST_API_KEY" in process.stderr.read()


def test_a_taken_port_is_said():
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        with pytest.raises(ConfigError, match="INGEST_API_PORT"):
            listen("127.0.0.1", port)


def _is_alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/live").is_success
    except httpx.TransportError:
        return False


def test_it_logs_json_lines_if_it_is_asked_to(stored, ollama, tmp_path):
    environment = {
        "INGESTION_DATABASE_URL": stored,
        "OLLAMA_HOST": ollama.url,
        "INGEST_LOG_FORMAT": "json",
    }
    with _process(tmp_path, **environment) as process:
        assert process.stderr is not None
        first = orjson.loads(process.stderr.readline())
        given.wait_for(lambda: _is_alive(first["message"].split()[2].strip(";")))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        rest = [orjson.loads(line) for line in process.stderr]
    assert [line["message"] for line in rest] == ["Stopped."]
    assert first["level"] == "info"
