"""The worker's manifest, against the program that it runs."""

from pathlib import Path
from typing import Any

import pytest

from ingestion_assets.metrics import EmbeddingMetrics
from ingestion_assets.settings import Settings
from ingestion_assets.worker.process import LAST_RESORT
from ingestion_assets_tests.deploy.given import container_of, manifest, pod_of, probes_of
from ingestion_assets_tests.services.faulty_ollama import running
from ingestion_assets_tests.worker.running import wait_for, worker

NAME = "embedding-worker"


@pytest.fixture
def container() -> dict[str, Any]:
    return container_of(NAME)


def test_it_asks_for_little_and_for_no_gpu(container: dict[str, Any]) -> None:
    assert container["resources"] == {
        "requests": {"cpu": "10m", "memory": "64Mi"},
        "limits": {"memory": "256Mi"},
    }


def test_ports_are_the_one_that_the_worker_listens_on(container: dict[str, Any]) -> None:
    [port] = container["ports"]
    [service] = manifest(NAME)["Service"]["spec"]["ports"]
    assert port["containerPort"] == service["port"] == Settings().worker_port
    assert service["targetPort"] == port["name"]
    assert {probe["httpGet"]["port"] for probe in probes_of(NAME)} == {port["name"]}


def test_it_is_killed_later_than_it_ends() -> None:
    assert pod_of(NAME)["spec"]["terminationGracePeriodSeconds"] > LAST_RESORT


def test_it_is_scaled_by_a_figure_that_it_shows() -> None:
    scaler = manifest("autoscaling")["HorizontalPodAutoscaler"]["spec"]
    assert scaler["scaleTargetRef"]["name"] == manifest(NAME)["Deployment"]["metadata"]["name"]
    [metric] = (given["external"]["metric"] for given in scaler["metrics"])
    labels = {"queue": "chunks", **metric["selector"]["matchLabels"]}
    metrics = EmbeddingMetrics()
    metrics.depth.labels(**labels).set(3)
    assert metrics.registry.get_sample_value(metric["name"], labels) == 3


def test_the_running_worker_answers_every_probe(tmp_path: Path, database: str) -> None:
    paths = {probe["httpGet"]["path"] for probe in probes_of(NAME)}
    with running() as double:
        environment = {
            "INGESTION_DATABASE_URL": database,
            "OLLAMA_HOST": double.url,
            "INGEST_WORKER_PORT": "0",
        }
        with worker(tmp_path / "log", environment=environment) as process:
            wait_for(lambda: {process.get(path).status_code for path in paths} == {200})
            assert process.get("/metrics").status_code == 200
            assert process.stop() == 0
