"""Runs on any number of hosts: Celery tasks on Redis, noticed when their host is lost.

`run_launcher` of dagster-celery.yaml. Needs the extra `celery`.
"""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from dagster import DagsterRun, DagsterRunStatus
from dagster._config import UserConfigSchema
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData

from ingestion_assets.errors import ConfigError
from ingestion_assets.settings import Settings

try:
    from dagster_celery.defaults import task_default_queue
    from dagster_celery.launcher import CeleryRunLauncher
    from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG, DAGSTER_CELERY_TASK_ID_TAG
except ImportError as exc:
    raise ConfigError(
        f"runs on Celery need the extra 'celery' ({exc}): pip install 'ingestion-assets[celery]'"
    ) from exc

_PATIENCE = 2.0  # seconds that the workers' answers are waited for
_FRESH = 1.0  # seconds in which all runs of a round share them
_GRACE = 12.0  # seconds without a worker after which a run counts as lost
_OUTAGE = 300.0  # seconds that a run which is to be launched waits for Redis

# A worker takes a run only when it can begin with it. What Dagster logs stays as it is.
_APP = {"worker_disable_prefetch": True, "worker_redirect_stdouts": False}


class CeleryLauncher(CeleryRunLauncher):
    """dagster-celery's launcher, without its two faults; where Redis is, the environment says.

    A run whose worker was killed together with its host would go on for ever: the result that
    Celery keeps says that it was started. And a run that was terminated would be taken for a
    failed one, and run again.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        url = redis_url()
        super().__init__(task_default_queue, url, url, config_source=_APP, inst_data=inst_data)
        self._missing: dict[str, float] = {}  # since when no worker has a run
        self._answers: set[str] | None = None
        self._asked = float("-inf")

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {}

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]
    ) -> "CeleryLauncher":
        return cls(inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Put a run into the queue, when Redis is there: it may be restarted just now."""
        with self.celery.connection_for_write() as redis:
            redis.ensure_connection(
                interval_start=0.5, interval_step=0.5, interval_max=2, timeout=_OUTAGE
            )
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """End a run as canceled; false if it has ended, or was never handed out."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or DAGSTER_CELERY_TASK_ID_TAG not in run.tags:
            return False
        if run.status is not DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        return bool(super().terminate(run_id))

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the workers which of them has the run; one that nobody has for a while is lost.

        Where no worker answers at all, Redis was perhaps restarted: they may still be at work.
        """
        task, active = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG), self._active()
        if active is None or task in active:
            self._missing.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        if run.status is DagsterRunStatus.STARTING:
            waits = self._waiting(run.tags.get(DAGSTER_CELERY_QUEUE_TAG, self.default_queue))
            return CheckRunHealthResult(WorkerStatus.UNKNOWN if waits else WorkerStatus.FAILED)
        told: CheckRunHealthResult = super().check_run_worker_health(run)
        if told.status in {WorkerStatus.SUCCESS, WorkerStatus.FAILED}:
            return told
        if monotonic() - self._missing.setdefault(run.run_id, monotonic()) < _GRACE:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        self.celery.control.revoke(task, terminate=True)  # should its worker come back
        del self._missing[run.run_id]
        return CheckRunHealthResult(WorkerStatus.FAILED, "no live worker has the run")

    def _active(self) -> set[str] | None:
        """The tasks that workers are at; none if no worker answers."""
        if monotonic() - self._asked > _FRESH:
            answers = self.celery.control.inspect(timeout=_PATIENCE).active()
            self._answers = answers and {task["id"] for held in answers.values() for task in held}
            self._asked = monotonic()
        return self._answers

    def _waiting(self, queue: str) -> int:
        """The runs in a queue."""
        with self.celery.connection_for_read() as redis:
            return int(redis.default_channel.queue_declare(queue).message_count)


def redis_url() -> str:
    """INGEST_REDIS_URL.

    Raises:
        ConfigError: it is not set.
    """
    url = Settings.from_environment().redis_url
    if url is None:
        raise ConfigError(
            "INGEST_REDIS_URL is not set; set it to the Redis of all hosts, redis://host:6379/0,"
            " or try a fleet on this machine: ingest up --workers 2"
        )
    return url
