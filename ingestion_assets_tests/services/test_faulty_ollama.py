"""The double keeps the contract, C1 to C20 of the reference on Ollama §9."""

import base64
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from ingestion_assets_tests.services.faulty_ollama import Double, Vectors, running

EMBED, LEGACY, OPENAI = "/api/embed", "/api/embeddings", "/v1/embeddings"
TOO_LONG = "the input length exceeds the context length"


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


def embed(client: httpx.Client, given: object, **more: object) -> dict[str, Any]:
    answer = client.post(EMBED, json={"model": "all-minilm", "input": given, **more})
    assert answer.status_code == 200, answer.text
    parsed: dict[str, Any] = answer.json()
    return parsed


def test_c1_one_text_gives_one_unit_vector(double: Double, client: httpx.Client) -> None:
    answer = embed(client, "Why is the sky blue?")
    (row,) = answer["embeddings"]
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)
    assert np.array_equal(np.float32(row), double.vector("Why is the sky blue?"))
    assert (answer["model"], answer["prompt_eval_count"]) == ("all-minilm", 8)
    assert answer["total_duration"] > 0
    assert answer["load_duration"] > 0


def test_c2_a_list_gives_vectors_in_order_and_the_sum_of_tokens(
    double: Double, client: httpx.Client
) -> None:
    answer = embed(client, ["Why is the sky blue?"] * 2 + ["x"])
    assert answer["prompt_eval_count"] == 19
    rows = np.array(answer["embeddings"], np.float32)
    assert np.array_equal(rows[1], rows[0])
    assert np.array_equal(rows[2], double.vector("x"))


@pytest.mark.parametrize("given", [None, "", []])
def test_c3_no_input_loads_the_model(client: httpx.Client, given: object) -> None:
    assert client.get("/api/ps").json() == {"models": []}
    assert embed(client, given) == {"model": "all-minilm", "embeddings": []}
    assert len(client.get("/api/ps").json()["models"]) == 1


def test_c4_blank_texts_have_vectors(client: httpx.Client) -> None:
    assert [len(row) for row in embed(client, ["", "  "])["embeddings"]] == [384, 384]


@pytest.mark.parametrize(("dimensions", "got"), [(128, 128), (4096, 384), (0, 384), (-1, 384)])
def test_c5_dimensions_cut_and_scale(client: httpx.Client, dimensions: int, got: int) -> None:
    (row,) = embed(client, "x", dimensions=dimensions)["embeddings"]
    assert len(row) == got
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-6)


def test_c6_an_overlong_text_is_cut_silently(client: httpx.Client) -> None:
    cut = embed(client, "why is the sky blue", options={"num_ctx": 3})
    assert cut["embeddings"] == embed(client, "why")["embeddings"]
    assert cut["prompt_eval_count"] == 3


def test_c7_or_refused_with_its_whole_list(client: httpx.Client) -> None:
    body = {"model": "all-minilm", "input": ["short", "word " * 300], "truncate": False}
    answer = client.post(EMBED, json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": TOO_LONG})


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (
            b'{"model":"all-minilm","input":"x","options":{"num_ctx":1}}',
            400,
            "input after truncation exceeds maximum context length",
        ),
        (b"", 400, "missing request body"),
        (b'{"model":', 400, "unexpected EOF"),
        (b"{model}", 400, "invalid character"),
        (
            b'{"model":5}',
            400,
            "json: cannot unmarshal number into Go struct field EmbedRequest.model of type string",
        ),
        (b'{"model":"absent","input":5}', 400, "invalid input type"),
        (b'{"model":"all-minilm","input":["a",null]}', 400, "invalid input type"),
        (b'{"model":"all-minilm","input":{}}', 400, "invalid input type"),
        (b'{"model":"absent"}', 404, 'model "absent" not found, try pulling it first'),
        (b'{"model":"a b"}', 400, "invalid model name"),
        (b"{}", 404, "model '' not found"),
        (
            b'{"model":"llama3.2","input":"x"}',
            501,
            "This server does not support embeddings. Start it with `--embeddings`",
        ),
        (
            b'{"model":"all-minilm","options":{"num_ctx":"x"}}',
            500,
            'option "num_ctx" must be of type integer',
        ),
        (
            b'{"model":"all-minilm","keep_alive":"-1"}',
            400,
            'time: missing unit in duration "-1"',
        ),
        (b'{"model":"all-minilm","keep_alive":true}', 400, "Unsupported type: 'bool'"),
    ],
)
def test_c8_to_c14_errors_are_ollamas(
    client: httpx.Client, body: bytes, status: int, error: str
) -> None:
    answer = client.post(EMBED, content=body)
    assert answer.status_code == status
    assert answer.json()["error"].startswith(error)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("keep_alive", ["5m", "1h30m", 300, -1, 0])
def test_c14_durations_are_accepted(client: httpx.Client, keep_alive: object) -> None:
    embed(client, "x", keep_alive=keep_alive)


def test_c15_the_legacy_endpoint_has_its_own_shapes(client: httpx.Client) -> None:
    given = {"model": "all-minilm", "prompt": "x"}
    row = client.post(LEGACY, json=given).json()["embedding"]
    assert row == embed(client, "x")["embeddings"][0]
    assert client.post(LEGACY, json=given | {"prompt": ""}).json() == {"embedding": []}
    assert client.post(LEGACY, json={"prompt": "x"}).status_code == 400
    assert client.post(LEGACY, json=given | {"model": "llama3.2"}).status_code == 500


def test_c16_the_openai_endpoint_has_its_own_shapes(double: Double, client: httpx.Client) -> None:
    given = {"model": "all-minilm", "input": "x"}
    answer = client.post(OPENAI, json=given).json()
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    assert answer["data"][0]["embedding"] == embed(client, "x")["embeddings"][0]
    packed = client.post(OPENAI, json=given | {"encoding_format": "base64"}).json()
    raw = base64.b64decode(packed["data"][0]["embedding"])
    assert np.array_equal(np.frombuffer(raw, "<f4"), double.vector("x"))
    refused = client.post(OPENAI, json=given | {"model": "absent"})
    assert refused.status_code == 404
    assert refused.json()["error"]["type"] == "not_found_error"
    assert client.post(OPENAI, json=given | {"input": []}).status_code == 400


def test_c17_the_other_routes(client: httpx.Client) -> None:
    assert client.get("/").text == "Ollama is running"
    assert client.head("/").status_code == 200
    assert client.get("/api/version").json() == {"version": "0.33.0"}
    assert client.get("/api/tags").json()["models"][0]["name"] == "all-minilm:latest"
    assert client.get("/nowhere").text == "404 page not found"
    assert client.get(EMBED).text == "405 method not allowed"
    shown = client.post("/api/show", json={"model": "all-minilm"}).json()
    assert shown["capabilities"] == ["embedding"]
    assert shown["model_info"]["bert.embedding_length"] == 384
    absent = client.post("/api/show", json={"model": "absent"})
    assert absent.json() == {"error": "model 'absent:latest' not found"}


def test_c17_a_pull_ends_with_success_or_an_error_after_the_200(client: httpx.Client) -> None:
    pulled = client.post("/api/pull", json={"model": "all-minilm"})
    assert pulled.text.endswith('{"status":"success"}\n')
    absent = client.post("/api/pull", json={"model": "absent"})
    assert absent.status_code == 200
    assert '{"error":"pull model manifest: file does not exist"}' in absent.text


def test_c18_a_client_that_leaves_takes_the_load_with_it(
    double: Double, client: httpx.Client
) -> None:
    double.reset(load_ms=400)
    with pytest.raises(httpx.ReadTimeout):
        client.post(EMBED, json={"model": "all-minilm"}, timeout=0.1)
    answer = embed(client, "x")
    assert answer["load_duration"] > 0.3e9
    assert double.stats()["loads"] == 1
    assert embed(client, "x")["load_duration"] < 0.3e9


def test_c18_other_options_load_the_model_again(double: Double, client: httpx.Client) -> None:
    for num_ctx in (128, 128, 256):
        embed(client, "x", options={"num_ctx": num_ctx})
    assert double.stats()["loads"] == 2


def test_c19_one_slot_computes_one_request_after_another(
    double: Double, client: httpx.Client
) -> None:
    double.reset(text_ms=50)
    ended: list[str] = []

    def ask(text: str) -> None:
        embed(client, [text] * 2)
        ended.append(text)

    threads = [threading.Thread(target=ask, args=(text,)) for text in "abc"]
    for n, thread in enumerate(threads):
        thread.start()
        while double.stats()["in_flight"] <= n - len(ended):
            pass
    for thread in threads:
        thread.join()
    assert ended == ["a", "b", "c"]
    assert double.stats()["max_in_flight"] == 3


def test_c20_a_full_queue_of_loads_is_503(double: Double, client: httpx.Client) -> None:
    double.reset(load_ms=300, max_queue=1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: client.post(EMBED, json={"model": "all-minilm"}), "x" * 8)
        )
    busy = [answer for answer in answers if answer.status_code == 503]
    assert busy
    assert "maximum pending requests exceeded" in busy[0].text
    assert "retry-after" not in busy[0].headers


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
    assert strikes(match="b") == [False, True, True, False]
    assert strikes(batch=2) == [False, True, False, False]
    assert strikes(times=1) == [True, False, False, False]
    assert strikes(in_flight=2) == [False] * 4
    assert strikes(start=60) == strikes(until=0) == strikes(probability=0) == [False] * 4
    assert strikes(probability=0.5, seed=3) == strikes(probability=0.5, seed=3)
    assert strikes(path="/api/show") == [False] * 4


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
