"""A running Dagster, asked over GraphQL as its UI asks."""

import subprocess
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

_LOCATION = {
    "repositoryLocationName": "ingestion_assets",
    "repositoryName": "__repository__",
}


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

    def launch(self, partition_key: str | None = None, job: str = "ingest_job") -> str:
        """Launch a job, for one partition or none, as the UI's Launchpad does; the run's id."""
        tags = [{"key": "dagster/partition", "value": partition_key}] if partition_key else []
        data = self.query(
            """mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) {
              __typename
              ... on LaunchRunSuccess { run { runId } }
              ... on PythonError { message } } }""",
            params={
                "selector": {**_LOCATION, "jobName": job},
                "mode": "default",
                "runConfigData": {},
                "executionMetadata": {"tags": tags},
            },
        )["launchRun"]
        assert data["__typename"] == "LaunchRunSuccess", data
        return str(data["run"]["runId"])

    def terminate(self, run_id: str) -> None:
        """Press Terminate."""
        data = self.query(
            "mutation ($id: String!) { terminateRun(runId: $id) { __typename } }", id=run_id
        )["terminateRun"]
        assert data["__typename"] == "TerminateRunSuccess", data

    def runs(self, partition_key: str | None = None) -> list[dict[str, Any]]:
        """All runs, or those of a partition, the newest first."""
        runs: list[dict[str, Any]] = self.query(
            """{ runsOrError { ... on Runs { results {
              runId status startTime endTime tags { key value } } } } }"""
        )["runsOrError"]["results"]
        return [run for run in runs if partition_key in (None, partition_of(run))]

    def status(self, run_id: str) -> str:
        [status] = [run["status"] for run in self.runs() if run["runId"] == run_id]
        return str(status)

    def events(self, run_id: str) -> list[str]:
        """The types of a run's events, in order."""
        data = self.query(
            """query ($id: ID!) { logsForRun(runId: $id) {
              ... on EventConnection { events { __typename } } } }""",
            id=run_id,
        )["logsForRun"]
        return [event["__typename"] for event in data["events"]]

    def stop_automation(self) -> None:
        """Stop all sensors and schedules: what runs from now on was asked for."""
        data = self.query(
            """query ($selector: RepositorySelector!) { repositoryOrError(
              repositorySelector: $selector) { ... on Repository {
                sensors { id } schedules { id } } } }""",
            selector=_LOCATION,
        )["repositoryOrError"]
        for sensor in data["sensors"]:
            self.query("mutation ($id: String) { stopSensor(id: $id) { __typename } }", **sensor)
        for schedule in data["schedules"]:
            self.query(
                "mutation ($id: String) { stopRunningSchedule(id: $id) { __typename } }", **schedule
            )

    def start_sensor(self, name: str) -> None:
        data = self.query(
            """mutation ($selector: SensorSelector!) { startSensor(sensorSelector: $selector) {
              __typename } }""",
            selector={**_LOCATION, "sensorName": name},
        )["startSensor"]
        assert data["__typename"] == "Sensor", data

    def ticks(self, sensor: str) -> list[str]:
        """How a sensor's ticks ended so far, the newest first."""
        ticks = self.query(
            """query ($selector: SensorSelector!) { sensorOrError(sensorSelector: $selector) {
              ... on Sensor { sensorState { ticks(limit: 100) { status } } } } }""",
            selector={**_LOCATION, "sensorName": sensor},
        )["sensorOrError"]["sensorState"]["ticks"]
        return [str(tick["status"]) for tick in ticks]

    def asked_by(self, schedule: str, at: datetime) -> list[str]:
        """The partitions a schedule asks for at a time, as the UI's Test Schedule tells."""
        evaluated = self.query(
            """mutation ($selector: ScheduleSelector!, $at: Float) {
              scheduleDryRun(selectorData: $selector, timestamp: $at) {
                ... on DryRunInstigationTick { evaluationResult {
                  error { message } runRequests { tags { key value } } } }
                ... on PythonError { message } } }""",
            selector={**_LOCATION, "scheduleName": schedule},
            at=at.timestamp(),
        )["scheduleDryRun"]["evaluationResult"]
        return [partition_of(request) for request in evaluated["runRequests"]]

    def _is_loaded(self) -> bool:
        data = self.query("{ assetNodes { assetKey { path } } }")
        return len(data["assetNodes"]) >= 3


def partition_of(tagged: dict[str, Any]) -> str:
    """The partition of a run, or of a request for one; empty if it has none."""
    tags = {tag["key"]: tag["value"] for tag in tagged["tags"]}
    return str(tags.get("dagster/partition", ""))
