"""A fleet on one machine, for trying what many machines do: Redis and Celery workers."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import click

from ingestion_assets.cli.process import started
from ingestion_assets.local.redis import local_redis
from ingestion_assets.settings import Settings

_WORKER = ["-m", "celery", "-A", "ingestion_assets.defs.celery_app", "worker", "-c", "1"]


@contextmanager
def fleet(settings: Settings, keys: Sequence[str], workers: int) -> Iterator[None]:
    """Have Dagster give its runs to workers that go on as long as the context.

    Args:
        keys: the partitions that there are.

    Raises:
        ConfigError: the extra, or Redis, is not installed.
    """
    from ingestion_assets.defs.fleet import prepare_fleet, size_pool  # noqa: PLC0415
    from ingestion_assets.defs.launch import prepare_instance  # noqa: PLC0415

    home, homes = prepare_fleet(Path.cwd(), workers)
    os.environ["DAGSTER_HOME"] = str(home)
    with _queue(settings):
        prepare_instance(keys)
        size_pool(workers)
        with ExitStack() as stack:
            for each in homes:
                stack.enter_context(_worker(each))
            yield


@contextmanager
def _queue(settings: Settings) -> Iterator[None]:
    """The Redis of the settings, or one of our own, told to all that is started."""
    if settings.redis_url:
        yield
        return
    with local_redis(settings.state) as redis:
        click.secho(f"No INGEST_REDIS_URL: started a Redis at {redis.address}", dim=True, err=True)
        os.environ["INGEST_REDIS_URL"] = redis.address
        yield


def _worker(home: Path) -> AbstractContextManager[object]:
    """A Celery worker with a DAGSTER_HOME of its own, whose folder it is named after."""
    command = [sys.executable, *_WORKER, "-n", f"{home.name}@%h"]
    return started(command, home / "worker.log", {"DAGSTER_HOME": str(home)})
