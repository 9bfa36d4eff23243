"""An Ollama without a network, where a double in its own process could not be told what to say."""

from collections.abc import Callable, Sequence
from typing import Any

import httpx
import orjson

from ingestion_assets.embedding.canary import CANARY
from ingestion_assets.embedding.ollama import Ollama

Vector = Sequence[float | None]
SUCCESS = b'{"status":"pulling manifest"}\n{"status":"success"}\n'


class Served:
    """Has one model, which a pull installs; the canary has a vector of its own.

    Attributes:
        patience: seconds that each embedding request with texts was willing to wait.
        unloads: how often the model was unloaded.
    """

    def __init__(self, *, digest: str = "d" * 64, canary: Vector = (1.0, 0.0)) -> None:
        self.digest, self.canary = digest, list(canary)
        self.installed = True
        self.pulled = SUCCESS
        self.pulls = 0
        self.unloads = 0
        self.patience: list[float] = []
        self._routes: dict[str, Callable[[httpx.Request], httpx.Response]] = {
            "/api/version": lambda _: httpx.Response(200, json={"version": "0.33.0"}),
            "/api/show": self._show,
            "/api/tags": lambda _: httpx.Response(200, json={"models": [self._entry()]}),
            "/api/ps": lambda _: httpx.Response(200, json={"models": []}),
            "/api/pull": self._pull,
            "/api/embed": self._embed,
        }

    def client(self, host: str = "gpu1", timeout: float = 300.0) -> Ollama:
        """A client of this server."""
        return Ollama(host, transport=httpx.MockTransport(self.answer), timeout=timeout)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """The reply to a request."""
        return self._routes[request.url.path](request)

    def _entry(self) -> dict[str, Any]:
        return {"name": "m:latest", "digest": self.digest}

    def _show(self, _: httpx.Request) -> httpx.Response:
        if not self.installed:
            return httpx.Response(404, json={"error": "model 'm:latest' not found"})
        info = {"general.architecture": "a", "a.embedding_length": len(self.canary)}
        return httpx.Response(200, json={"capabilities": ["embedding"], "model_info": info})

    def _pull(self, _: httpx.Request) -> httpx.Response:
        self.pulls += 1
        self.installed = self.pulled == SUCCESS
        return httpx.Response(200, content=self.pulled)

    def _embed(self, request: httpx.Request) -> httpx.Response:
        if not self.installed:
            return httpx.Response(404, json={"error": 'model "m" not found, try pulling it first'})
        asked = orjson.loads(request.content)
        if asked["input"]:
            self.patience.append(request.extensions["timeout"]["read"])
        self.unloads += asked["keep_alive"] == "0s"
        rows = [self.canary if text == CANARY else self._other() for text in asked["input"]]
        return httpx.Response(200, json={"embeddings": rows})

    def _other(self) -> list[float]:
        return [0.0] * (len(self.canary) - 1) + [-1.0]
