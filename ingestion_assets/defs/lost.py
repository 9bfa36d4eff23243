"""Runs whose processes were killed all at once: Dagster would show them as going on for ever.

They would hold their places in the pool, and the sensors would wait for their end.
"""

import json
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient

_OWNER = "ingestion/process"
_BEGIN = timedelta(seconds=30)  # from being handed out until a run has begun, at most


def owned() -> dict[str, str]:
    """The tag of a run that goes on in this process."""
    return {_OWNER: f"{socket.gethostname()}/{os.getpid()}"}


def fail_lost_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs of this machine that nobody is at work on; Dagster launches them again."""
    for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])):
        host, _, pid = run.tags.get(_OWNER, "").rpartition("/")
        if host == socket.gethostname() and not _alive(int(pid)):
            instance.report_run_failed(run, "the process of `ingest run` died")
        elif _has_run_here(instance, run) and not _server_answers(run):
            instance.report_run_failed(run, "the Dagster that launched it was killed")


def fail_unbegun_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs that were handed out, but came to nobody; Dagster's monitoring lets them wait.

    The daemon was killed as it launched them, or the worker before it had begun.
    """
    launcher = instance.run_launcher
    if not launcher.supports_check_run_worker_health:
        return
    handed_out = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.STARTING], updated_before=datetime.now(UTC) - _BEGIN
    )
    for run in instance.get_runs(handed_out):
        lost = launcher.check_run_worker_health(run).status is WorkerStatus.FAILED
        now = instance.get_run_by_id(run.run_id)  # it may have begun since
        if lost and now and now.status is dg.DagsterRunStatus.STARTING:
            instance.report_run_failed(run, "it was handed out, but no worker has it")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _has_run_here(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run's output is kept on this machine; its server is told by a local name."""
    return Path(instance.root_directory, "storage", run.run_id).exists()


def _server_answers(run: dg.DagsterRun) -> bool:
    """Whether the code server that started a run's process is there; true if it had none."""
    server = json.loads(run.tags.get(GRPC_INFO_TAG, "{}"))
    if not server:
        return True
    client = DagsterGrpcClient(
        port=server.get("port"), socket=server.get("socket"), host=server.get("host", "localhost")
    )
    try:
        client.ping("")
    except DagsterUserCodeUnreachableError:
        return False
    return True
