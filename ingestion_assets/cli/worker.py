"""`ingest worker`: what appears in the database embedded, as it appears or all at once."""

import asyncio
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from ingestion_assets.local.services import local_services
from ingestion_assets.logs import log_to
from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.settings import Settings
from ingestion_assets.worker import process
from ingestion_assets.worker.session import Place

logger = logging.getLogger(__name__)


@click.command(short_help="Embed what appears outside of runs.")
@click.option("--backfill", is_flag=True, help="Embed all that waits, and end.")
def worker(backfill: bool) -> None:
    """Embed chunks and attached tables as they change, until stopped.

    SIGTERM and Ctrl-C finish what is in hand and give back the rest. The exit code is then 0;
    that of --backfill is 0 when everything has its vector, and 1 when something has not.
    """
    settings = Settings.from_environment()
    log_to(sys.stderr, settings.log_format)
    # Until the event loop hears of it, SIGTERM is what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _place(settings) as place:
            complete = asyncio.run(process.backfill(place) if backfill else _live(place))
    except KeyboardInterrupt:
        complete = not backfill
    sys.exit(0 if complete else 1)


async def _live(place: Place) -> bool:
    await process.work(place)
    return True


@contextmanager
def _place(settings: Settings) -> Iterator[Place]:
    """Where the servers are; started here if the settings leave them to us."""
    with local_services(settings) as running:
        for note in running.notes:
            logger.info("%s", note)
        hosts = settings.ollama_hosts or (running.ollama_host,)
        most = settings.max_in_flight
        yield Place(running.database_url, hosts, settings, EmbeddingMetrics(), most)
