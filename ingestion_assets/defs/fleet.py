"""A fleet on one machine: what each of its Dagster processes finds in its DAGSTER_HOME."""

from pathlib import Path

import dagster as dg
import yaml

from ingestion_assets.defs.assets import EMBEDDING_POOL
from ingestion_assets.defs.launch import prepare_home
from ingestion_assets.errors import ConfigError


def prepare_fleet(project: Path, workers: int) -> tuple[Path, list[Path]]:
    """Make the DAGSTER_HOME of webserver and daemon, and one for each worker.

    Raises:
        ConfigError: the extra `celery` is not installed, or dagster-celery.yaml is not there.
    """
    from ingestion_assets.defs import celery  # noqa: F401, PLC0415 - says what is missing

    fleet = prepare_home(project) / "fleet"
    homes = [fleet / name for name in ("dagster", *(f"worker-{n}" for n in range(workers)))]
    configuration = _sized(project / "dagster-celery.yaml", workers)
    for home in homes:
        home.mkdir(parents=True, exist_ok=True)
        (home / "dagster.yaml").write_text(configuration)
    return homes[0], homes[1:]


def size_pool(workers: int) -> None:
    """Have as many runs embed at once as there are workers, whatever the limit was before."""
    with dg.DagsterInstance.get() as instance:
        instance.event_log_storage.set_concurrency_slots(EMBEDDING_POOL, workers)


def _sized(template: Path, workers: int) -> str:
    """Dagster's configuration for so many runs at once; it takes no variable for it."""
    if not template.is_file():
        raise ConfigError(
            f"there is no {template.name} in {str(template.parent)!r}; copy the project's there"
        )
    config = yaml.safe_load(template.read_text())
    config["concurrency"]["runs"]["max_concurrent_runs"] = workers
    config["concurrency"]["pools"]["default_limit"] = workers
    return yaml.safe_dump(config, sort_keys=False)
