"""Requests and the state of the pools in, the text that Prometheus reads out."""

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestion_assets.api.backend import Backend
from ingestion_assets.api.pools import pools
from ingestion_assets.api.schemas import Pools
from ingestion_assets.embedding.breaker import Phase
from ingestion_assets.metrics import SECONDS
from ingestion_assets.store.figures import DatabaseFigures


class ApiMetrics:
    """What was asked, how it ended, and how long it took.

    Attributes:
        degraded: answers that lacked something, by what.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "ingest_api_requests_total",
            "Requests, by path, method and status.",
            ["path", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ingest_api_request_seconds",
            "From the request to the last byte of its answer.",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.degraded = Counter(
            "ingest_api_degraded_total",
            "Answers that lacked something.",
            ["part"],
            registry=self.registry,
        )

    def watch(self, backend: Backend, database_url: str) -> None:
        """Have pools, breakers and the database read at every scrape."""
        self.registry.register(_States(backend))
        self._database = DatabaseFigures(database_url)
        self.registry.register(self._database)

    def observe(self, path: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(path, method, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    async def text(self) -> bytes:
        """All figures, once there is a backend to watch."""
        await self._database.refresh()
        return generate_latest(self.registry)


class Measured:
    """ASGI middleware: counts every request, refused ones included.

    Args:
        paths: that have figures of their own; no client may invent further ones.
    """

    def __init__(self, app: ASGIApp, metrics: ApiMetrics, paths: Iterable[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            path = scope["path"] if scope["path"] in self._paths else "other"
            method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
            self._metrics.observe(path, method, status, time.perf_counter() - started)


class _States(Collector):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterable[GaugeMetricFamily]:
        yield from _pool_gauges(pools(self._backend))
        breaker = GaugeMetricFamily(
            "ingest_api_breaker_state",
            "1 for the state a breaker is in.",
            labels=["endpoint", "state"],
        )
        for server in self._backend.servers.states():
            for phase in Phase:
                here = float(server.breaker.phase is phase)
                breaker.add_metric([server.url, phase.value], here)
        yield breaker


def _pool_gauges(now: Pools) -> Iterable[GaugeMetricFamily]:
    for pool, figures in (("database", now.database), ("http", now.http)):
        gauge = GaugeMetricFamily(
            f"ingest_api_{pool}_pool", f"The {pool} pool at this moment.", labels=["figure"]
        )
        for name, value in figures.model_dump().items():
            gauge.add_metric([name], value)
        yield gauge
