"""The contract C1-C20 of Ollama's embedding API.

A test module runs it against its server with one function:

    @pytest.mark.parametrize("check", CHECKS, ids=name)
    def test_contract(check, server):
        check(server)

`CHECKS` hold for every server, `SERIAL_CHECKS` for one that computes a text at a time and not on
all cores. `CHAT_CHECKS` need a chat model, `LOAD_CHECKS` a server that can be told how long a load
takes and how many may wait for it.
"""

import base64
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self

import httpx
import numpy as np
import pytest

Json = dict[str, Any]

_EMBED, _LEGACY, _OPENAI = "/api/embed", "/api/embeddings", "/v1/embeddings"
JSON = "application/json; charset=utf-8"
SKY = "Why is the sky blue?"
LONG = "word " * 3000
WORK = ["word " * 200] * 24  # keeps a server busy for a tenth of a second at least


@dataclass(frozen=True)
class Server:
    """The server under test, and an embedding model that it has.

    Attributes:
        chat_model: one that cannot embed; empty if the server has none.
        load_seconds: until a cold model answers, for `LOAD_CHECKS`.
        max_queue: requests that may wait for a load, for `LOAD_CHECKS`.
    """

    base_url: str
    model: str = "all-minilm"
    dimensions: int = 384
    context: int = 256
    chat_model: str = ""
    load_seconds: float = 0.0
    max_queue: int = 512

    @classmethod
    def of(cls, base_url: str, model: str) -> Self:
        """A server whose model says itself what it is."""
        shown = cls(base_url).call("POST", "/api/show", {"model": model}).json()
        info, parameters = shown["model_info"], shown.get("parameters", "").split()
        size = {name.rpartition(".")[2]: value for name, value in info.items()}
        context = int(parameters[1]) if "num_ctx" in parameters else size["context_length"]
        return cls(base_url, model, size["embedding_length"], context)

    def call(
        self, method: str, path: str, body: object = None, timeout: float = 60
    ) -> httpx.Response:
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        with httpx.Client(base_url=self.base_url, timeout=timeout, trust_env=False) as client:
            return client.request(method, path, content=content)

    def embed(self, **fields: object) -> httpx.Response:
        return self.call("POST", _EMBED, {"model": self.model, **fields})

    def running(self) -> list[Json]:
        """What /api/ps says of the model; empty if it is not loaded."""
        models = self.call("GET", "/api/ps").json()["models"]
        return [model for model in models if model["name"].split(":")[0] == _bare(self.model)]

    def unload(self) -> None:
        """Have the model out of memory, which a real server takes its time for."""
        self.embed(input=[], keep_alive=0)
        until = time.monotonic() + 10
        while self.running():
            assert time.monotonic() < until, "the model stays loaded"
            time.sleep(0.05)

    def vectors(self, **fields: object) -> Any:
        response = self.embed(**fields)
        assert response.status_code == 200, response.text
        return np.array(response.json()["embeddings"], np.float32)


Check = Callable[[Server], None]
CHECKS: list[Check] = []
SERIAL_CHECKS: list[Check] = []
CHAT_CHECKS: list[Check] = []
LOAD_CHECKS: list[Check] = []


def name(check: Check) -> str:
    return check.__name__


def _check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def _bare(model: str) -> str:
    return model.split(":", maxsplit=1)[0]


def _refusal(title: str, path: str, body: object, status: int, error: object) -> None:
    def check(server: Server) -> None:
        sent = {"model": server.model, **body} if isinstance(body, dict) else body
        response = server.call("POST", path, sent)
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == JSON
        assert response.json() == {"error": error}

    check.__name__ = title
    CHECKS.append(check)


def _wrapped(message: str, kind: str) -> Json:
    return {"message": message, "type": kind, "param": None, "code": None}


_STRING = "json: cannot unmarshal {} into Go struct field EmbedRequest.model of type string"
_UNKNOWN = 'model "no-such-model" not found, try pulling it first'
_BUSY = "server busy, please try again.  maximum pending requests exceeded"
_TOO_LONG = "the input length exceeds the context length"

for _title, _path, _body, _status, _error in [
    ("c7_too_long", _EMBED, {"input": LONG, "truncate": False}, 400, _TOO_LONG),
    ("c7_one_too_long", _EMBED, {"input": ["a", LONG], "truncate": False}, 400, _TOO_LONG),
    (
        "c8_context_of_one",
        _EMBED,
        {"input": SKY, "options": {"num_ctx": 1}},
        400,
        "input after truncation exceeds maximum context length",
    ),
    ("c9_no_body", _EMBED, b"", 400, "missing request body"),
    ("c9_cut_json", _EMBED, b'{"model":"a', 400, "unexpected EOF"),
    (
        "c9_bad_json",
        _EMBED,
        b"hello",
        400,
        "invalid character 'h' looking for beginning of value",
    ),
    ("c9_model_number", _EMBED, {"model": 5}, 400, _STRING.format("number")),
    ("c9_model_list", _EMBED, {"model": []}, 400, _STRING.format("array")),
    ("c10_input_number", _EMBED, {"input": 5}, 400, "invalid input type"),
    ("c10_input_object", _EMBED, {"input": {}}, 400, "invalid input type"),
    ("c10_input_numbers", _EMBED, {"input": [1]}, 400, "invalid input type"),
    ("c10_input_null_inside", _EMBED, {"input": ["a", None]}, 400, "invalid input type"),
    (
        "c10_input_is_checked_before_the_model",
        _EMBED,
        {"model": "no-such-model", "input": 5},
        400,
        "invalid input type",
    ),
    ("c11_unknown", _EMBED, {"model": "no-such-model", "input": "a"}, 404, _UNKNOWN),
    ("c11_malformed", _EMBED, {"model": "a b", "input": "a"}, 400, "invalid model name"),
    ("c11_missing", _EMBED, {"model": "", "input": "a"}, 404, "model '' not found"),
    (
        "c13_option_of_wrong_type",
        _EMBED,
        {"input": "a", "options": {"num_ctx": "x"}},
        500,
        'option "num_ctx" must be of type integer',
    ),
    (
        "c14_keep_alive_without_unit",
        _EMBED,
        {"input": "a", "keep_alive": "-1"},
        400,
        'time: missing unit in duration "-1"',
    ),
    (
        "c14_keep_alive_bool",
        _EMBED,
        {"input": "a", "keep_alive": True},
        400,
        "Unsupported type: 'bool'",
    ),
    ("c15_no_model", _LEGACY, {"model": "", "prompt": "a"}, 400, "model is required"),
    ("c15_unknown", _LEGACY, {"model": "no-such-model", "prompt": "a"}, 404, _UNKNOWN),
    (
        "c15_prompt_list",
        _LEGACY,
        {"prompt": ["a"]},
        400,
        "json: cannot unmarshal array into Go struct field EmbeddingRequest.prompt of type string",
    ),
    (
        "c16_no_input",
        _OPENAI,
        {"input": []},
        400,
        _wrapped("invalid input", "invalid_request_error"),
    ),
    (
        "c16_tokens",
        _OPENAI,
        {"input": [1, 2]},
        400,
        _wrapped("invalid input type", "invalid_request_error"),
    ),
    (
        "c16_unknown",
        _OPENAI,
        {"model": "no-such-model", "input": "a"},
        404,
        _wrapped(_UNKNOWN, "not_found_error"),
    ),
    (
        "c17_show_unknown",
        "/api/show",
        {"model": "no-such-model"},
        404,
        "model 'no-such-model:latest' not found",
    ),
    ("c17_show_nothing", "/api/show", {"model": ""}, 400, "model is required"),
]:
    _refusal(_title, _path, _body, _status, _error)


@_check
def c1_one_text(server: Server) -> None:
    response = server.embed(input=SKY)
    body = response.json()
    assert response.headers["content-type"] == JSON
    keys = ["model", "embeddings", "total_duration", "load_duration", "prompt_eval_count"]
    assert list(body) == keys
    assert (body["model"], body["prompt_eval_count"]) == (server.model, 8)
    assert body["total_duration"] >= body["load_duration"] > 0
    assert abs(np.linalg.norm(body["embeddings"]) - 1) < 1e-5


@_check
def c2_a_list_keeps_its_order(server: Server) -> None:
    texts = [SKY, "a longer text about splicing rope on a ship " * 5, "short", SKY]
    vectors = server.vectors(input=texts)
    alone = np.concatenate([server.vectors(input=text) for text in texts])
    assert vectors.shape == (4, server.dimensions)
    assert np.abs(vectors - alone).max() < 1e-4


@_check
def c2_tokens_are_summed(server: Server) -> None:
    assert server.embed(input=[SKY, SKY]).json()["prompt_eval_count"] == 16


@_check
def c3_nothing_to_embed_loads_the_model(server: Server) -> None:
    nothing: list[Json] = [{}, {"input": None}, {"input": ""}, {"input": []}, {"prompt": "x"}]
    for fields in nothing:
        response = server.embed(**fields)
        assert response.status_code == 200
        assert response.json() == {"model": server.model, "embeddings": []}
    assert len(server.running()) == 1


@_check
def c4_blank_texts_have_vectors(server: Server) -> None:
    assert server.vectors(input=[""]).shape == (1, server.dimensions)
    assert server.vectors(input=["  "]).shape == (1, server.dimensions)


@_check
def c5_fewer_dimensions_are_renormalised(server: Server) -> None:
    full = server.vectors(input=SKY)[0, :128]
    fewer = server.vectors(input=SKY, dimensions=128)[0]
    assert np.abs(fewer - full / np.linalg.norm(full)).max() < 1e-5


@_check
def c5_impossible_dimensions_are_ignored(server: Server) -> None:
    for dimensions in (4096, 0, -1):
        shape = server.vectors(input=SKY, dimensions=dimensions).shape
        assert shape == (1, server.dimensions)


@_check
def c6_over_long_texts_are_cut(server: Server) -> None:
    response = server.embed(input=LONG, truncate=True)
    assert response.status_code == 200
    assert response.json()["prompt_eval_count"] == server.context


@_check
def c6_the_first_tokens_are_kept(server: Server) -> None:
    cut = server.vectors(input=SKY, options={"num_ctx": 3})
    assert np.abs(cut - server.vectors(input="Why")).max() < 1e-5


@_check
def c14_durations_are_accepted(server: Server) -> None:
    for keep_alive in ("5m", "1h30m", 300, -1, "-1s", None, 0):
        assert server.embed(input="a", keep_alive=keep_alive).status_code == 200


@_check
def c15_legacy_answers_one_vector(server: Server) -> None:
    response = server.call("POST", _LEGACY, {"model": server.model, "prompt": SKY})
    vector = np.array(response.json()["embedding"])
    cosine = vector @ server.vectors(input=SKY)[0] / np.linalg.norm(vector)
    assert list(response.json()) == ["embedding"]
    assert cosine > 0.9999


@_check
def c15_legacy_without_prompt_is_empty(server: Server) -> None:
    response = server.call("POST", _LEGACY, {"model": server.model, "input": "a"})
    assert (response.status_code, response.json()) == (200, {"embedding": []})


@_check
def c16_openai_shape(server: Server) -> None:
    body = server.call("POST", _OPENAI, {"model": server.model, "input": [SKY, ""]}).json()
    assert list(body) == ["object", "data", "model", "usage"]
    assert [(row["object"], row["index"]) for row in body["data"]] == [
        ("embedding", 0),
        ("embedding", 1),
    ]
    assert body["usage"] == {"prompt_tokens": 10, "total_tokens": 10}


@_check
def c16_base64_is_little_endian_float32(server: Server) -> None:
    asked = {"model": server.model, "input": SKY, "encoding_format": "base64"}
    text = server.call("POST", _OPENAI, asked).json()["data"][0]["embedding"]
    vector = np.frombuffer(base64.b64decode(text), "<f4")
    assert np.abs(vector - server.vectors(input=SKY)[0]).max() < 1e-5


@_check
def c17_root_says_that_it_runs(server: Server) -> None:
    assert server.call("GET", "/").text == "Ollama is running"
    assert server.call("HEAD", "/").status_code == 200


@_check
def c17_version(server: Server) -> None:
    response = server.call("GET", "/api/version")
    assert list(response.json()) == ["version"]
    assert server.call("HEAD", "/api/version").status_code == 200


@_check
def c17_tags(server: Server) -> None:
    models = server.call("GET", "/api/tags").json()["models"]
    model = next(item for item in models if _bare(item["name"]) == _bare(server.model))
    assert len(model["digest"]) == 64
    assert model["details"]["embedding_length"] == server.dimensions
    assert model["capabilities"] == ["embedding"]


@_check
def c17_ps_tells_the_context(server: Server) -> None:
    server.embed(input="a", options={"num_ctx": 128}, keep_alive="5m")
    (model,) = server.running()
    assert model["context_length"] == 128
    assert {"name", "model", "size", "digest", "details", "expires_at", "size_vram"} <= set(model)


@_check
def c17_keep_alive_of_zero_unloads(server: Server) -> None:
    server.embed(input=[])
    assert server.running()
    server.unload()


@_check
def c17_show(server: Server) -> None:
    body = server.call("POST", "/api/show", {"model": server.model}).json()
    info = body["model_info"]
    architecture = info["general.architecture"]
    assert "embedding" in body["capabilities"]
    assert info[f"{architecture}.embedding_length"] == server.dimensions
    assert info[f"{architecture}.context_length"] >= server.context
    assert body["parameters"].split() == ["num_ctx", str(server.context)]


@_check
def c17_pull_ends_with_success(server: Server) -> None:
    response = server.call("POST", "/api/pull", {"model": server.model})
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"] == "application/x-ndjson"
    assert (lines[0], lines[-1]) == ({"status": "pulling manifest"}, {"status": "success"})


@_check
def c17_pull_of_the_unknown_ends_with_an_error(server: Server) -> None:
    error = {"error": "pull model manifest: file does not exist"}
    response = server.call("POST", "/api/pull", {"model": "no-such-model"})
    whole = server.call("POST", "/api/pull", {"model": "no-such-model", "stream": False})
    assert response.status_code == 200
    assert json.loads(response.text.splitlines()[-1]) == error
    assert (whole.status_code, whole.json()) == (500, error)


@_check
def c17_unknown_routes_and_methods_are_text(server: Server) -> None:
    missing = server.call("GET", "/api/nothing")
    wrong = server.call("GET", "/api/embed")
    assert (missing.status_code, missing.text) == (404, "404 page not found")
    assert (wrong.status_code, wrong.text) == (405, "405 method not allowed")


@_check
def c18_a_cold_model_is_loaded_first(server: Server) -> None:
    server.unload()
    cold = server.embed(input=SKY).json()["load_duration"]
    warm = server.embed(input=SKY).json()["load_duration"]
    assert cold > 2 * warm


@_check
def c19_requests_are_answered_in_their_order(server: Server) -> None:
    assert _answered(server, [WORK, WORK, WORK]) == [0, 1, 2]


def c19_a_small_request_waits_for_a_large_one(server: Server) -> None:
    assert _answered(server, [WORK, WORK, ["small"]]) == [0, 1, 2]


SERIAL_CHECKS.append(c19_a_small_request_waits_for_a_large_one)


def _answered(server: Server, inputs: list[list[str]]) -> list[int]:
    """Which of the requests, sent one shortly after the other, was answered first, second, …"""
    server.embed(input=SKY)
    answered: list[int] = []

    def ask(number: int) -> None:
        body = {"model": server.model, "input": inputs[number]}
        assert client.post(_EMBED, json=body).status_code == 200
        answered.append(number)

    # A client of its own for each would take longer to make than the pause between them.
    client = httpx.Client(base_url=server.base_url, timeout=60, trust_env=False)
    with client, ThreadPoolExecutor(len(inputs)) as pool:
        for number in range(len(inputs)):
            pool.submit(ask, number)
            time.sleep(0.05)
    return answered


def c12_a_chat_model_cannot_embed(server: Server) -> None:
    error = "This server does not support embeddings. Start it with `--embeddings`"
    given = {"model": server.chat_model, "input": "a", "prompt": "a"}
    for path, status in ((_EMBED, 501), (_LEGACY, 500)):
        response = server.call("POST", path, given)
        assert (response.status_code, response.json()) == (status, {"error": error})
    shown = server.call("POST", "/api/show", {"model": server.chat_model}).json()
    assert "embedding" not in shown["capabilities"]


CHAT_CHECKS.append(c12_a_chat_model_cannot_embed)


def c18_no_byte_comes_before_the_load_is_done(server: Server) -> None:
    server.unload()
    started = time.monotonic()
    response = server.embed(input=SKY)
    assert time.monotonic() - started >= server.load_seconds
    assert response.json()["load_duration"] >= server.load_seconds * 1e9


def c18_a_client_that_leaves_takes_the_load_with_it(server: Server) -> None:
    server.unload()
    body = {"model": server.model, "input": SKY}
    with pytest.raises(httpx.ReadTimeout):
        server.call("POST", _EMBED, body, timeout=0.75 * server.load_seconds)
    assert server.embed(input=SKY).json()["load_duration"] >= server.load_seconds * 1e9


def c20_a_full_queue_of_loads_is_busy(server: Server) -> None:
    server.unload()
    with ThreadPoolExecutor(n := server.max_queue + 4) as pool:
        answers = list(pool.map(lambda _: server.embed(input=SKY), range(n)))
    busy = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(busy) < n
    for answer in busy:
        assert (answer.status_code, answer.json()) == (503, {"error": _BUSY})
        assert "retry-after" not in answer.headers


LOAD_CHECKS += [
    c18_no_byte_comes_before_the_load_is_done,
    c18_a_client_that_leaves_takes_the_load_with_it,
    c20_a_full_queue_of_loads_is_busy,
]
