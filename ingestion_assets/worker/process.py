"""A place in; the worker's process from its first signal handler to its end out."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from http import HTTPStatus

from ingestion_assets.worker.backfill import Backfill
from ingestion_assets.worker.figures import Figures
from ingestion_assets.worker.health import Answer, HealthServer
from ingestion_assets.worker.live import Worker
from ingestion_assets.worker.readiness import Readiness
from ingestion_assets.worker.session import Place

LAST_RESORT = 9.0  # seconds after a signal; then not even a database that hangs is waited for

logger = logging.getLogger(__name__)


async def work(place: Place) -> None:
    """Keep everything embedded until SIGTERM or SIGINT; answer probes meanwhile.

    Raises:
        ConfigError: the address for the probes cannot be listened on.
        SchemaVersionError: the database is newer than this code.
    """
    worker, settings = Worker(place), place.settings
    _on_signals(worker.stop, status=0)
    figures = Figures(place.metrics, lambda: worker.session, place.url)
    async with Readiness(place.url, place.hosts, settings.ollama_api_key) as readiness:
        routes = {"/healthz": _live, "/readyz": readiness.answer, "/metrics": figures.answer}
        server = HealthServer(routes)
        async with server.listening(settings.worker_host, settings.worker_port) as address:
            logger.info("Health and metrics are at %s", address)
            await worker.run()
    logger.info("Stopped")


async def backfill(place: Place) -> bool:
    """Embed everything that waits; whether nothing is without a vector now.

    Raises:
        IngestionError: it cannot be gone on with.
    """
    worker = Backfill(place)
    _on_signals(worker.stop, status=1)
    return await worker.run()


def _on_signals(stop: Callable[[], None], status: int) -> None:
    """Stop at SIGTERM and SIGINT, and exit with a status if that takes too long."""
    loop = asyncio.get_running_loop()
    last_resort = threading.Timer(LAST_RESORT, os._exit, [status])
    last_resort.daemon = True

    def handle(received: signal.Signals) -> None:
        if last_resort.ident is None:
            logger.info("%s: finishing what is in hand", received.name)
            last_resort.start()
            stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle, number)


async def _live() -> Answer:
    return Answer.json(HTTPStatus.OK, {"live": True})
