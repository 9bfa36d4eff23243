"""A double of an Ollama server in good health: contract C1 to C20, and counts."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import Any

import orjson

from ingestion_assets_tests.services.faulty_ollama import chat
from ingestion_assets_tests.services.faulty_ollama.contract import (
    Job,
    RefusedError,
    measure,
    parse_embed,
    parse_legacy,
    parse_openai,
)
from ingestion_assets_tests.services.faulty_ollama.http import (
    Reply,
    Request,
    serve_connection,
)
from ingestion_assets_tests.services.faulty_ollama.runner import Config, Counts, Runner
from ingestion_assets_tests.services.faulty_ollama.vectors import Vectors

NOT_EMBEDDING = "This server does not support embeddings. Start it with `--embeddings`"
Handle = Callable[[Request], Awaitable[Reply | None]]


class HealthyOllama:
    """State and routes of one server."""

    def __init__(self, config: Config) -> None:
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._routes: dict[str, dict[str, Handle]] = {
            "/": {"GET": self._alive, "HEAD": self._alive},
            "/api/version": {"GET": self._version, "HEAD": self._version},
            "/api/tags": {"GET": self._tags, "HEAD": self._tags},
            "/api/ps": {"GET": self._ps},
            "/api/show": {"POST": self._show},
            "/api/pull": {"POST": self._pull},
            "/api/embed": {"POST": self._embed},
            "/api/chat": {"POST": self._chat},
            "/api/embeddings": {"POST": self._legacy},
            "/v1/embeddings": {"POST": self._openai},
            "/_stats": {"GET": self._stats},
            "/_reset": {"POST": self._reset},
        }
        self.reset(config)

    def reset(self, config: Config) -> None:
        """Start over: counts at zero, a cold model."""
        self.config = config
        self.counts = Counts()
        self.runner = Runner(config, self.counts)
        self.vectors = {_tagged(config.model): Vectors(config.dimensions)}
        for name, dimensions in config.models.items():
            self.vectors[_tagged(name)] = Vectors(dimensions, name)
        self.missing = False

    async def listen(self, host: str, port: int) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._connected, host, port)
        self._host, self._port = self._server.sockets[0].getsockname()[:2]
        return int(self._port)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            await serve_connection(self._handle, reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._clients.discard(writer)

    async def _handle(self, request: Request) -> Reply | None:
        path = request.path.partition("?")[0]
        methods = self._routes.get(path)
        if methods is None:
            return Reply(404, b"404 page not found", "text/plain")
        handle = methods.get(request.method)
        if handle is None:
            return Reply(405, b"405 method not allowed", "text/plain")
        if path.startswith("/_"):
            return await handle(request)
        counts = self.counts
        self._count(path, request)
        try:
            return await self.answer(path, handle, request)
        except RefusedError as refused:
            return _refusal(path, refused)
        finally:
            counts.in_flight -= 1

    async def answer(self, path: str, handle: Handle, request: Request) -> Reply | None:
        """The reply to a counted request; none if it was given otherwise."""
        return await handle(request)

    def _count(self, path: str, request: Request) -> None:
        counts = self.counts
        counts.requests[path] += 1
        counts.in_flight += 1
        counts.max_in_flight = max(counts.max_in_flight, counts.in_flight)
        if request.accepted_at is not None:  # counted when used: ours for control are not
            accepted = request.accepted_at
            counts.first_connection = counts.first_connection or accepted
            counts.connections += 1
            age = accepted - counts.first_connection
            counts.last_connection = max(counts.last_connection, age)

    async def _alive(self, request: Request) -> Reply:
        return Reply(200, b"Ollama is running", "text/plain; charset=utf-8")

    async def _version(self, request: Request) -> Reply:
        return _json({"version": "0.33.0"})

    async def _tags(self, request: Request) -> Reply:
        listed = () if self.missing else self.vectors
        return _json({"models": [self._entry(name) for name in listed]})

    async def _ps(self, request: Request) -> Reply:
        entry = {"expires_at": "2030-01-01T00:00:00Z", "size_vram": 0}
        entry |= self._entry(_tagged(self.config.model))
        entry["context_length"] = self.runner.context
        return _json({"models": [entry] if self.runner.loaded else []})

    def _entry(self, tagged: str) -> dict[str, Any]:
        dimensions = self.vectors[tagged].dimensions
        return {
            "name": tagged,
            "model": tagged,
            "modified_at": "2026-01-01T00:00:00Z",
            "size": 45960996,
            "digest": blake2b(f"{tagged}{dimensions}".encode()).hexdigest()[:64],
            "details": {
                "format": "gguf",
                "family": "bert",
                "parameter_size": "23M",
                "context_length": self.config.context,
                "embedding_length": dimensions,
            },
            "capabilities": ["embedding"],
        }

    async def _show(self, request: Request) -> Reply:
        model = orjson.loads(request.body).get("model")
        if not model:
            raise RefusedError(400, "model is required")
        if not self._has(model):
            raise RefusedError(404, f"model '{_tagged(model)}' not found")
        chat = _tagged(model) == _tagged(self.config.chat_model)
        info = {
            "general.architecture": "bert",
            "bert.context_length": self.config.context,
            "bert.embedding_length": self.config.dimensions if chat else self._of(model).dimensions,
            "bert.pooling_type": 1,
        }
        capabilities = ["completion"] if chat else ["embedding"]
        parameters = f"num_ctx                        {self.config.context}"
        return _json({"model_info": info, "capabilities": capabilities, "parameters": parameters})

    async def _pull(self, request: Request) -> Reply:
        asked = orjson.loads(request.body)
        known = self._knows(asked.get("model", ""))
        self.missing &= not known
        lines = pull_lines("" if known else "error")
        if asked.get("stream", True):
            return Reply(200, lines, "application/x-ndjson")
        return Reply(200 if known else 500, lines.splitlines()[-1])

    async def _embed(self, request: Request) -> Reply:
        job = parse_embed(request.body)
        with self.counts.under_way(bool(job.texts)):
            return await self._embedded(job, request)

    async def _embedded(self, job: Job, request: Request) -> Reply:
        started = asyncio.get_running_loop().time()
        load = await self._run(job, request)
        head = b'{"model":' + orjson.dumps(job.model) + b',"embeddings":['
        if not job.texts:
            return Reply(200, head + b"]}")
        total = asyncio.get_running_loop().time() - started
        tail = b'],"total_duration":%d,"load_duration":%d,"prompt_eval_count":%d}' % (
            total * 1e9 + 1,
            load * 1e9 + 1,
            sum(job.tokens),
        )
        return Reply(200, head + b",".join(self._rows(job)) + tail)

    async def _chat(self, request: Request) -> None:
        asked = chat.parse(request.body, self.config)
        await chat.speak(asked, request, self.config, self.counts)

    async def _legacy(self, request: Request) -> Reply:
        job = parse_legacy(request.body)
        try:
            await self._run(job, request)
        except RefusedError as refused:
            status = refused.status if refused.status == 404 else 500
            raise RefusedError(status, refused.error) from refused
        row = next(self._rows(job), b"[]")
        return Reply(200, b'{"embedding":' + row + b"}")

    async def _openai(self, request: Request) -> Reply:
        job, packed = parse_openai(request.body)
        await self._run(job, request)
        data = [
            {
                "object": "embedding",
                "embedding": self._packed(text, job) if packed else orjson.Fragment(row),
                "index": i,
            }
            for i, (text, row) in enumerate(zip(job.texts, self._rows(job), strict=True))
        ]
        usage = {"prompt_tokens": sum(job.tokens), "total_tokens": sum(job.tokens)}
        return _json({"object": "list", "data": data, "model": job.model, "usage": usage})

    def _packed(self, text: str, job: Job) -> str:
        raw = self._of(job.model).vector(text, job.dimensions).astype("<f4").tobytes()
        return base64.b64encode(raw).decode()

    async def _run(self, job: Job, request: Request) -> float:
        """Everything between a valid job and its vectors; seconds of loading."""
        if not job.model:
            raise RefusedError(404, "model '' not found")
        if not self._has(job.model):
            raise RefusedError(404, f'model "{job.model}" not found, try pulling it first')
        load = await self.runner.load(job, request)
        if _tagged(job.model) == _tagged(self.config.chat_model):
            raise RefusedError(501, NOT_EMBEDDING)
        if job.unload:
            self.runner.unload()
        self.counts.texts_seen += len(job.texts)
        originals = list(job.texts)
        measure(job, self.config.context)
        await self.runner.compute(len(job.texts), request)
        self._count_embedded(originals)
        return load

    def _rows(self, job: Job) -> Any:
        if self.runner.dead:
            zeros = b"[" + b",".join([b"0"] * self._of(job.model).dimensions) + b"]"
            return iter([zeros] * len(job.texts))
        vectors = self._of(job.model)
        return (vectors.encode(text, job.dimensions) for text in job.texts)

    def _of(self, model: str) -> Vectors:
        return self.vectors[_tagged(model)]

    def _count_embedded(self, texts: list[str]) -> None:
        counts = self.counts
        counts.texts_embedded += len(texts)
        for text in texts:
            key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
            counts.embedded[key] += 1
            if counts.embedded[key] > 1:
                counts.repeated[text] = counts.embedded[key]

    def _has(self, model: str) -> bool:
        return not self.missing and self._knows(model)

    def _knows(self, model: str) -> bool:
        """Whether there is such a model at all, to be pulled if need be."""
        return _tagged(model) in (*self.vectors, _tagged(self.config.chat_model))

    async def _stats(self, request: Request) -> Reply:
        counts = self.counts
        return _json(
            {
                "requests": dict(counts.requests),
                "texts_seen": counts.texts_seen,
                "texts_embedded": counts.texts_embedded,
                "distinct": len(counts.embedded),
                "repeated": dict(list(counts.repeated.items())[:1000]),
                "in_flight": counts.in_flight,
                "max_in_flight": counts.max_in_flight,
                "max_computing": counts.max_computing,
                "connections": counts.connections,
                "last_connection": counts.last_connection,
                "loads": counts.loads,
                "tokens_spoken": counts.tokens_spoken,
                "chats": list(counts.chats),
            }
        )

    async def _reset(self, request: Request) -> Reply:
        self.reset(Config(**orjson.loads(request.body or b"{}")))
        return _json({})


def _tagged(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def _json(answer: object) -> Reply:
    return Reply(200, orjson.dumps(answer))


def _refusal(path: str, refused: RefusedError) -> Reply:
    error: object = refused.error
    if path.startswith("/v1/"):
        kinds = {400: "invalid_request_error", 404: "not_found_error"}
        kind = kinds.get(refused.status, "api_error")
        error = {"message": refused.error, "type": kind, "param": None, "code": None}
    return Reply(refused.status, orjson.dumps({"error": error}))


def pull_lines(variant: str) -> bytes:
    """The progress of a pull: complete, with an error, or cut off."""
    digest = "sha256:" + "797b70c4edf8".ljust(64, "0")
    layer = {"status": "pulling 797b70c4edf8", "digest": digest, "total": 45949216}
    lines: list[dict[str, Any]] = [{"status": "pulling manifest"}]
    if variant == "error":
        lines.append({"error": "pull model manifest: file does not exist"})
    else:
        lines += [layer, layer | {"completed": 45949216}]
        lines += [{"status": "verifying sha256 digest"}, {"status": "writing manifest"}]
        lines += [] if variant == "cut" else [{"status": "success"}]
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)
