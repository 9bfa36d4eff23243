"""Start the double in a process of its own, and talk to it from a test."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Self

import httpx
import numpy as np
import orjson
from numpy.typing import NDArray

from ingestion_assets_tests.services.faulty_ollama.vectors import Vectors


class Double:
    """A running double, seen from outside."""

    def __init__(self, url: str, process: subprocess.Popen[str], dimensions: int) -> None:
        self.url = url
        self.process = process
        self._dimensions = dimensions
        self._client = httpx.Client(base_url=url, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def vector(self, text: str, model: str = "", dimensions: int = 0) -> NDArray[np.float32]:
        """The vector that the double gives for a text; of one of its other models, if named."""
        return _vectors(dimensions or self._dimensions, model).vector(text)

    def stats(self) -> dict[str, Any]:
        """Counts since the last reset: texts_seen, texts_embedded, repeated, connections, …"""
        answer: dict[str, Any] = self._client.get("/_stats").json()
        return answer

    def reset(self, **config: Any) -> None:
        """Start over with another configuration: counts at zero, a cold model, no faults."""
        self._client.post("/_reset", json=config).raise_for_status()
        self._dimensions = config.get("dimensions", 384)

    def break_by(self, *rules: dict[str, Any]) -> None:
        """Set the fault rules; their clocks and counts start now."""
        self._client.post("/_faults", json=list(rules)).raise_for_status()

    def kill(self) -> None:
        """End the process without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@cache
def _vectors(dimensions: int, model: str) -> Vectors:
    return Vectors(dimensions, model)


@contextmanager
def running(port: int = 0, **config: Any) -> Iterator[Double]:
    """A double in its own process, which ends with the block."""
    module = __name__.rpartition(".")[0]
    options = ["--port", str(port), "--config", orjson.dumps(config).decode()]
    with subprocess.Popen(
        [sys.executable, "-m", module, *options], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, "the double did not start"
            with Double(url, process, config.get("dimensions", 384)) as double:
                yield double
        finally:
            process.kill()
