"""One Ollama endpoint: texts in, checked vectors out."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from ingestion_assets import tracing
from ingestion_assets.embedding import canary
from ingestion_assets.embedding.answers import Answer, decode
from ingestion_assets.embedding.canary import CANARY, NEIGHBOURS
from ingestion_assets.embedding.classify import Sent
from ingestion_assets.embedding.connection import Connection
from ingestion_assets.embedding.host import parse_host
from ingestion_assets.embedding.identity import LONGEST_TEXT, Identity, context_of
from ingestion_assets.embedding.pull import follow
from ingestion_assets.embedding.shown import Shown
from ingestion_assets.embedding.stats import Stats
from ingestion_assets.errors import (
    ModelError,
    OllamaAnswerError,
    PoisonTextError,
    WrongDimensionsError,
)
from ingestion_assets.share import Share

QUESTION_PATIENCE = 30.0  # seconds; what a server knows of itself it says at once
UNLOAD_POLL = 0.1  # seconds
UNLOAD_BUDGET = 10.0  # seconds until an unloaded model should be off the list of running ones
LOAD_BUDGET = 330.0  # seconds; Ollama itself gives a load up after 300

logger = logging.getLogger(__name__)


class Ollama:
    """One endpoint over pooled connections; use it as an async context manager.

    Args:
        host: as in OLLAMA_HOST.
        api_key: sent as a bearer token; never in a message, a log or a repr.
        connections: open at once at most.
        keepalive: of these, kept when idle. With more requests in flight than that, connections
            are closed and opened all the time: give it as many as there are workers.
        timeout: seconds without a byte before a request is given up.
        cpu_retry: the model may be loaded without a GPU, for a text that it chokes on.
        transport: stands in for the network.

    Attributes:
        share: bounds the embedding requests in flight, whoever sends them.
    """

    def __init__(
        self,
        host: str | None = None,
        *,
        api_key: str | None = None,
        connections: int = 10,
        keepalive: int = 5,
        timeout: float = 300.0,
        cpu_retry: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.base_url = parse_host(host)
        self.cpu_retry = cpu_retry
        self.share = Share()
        self._connection = Connection(
            self.base_url,
            api_key=api_key,
            connections=connections,
            keepalive=keepalive,
            timeout=timeout,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"Ollama({self.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._connection.__aexit__(*exc)

    @property
    def timeout(self) -> float:
        """Seconds without a byte before a request is given up."""
        return self._connection.timeout

    @property
    def stats(self) -> Stats:
        """What was sent since the client was made."""
        return self._connection.stats

    async def fill(self) -> None:
        """Open the connections that are kept, before requests go out in parallel."""
        await self._connection.fill()

    async def version(self) -> str:
        """The server's version."""
        return str((await self._ask("/api/version")).get("version", ""))

    async def show(self, model: str) -> Shown:
        """What the server knows of a model, without loading it.

        Raises:
            ModelError: the server does not have it.
        """
        return Shown.of(await self._ask("/api/show", model, {"model": model}))

    async def digest(self, model: str) -> str:
        """The digest of a model's weights.

        Raises:
            ModelError: the server does not have it.
        """
        models = (await self._ask("/api/tags", model)).get("models") or ()
        for entry in models:
            if entry.get("name") == _tagged(model):
                return str(entry.get("digest", ""))
        raise ModelError(self.base_url, model, f"no model {model!r}; run `ollama pull {model}`")

    async def preload(
        self, model: str, *, options: Mapping[str, int] | None = None, keep_alive: str = "10m"
    ) -> None:
        """Have the model loaded, however long that takes.

        A disconnect makes Ollama drop the load, so a short timeout here would mean a model that
        never loads. Call it once, before requests go out in parallel.
        """
        patience = max(LOAD_BUDGET, self.timeout)
        await self._embed(model, [], options or {}, keep_alive, truncate=False, patience=patience)

    async def unload(self, model: str, *, options: Mapping[str, int] | None = None) -> None:
        """Have the model unloaded, and wait until the server no longer lists it as running.

        That is waited for only so long, since another client may have it loaded again at once.
        """
        await self._embed(model, [], options or {}, "0s", truncate=False)
        for _ in range(int(UNLOAD_BUDGET / UNLOAD_POLL)):
            if _tagged(model) not in await self._running():
                return
            await asyncio.sleep(UNLOAD_POLL)

    async def pull(self, model: str) -> None:
        """Have the server pull the model; its progress is logged.

        Raises:
            ModelError: the pull failed; with the server's words.
        """
        sent = Sent(self.base_url, "/api/pull", model)
        content = orjson.dumps({"model": model, "stream": True})
        await follow(self._connection.lines(sent, content), sent)

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        options: Mapping[str, int] | None = None,
        keep_alive: str = "10m",
        truncate: bool = False,
        dimensions: int | None = None,
        expected: int | None = None,
        patience: float | None = None,
    ) -> Answer:
        """Embed texts in one request, keeping their order; no prefix is added.

        Args:
            texts: at least one.
            options: runner options; those of the preflight.
            truncate: cut texts over the context silently instead of refusing them.
            dimensions: to shorten the vectors to; none leaves them as the model gives them.
            expected: dimensions that they must have; none accepts any.
            patience: seconds without a byte before giving up; none means the client's timeout.

        Raises:
            ContentError: one of the texts cannot be embedded.
            OllamaError: everything else that can go wrong, typed.

        Source: POST /api/embed, https://github.com/ollama/ollama/blob/main/docs/api.md
        """
        n, at = len(texts), self.base_url
        of: tracing.Attributes = {
            "ingestion.endpoint": at, "ingestion.model": model, "ingestion.texts": n,
        }  # fmt: skip
        async with self.share.permit(n):
            with tracing.span("embed", of), self.stats.request(n):
                body = await self._embed(
                    model,
                    texts,
                    options or {},
                    keep_alive,
                    truncate=truncate,
                    dimensions=dimensions,
                    patience=patience,
                )
        answer = decode(body, len(texts), self.base_url)
        self._check(answer, expected or dimensions)
        self.stats.embedded += len(texts) - len(answer.dead)
        self.stats.tokens += answer.tokens
        return answer

    async def identify(self, model: str, *, longest: int = LONGEST_TEXT) -> Identity:
        """What the server says of the model; no text is sent where it says enough.

        Args:
            longest: tokens of the longest text to come; the context is not made larger.

        Raises:
            ModelError: the server does not have the model, or it cannot embed.
        """
        version = await self.version()
        shown = await self.show(model)
        if not shown.can_embed:
            remedy = "set INGESTION_MODEL to an embedding model"
            raise ModelError(self.base_url, model, f"{model!r} cannot embed; {remedy}")
        context = context_of(model, shown, longest)
        options = {"num_ctx": context, "num_batch": context}
        digest = await self.digest(model)
        dimensions = shown.dimensions or len(await self._canary(model, options, None))
        return Identity(model, digest, dimensions, context, version, options)

    async def prove(self, identity: Identity) -> NDArray[np.float32]:
        """Load the model, and check that it embeds as the server says; four short texts.

        Returns:
            The canary's vector, shape (d,); that of every server with the same model.

        Raises:
            OllamaAnswerError: the vectors of known texts are not what they must be.
        """
        await self.preload(identity.model, options=identity.options)
        vector = await self._canary(identity.model, identity.options, identity.asked_dimensions)
        dimensions = len(vector)
        if dimensions != identity.dimensions:
            raise WrongDimensionsError(
                self.base_url,
                f"{identity.model!r} gives {dimensions} dimensions where the server lists"
                f" {identity.dimensions}; pull the model again",
            )
        return vector

    async def _canary(
        self, model: str, options: Mapping[str, int], dimensions: int | None
    ) -> NDArray[np.float32]:
        """The canary's vector; alone and in a list, a text must give the same one."""
        alone, listed = await canary.both(
            self.embed(model, [CANARY], options=options, dimensions=dimensions),
            self.embed(model, [CANARY, *NEIGHBOURS], options=options, dimensions=dimensions),
        )
        return canary.vector(alone, listed, model, self.base_url)

    def _check(self, answer: Answer, expected: int | None) -> None:
        given = answer.matrix.shape[1]
        if expected not in (None, given):
            raise WrongDimensionsError(
                self.base_url,
                f"vectors of {given} dimensions instead of {expected}: the model changed during"
                " the run; run again, which opens a new generation if it is to stay so",
            )

    async def _running(self) -> set[str]:
        models = (await self._ask("/api/ps")).get("models") or ()
        return {str(entry.get("name")) for entry in models}

    async def _embed(
        self,
        model: str,
        texts: Sequence[str],
        options: Mapping[str, int],
        keep_alive: str,
        *,
        truncate: bool,
        dimensions: int | None = None,
        patience: float | None = None,
    ) -> bytes:
        sent = Sent(self.base_url, "/api/embed", model, len(texts))
        request: dict[str, object] = {
            "model": model,
            "input": texts,
            "truncate": truncate,
            "options": options,
            "keep_alive": keep_alive,
        }
        if dimensions is not None:
            request["dimensions"] = dimensions
        content = _encode(request, sent)
        body = await self._connection.exchange(sent, content, patience=patience)
        logger.debug("%s: %d texts, %d bytes back", self.base_url, len(texts), len(body))
        return body

    async def _ask(
        self, path: str, model: str = "", request: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        content = None if request is None else orjson.dumps(request)
        patience = min(QUESTION_PATIENCE, self.timeout)
        sent = Sent(self.base_url, path, model)
        body = await self._connection.exchange(sent, content, patience=patience)
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise OllamaAnswerError(self.base_url, f"{path} answered no JSON") from exc
        if not isinstance(parsed, dict):
            raise OllamaAnswerError(self.base_url, f"{path} answered no object")
        return parsed


def _tagged(model: str) -> str:
    return model if ":" in model.rpartition("/")[2] else f"{model}:latest"


def _encode(request: Mapping[str, object], sent: Sent) -> bytes:
    try:
        return orjson.dumps(request)
    except orjson.JSONEncodeError as exc:
        raise PoisonTextError(
            sent.endpoint, f"a text is not valid Unicode ({exc}); it has lone surrogates"
        ) from exc
