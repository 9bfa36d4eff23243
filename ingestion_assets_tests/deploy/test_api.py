"""The API's manifest, against the program that it runs."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from ingestion_assets.settings import Settings
from ingestion_assets_tests.deploy.given import container_of, manifest
from ingestion_assets_tests.end_to_end.project import free_port
from ingestion_assets_tests.services.faulty_ollama import running
from ingestion_assets_tests.worker.running import wait_for

NAME = "api"


def test_ports_are_the_one_that_the_api_listens_on() -> None:
    [port] = container_of(NAME)["ports"]
    [service] = manifest(NAME)["Service"]["spec"]["ports"]
    assert port["containerPort"] == Settings().api_port
    assert service["targetPort"] == port["name"]


def test_the_key_is_required() -> None:
    [key] = [given for given in container_of(NAME)["env"] if given["name"] == "INGEST_API_KEY"]
    assert "optional" not in key["valueFrom"]["secretKeyRef"]


def test_the_running_api_answers_every_probe(tmp_path: Path, database: str) -> None:
    container = container_of(NAME)
    with running() as double:
        environment = {
            "INGESTION_DATABASE_URL": database,
            "OLLAMA_HOST": double.url,
            "INGEST_API_HOST": "127.0.0.1",
            "INGEST_API_PORT": str(free_port()),
            "INGEST_API_KEY": "secret",
        }
        with _serving(tmp_path, environment) as process:
            wait_for(lambda: _is_ready(environment) or process.poll() is not None)
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert not _is_ready({**environment, "INGEST_API_KEY": "wrong"})
            url = f"http://127.0.0.1:{environment['INGEST_API_PORT']}"
            for name in ("startup", "liveness"):
                path = container[f"{name}Probe"]["httpGet"]["path"]
                assert httpx.get(url + path, trust_env=False).status_code == 200


def _is_ready(environment: Mapping[str, str]) -> bool:
    program, *arguments = container_of(NAME)["readinessProbe"]["exec"]["command"]
    assert program == "python"
    result = subprocess.run(
        [sys.executable, *arguments], env=environment, capture_output=True, check=False
    )
    return result.returncode == 0


@contextmanager
def _serving(folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "ingestion_assets", *container_of(NAME)["args"][1:]],
            cwd=folder,
            env={**os.environ, **environment},
            stderr=log,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()
