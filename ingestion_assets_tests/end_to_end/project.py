"""A project folder of its own, and the command `ingest` run in it as a user would."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).parents[2]


class Project:
    """A folder with dagster.yaml, workspace.yaml, sources.yaml and documents."""

    def __init__(self, folder: Path, sources_yaml: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {**os.environ, **environment}
        for name in ("dagster.yaml", "workspace.yaml"):
            shutil.copy(ROOT / name, folder / name)
        (folder / "sources.yaml").write_text(sources_yaml)
        (folder / "documents").mkdir(exist_ok=True)

    def write(self, name: str, text: str) -> None:
        path = self.folder / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "ingestion_assets", *arguments]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert not check or result.returncode == 0, result.stdout + result.stderr
        return result

    def search(self, query: str, *options: str) -> list[dict[str, Any]]:
        hits: list[dict[str, Any]] = json.loads(
            self.run("search", query, "--json", *options).stdout
        )
        return hits

    @contextmanager
    def up(self) -> Iterator["Dagster"]:
        """Everything started by `ingest up`, and stopped as Ctrl-C stops it."""
        port = free_port()
        with (self.folder / "up.log").open("wb") as log:
            process = subprocess.Popen(
                self.command("up", "-p", str(port)),
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            dagster = Dagster(f"http://127.0.0.1:{port}")
            dagster.wait_until_up(process, self.folder / "up.log")
            yield dagster
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(90) == 0, (self.folder / "up.log").read_text()

    @contextmanager
    def dagster_dev(self) -> Iterator["Dagster"]:
        """Plain `dagster dev`, with the environment's variables and nothing else."""
        port = free_port()
        command = [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)]
        with (self.folder / "dev.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            dagster = Dagster(f"http://127.0.0.1:{port}")
            dagster.wait_until_up(process, self.folder / "dev.log")
            yield dagster
        finally:
            # Dagster's processes, signalled all at once, may wait for each other for ever.
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Dagster:
    """A webserver, asked over GraphQL as the UI does."""

    def __init__(self, url: str) -> None:
        self.url = url

    def wait_until_up(self, process: subprocess.Popen[bytes], log: Path) -> None:
        deadline = time.monotonic() + 150
        while time.monotonic() < deadline:
            assert process.poll() is None, log.read_text()
            try:
                if self.query("{ version }")["version"] and self._is_loaded():
                    return
            except (httpx.TransportError, httpx.HTTPStatusError):
                pass
            time.sleep(0.5)
        raise AssertionError(f"no answer at {self.url}:\n{log.read_text()}")

    def query(self, text: str, **variables: Any) -> dict[str, Any]:
        response = httpx.post(
            f"{self.url}/graphql", json={"query": text, "variables": variables}, timeout=60
        )
        response.raise_for_status()
        body = response.json()
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data

    def backfill(self, keys: list[str]) -> str:
        """Launch a backfill of all three assets; returns its id."""
        data = self.query(
            """mutation ($params: LaunchBackfillParams!) {
              launchPartitionBackfill(backfillParams: $params) {
                __typename
                ... on LaunchBackfillSuccess { backfillId }
                ... on PythonError { message }
              } }""",
            params={
                "assetSelection": [{"path": [a]} for a in ("sources", "chunks", "embeddings")],
                "partitionNames": keys,
            },
        )["launchPartitionBackfill"]
        assert data["__typename"] == "LaunchBackfillSuccess", data
        return str(data["backfillId"])

    def wait_for_backfill(self, backfill_id: str, seconds: float = 240) -> str:
        """Wait until a backfill has ended; returns its status."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            data = self.query(
                """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
                  ... on PartitionBackfill { status } } }""",
                id=backfill_id,
            )["partitionBackfillOrError"]
            if data["status"].startswith("COMPLETED") or data["status"] in ("FAILED", "CANCELED"):
                return str(data["status"])
            time.sleep(1)
        raise AssertionError(f"backfill {backfill_id} has not ended")

    def partition_keys(self) -> list[str]:
        nodes = self.query("{ assetNodes { partitionKeys } }")["assetNodes"]
        return sorted({key for node in nodes for key in node["partitionKeys"]})

    def launch(self, partition_key: str) -> None:
        """Launch the job for one partition, as the UI's Launchpad does."""
        selector = {
            "repositoryLocationName": "ingestion_assets",
            "repositoryName": "__repository__",
            "jobName": "ingest_job",
        }
        tags = [{"key": "dagster/partition", "value": partition_key}]
        data = self.query(
            """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
              __typename ... on PythonError { message } } }""",
            params={
                "selector": selector,
                "mode": "default",
                "runConfigData": {},
                "executionMetadata": {"tags": tags},
            },
        )["launchRun"]
        assert data["__typename"] == "LaunchRunSuccess", data

    def runs(self) -> list[dict[str, Any]]:
        runs: list[dict[str, Any]] = self.query(
            """{ runsOrError { ... on Runs { results {
              runId status tags { key value } } } } }"""
        )["runsOrError"]["results"]
        return runs

    def _is_loaded(self) -> bool:
        data = self.query("{ assetNodes { assetKey { path } } }")
        return len(data["assetNodes"]) >= 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "still not so"
        time.sleep(0.5)
