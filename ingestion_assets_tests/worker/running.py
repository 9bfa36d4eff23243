"""The command `ingest worker` in a process of its own, as an operator runs it."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson

WAIT = 60.0  # seconds until a test gives up on what must come


class Process:
    """A running worker, seen from outside."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self._log = log

    @property
    def url(self) -> str:
        """Where its health server is."""
        return self.wait_for_log("Health and metrics are at ").rpartition(" ")[2]

    def log(self) -> list[dict[str, Any]]:
        """What it logged so far, line by line."""
        written = self._log.read_bytes()
        whole = written[: written.rfind(b"\n") + 1]
        return [orjson.loads(line) for line in whole.splitlines()]

    def messages(self) -> list[str]:
        return [str(line["message"]) for line in self.log()]

    def wait_for_log(self, text: str) -> str:
        """The first message with this text, as soon as it is there."""
        wait_for(lambda: any(text in message for message in self.messages()))
        return next(message for message in self.messages() if text in message)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, trust_env=False, timeout=10)

    def figure(self, name: str, **labels: str) -> float | None:
        """A figure as Prometheus would read it; none if it is absent."""
        for line in self.get("/metrics").text.splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name:
                written: list[tuple[str, str]] = re.findall(r'(\w+)="([^"]*)"', found[2] or "")
                if dict(written) == labels:
                    return float(found[3])
        return None

    def memory(self, figure: str) -> float:
        """VmRSS or VmHWM of the process in MiB, as the kernel counts it."""
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        found = re.search(rf"^{figure}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) / 1024

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code, which must come within 10 s."""
        self.popen.send_signal(number)
        return self.popen.wait(10)


@contextmanager
def worker(log: Path, *options: str, environment: Mapping[str, str]) -> Iterator[Process]:
    """A worker that ends with the block."""
    with log.open("wb") as stderr:
        popen = subprocess.Popen(
            [sys.executable, "-m", "ingestion_assets", "worker", *options],
            env={**os.environ, **environment},
            stderr=stderr,
        )
        try:
            yield Process(popen, log)
        finally:
            popen.kill()
            popen.wait()


def wait_for(condition: Callable[[], bool], seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
