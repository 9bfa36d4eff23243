"""The double keeps the contract of Ollama, and each of its faults is the one the rule names."""

import re
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from click.testing import CliRunner

from ingestion_assets_tests.contract.ollama import (
    CHAT_CHECKS,
    CHECKS,
    LOAD_CHECKS,
    SERIAL_CHECKS,
    Check,
    Server,
    name,
)
from ingestion_assets_tests.services.faulty_ollama import Double, Vectors, running
from ingestion_assets_tests.services.faulty_ollama import __main__ as module
from ingestion_assets_tests.services.faulty_ollama.__main__ import main
from ingestion_assets_tests.services.faulty_ollama.faults import Rule

EMBED = "/api/embed"
TEXTS = [f"text {i}" for i in range(4)]
RUNNER = 'Post "http://127.0.0.1:40123'


@pytest.fixture(scope="module")
def _double() -> Iterator[Double]:
    with running() as double:
        yield double


@pytest.fixture
def double(_double: Double) -> Double:
    _double.reset()
    return _double


@pytest.fixture
def client(double: Double) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=double.url, trust_env=False, timeout=10) as client:
        yield client


def post(client: httpx.Client, given: object, **more: object) -> httpx.Response:
    return client.post(EMBED, json={"model": "all-minilm", "input": given, **more})


def embed(client: httpx.Client, given: object, **more: object) -> dict[str, Any]:
    answer = post(client, given, **more)
    assert answer.status_code == 200, answer.text
    parsed: dict[str, Any] = answer.json()
    return parsed


@pytest.mark.parametrize("check", CHECKS + CHAT_CHECKS + SERIAL_CHECKS, ids=name)
def test_contract(check: Check, double: Double) -> None:
    double.reset(text_ms=5)
    check(Server(double.url, chat_model="llama3.2"))


@pytest.mark.parametrize("check", LOAD_CHECKS, ids=name)
def test_contract_of_a_load(check: Check, double: Double) -> None:
    double.reset(load_ms=200, max_queue=2)
    check(Server(double.url, load_seconds=0.2, max_queue=2))


def test_vectors_are_known_beforehand(double: Double, client: httpx.Client) -> None:
    rows = np.array(embed(client, TEXTS)["embeddings"], np.float32)
    assert np.array_equal(rows, [double.vector(text) for text in TEXTS])


def test_other_options_load_the_model_again(double: Double, client: httpx.Client) -> None:
    for num_ctx in (128, 128, 256):
        embed(client, "x", options={"num_ctx": num_ctx})
    assert double.stats()["loads"] == 2


def test_texts_are_counted_and_repeated_ones_named(double: Double, client: httpx.Client) -> None:
    embed(client, ["a", "b"])
    embed(client, ["b"])
    stats = double.stats()
    assert (stats["texts_seen"], stats["texts_embedded"], stats["distinct"]) == (3, 3, 2)
    assert stats["repeated"] == {"b": 2}
    assert (stats["connections"], stats["loads"]) == (1, 1)


def test_a_rule_strikes_the_requests_it_names(double: Double, client: httpx.Client) -> None:
    def strikes(**rule: object) -> list[bool]:
        double.break_by({"fault": "F13", **rule})
        texts = (["a"], ["a", "b"], ["b"], ["a"])
        sent = [client.post(EMBED, json={"model": "all-minilm", "input": t}) for t in texts]
        return [answer.status_code == 503 for answer in sent]

    assert strikes(nth=[2, 4]) == [False, True, False, True]
    assert strikes(after=1) == [False, True, True, True]
    assert strikes(after=1, lasts=0) == [False] * 4
    assert strikes(match="b") == [False, True, True, False]
    assert strikes(batch=2) == [False, True, False, False]
    assert strikes(times=1) == [True, False, False, False]
    assert strikes(in_flight=2) == [False] * 4
    assert strikes(start=60) == strikes(until=0) == strikes(probability=0) == [False] * 4
    assert strikes(probability=0.5, seed=3) == strikes(probability=0.5, seed=3)
    assert strikes(path="/api/show") == [False] * 4


@pytest.mark.parametrize(
    ("rule", "status", "says"),
    [
        ({"fault": "F6"}, 400, f'do embedding request: {RUNNER}/v1/embeddings": EOF'),
        ({"fault": "F7", "batch": 2}, 400, f'{RUNNER}/tokenize": dial tcp'),
        ({"fault": "F8"}, 500, "llama-server process has terminated: signal: killed"),
        ({"fault": "F8", "variant": "oom"}, 500, "llama-server process has terminated: cudaMalloc"),
        ({"fault": "F9", "match": "2"}, 500, "failed to encode response: json: unsupported value"),
        ({"fault": "F10", "match": "2"}, 400, "embedding contains NaN or Inf values"),
        ({"fault": "F13"}, 503, "server busy, please try again.  maximum pending requests"),
        ({"fault": "F15"}, 401, "unauthorized"),
        ({"fault": "F16"}, 400, "the input length exceeds the context length"),
        ({"fault": "F17"}, 404, 'model "all-minilm" not found, try pulling it first'),
    ],
)
def test_a_refusal_is_in_the_servers_words(
    double: Double, client: httpx.Client, rule: dict[str, Any], status: int, says: str
) -> None:
    double.break_by(rule)
    answer = post(client, TEXTS)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(says)


@pytest.mark.parametrize(
    ("rule", "status", "retry_after", "body"),
    [
        ({"fault": "F14"}, 502, None, "<html>"),
        ({"fault": "F14", "status": 413}, 413, None, "<html>"),
        ({"fault": "F14", "status": 429, "retry_after": "7"}, 429, "7", "<html>"),
        ({"fault": "F15", "status": 403}, 403, None, ""),
        ({"fault": "F19"}, 200, None, "<html>"),
    ],
)
def test_a_proxy_answers_in_its_own_way(
    double: Double,
    client: httpx.Client,
    rule: dict[str, Any],
    status: int,
    retry_after: str | None,
    body: str,
) -> None:
    double.break_by(rule)
    answer = post(client, TEXTS)
    assert (answer.status_code, answer.headers.get("retry-after")) == (status, retry_after)
    assert answer.text[:6] == body


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ({"fault": "F1"}, httpx.NetworkError | httpx.RemoteProtocolError),
        ({"fault": "F2"}, httpx.RemoteProtocolError),
        ({"fault": "F3"}, httpx.RemoteProtocolError),
        ({"fault": "F3", "variant": "chunked"}, httpx.RemoteProtocolError),
        ({"fault": "F4", "seconds": 5}, httpx.ReadTimeout),
        ({"fault": "F18"}, httpx.ReadTimeout),
        ({"fault": "F20"}, httpx.NetworkError | httpx.RemoteProtocolError),
    ],
    ids=str,
)
def test_an_exchange_breaks_off(double: Double, rule: dict[str, Any], kind: Any) -> None:
    double.break_by({"seconds": 0.1, **rule, "times": 1})
    with httpx.Client(base_url=double.url, trust_env=False, timeout=0.3) as client:
        with pytest.raises(Exception) as failure:  # noqa: PT011
            post(client, TEXTS)
        assert isinstance(failure.value, kind)
        until = time.monotonic() + 5
        while not _answers(client) and time.monotonic() < until:
            time.sleep(0.02)
        embed(client, TEXTS)


@pytest.mark.parametrize(
    ("variant", "lengths"),
    [
        ("missing", [384] * 3),
        ("extra", [384] * 5),
        ("dimension", [383] * 4),
        ("null", [384] * 4),
        ("empty", []),
    ],
)
def test_vectors_are_spoilt(
    double: Double, client: httpx.Client, variant: str, lengths: list[int]
) -> None:
    double.break_by({"fault": "F12", "variant": variant})
    rows = embed(client, TEXTS)["embeddings"]
    assert [len(row) for row in rows] == lengths
    assert any(None in row for row in rows) is (variant == "null")


def test_vectors_are_reordered(double: Double, client: httpx.Client) -> None:
    double.break_by({"fault": "F21"})
    rows = np.array(embed(client, TEXTS)["embeddings"], np.float32)
    assert np.array_equal(rows[::-1], [double.vector(text) for text in TEXTS])


def test_only_the_named_text_has_a_dead_vector(double: Double, client: httpx.Client) -> None:
    double.break_by({"fault": "F11", "match": "2"})
    assert [any(row) for row in embed(client, TEXTS)["embeddings"]] == [True, True, False, True]


def test_a_restart_forgets_the_loaded_model(double: Double, client: httpx.Client) -> None:
    embed(client, TEXTS)
    double.break_by({"fault": "F20", "times": 1, "seconds": 0.05})
    with pytest.raises((httpx.NetworkError, httpx.RemoteProtocolError)):
        post(client, TEXTS)
    while not _answers(client):
        time.sleep(0.02)
    assert client.get("/api/ps").json() == {"models": []}


def test_a_deleted_model_can_be_pulled_again(double: Double, client: httpx.Client) -> None:
    double.break_by({"fault": "F17", "times": 1})
    assert post(client, TEXTS).status_code == 404
    assert client.get("/api/tags").json() == {"models": []}
    client.post("/api/pull", json={"model": "all-minilm"})
    embed(client, TEXTS)


def test_the_version_is_told_while_the_runner_hangs(double: Double, client: httpx.Client) -> None:
    double.break_by({"fault": "F18"})
    with pytest.raises(httpx.ReadTimeout):
        client.post(EMBED, json={"model": "all-minilm", "input": TEXTS}, timeout=0.1)
    assert client.get("/api/version").status_code == 200


def test_a_dead_state_lasts_until_the_model_is_unloaded(
    double: Double, client: httpx.Client
) -> None:
    double.break_by({"fault": "F11", "variant": "state", "times": 1})
    assert not any(embed(client, "x")["embeddings"][0])
    assert not any(embed(client, "y")["embeddings"][0])
    embed(client, [], keep_alive=0)
    assert any(embed(client, "y")["embeddings"][0])


def test_a_slow_drip_arrives_whole(double: Double, client: httpx.Client) -> None:
    double.break_by({"fault": "F5", "seconds": 0.1})
    assert len(embed(client, "x")["embeddings"][0]) == 384


@pytest.mark.parametrize("variant", ["cut", "error"])
def test_a_pull_can_break(double: Double, client: httpx.Client, variant: str) -> None:
    double.break_by({"fault": "F22", "path": "/api/pull", "variant": variant})
    pulled = client.post("/api/pull", json={"model": "all-minilm"})
    assert pulled.status_code == 200
    assert "success" not in pulled.text


def test_no_two_texts_share_a_vector() -> None:
    vectors = Vectors(384)
    rows = np.stack([vectors.vector(f"text {i}") for i in range(500)])
    cosines = rows @ rows.T
    assert np.diag(cosines) == pytest.approx(1, abs=1e-6)
    assert (cosines - np.eye(500)).max() < 0.9


def test_its_help_and_its_guide_name_what_it_can() -> None:
    shown = CliRunner().invoke(main, ["--help"]).output
    assert "--rule" in shown
    guide = Path(module.__file__).with_name("README.md").read_text()
    for n in range(1, 23):
        assert f'`{{"fault": "F{n}"' in guide
    for field in fields(Rule):
        assert field.name.startswith("_") or field.name in guide


def test_every_rule_of_its_guide_is_one() -> None:
    guide = Path(module.__file__).with_name("README.md").read_text()
    rules = [orjson.loads(rule) for rule in re.findall(r'`(\{"fault.*?\})`', guide)]
    assert len(rules) == 22
    for rule in rules:
        Rule.of(rule)


@pytest.mark.parametrize("arguments", [["--rule", "F6"], ["--config", '{"speed": 9}']])
def test_a_mistake_on_its_command_line_is_explained(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "no JSON" in result.output or "speed" in result.output


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/version").is_success
    except httpx.TransportError:
        return False
