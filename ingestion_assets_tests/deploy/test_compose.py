"""One host's compose file, against the compose specification, the settings and the commands."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from ingestion_assets.settings import Settings
from ingestion_assets.sources import load
from ingestion_assets_tests.deploy.given import ROOT, arguments_of, known_variables, parse

FOLDER = ROOT / "deploy" / "compose"
COMPOSE = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if "build" in service}
OF_THE_IMAGE = {"HEALTH_URL"}
OF_THE_FILE = {"POSTGRES_PASSWORD"}
_SCHEMA = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
ours = pytest.mark.parametrize("name", sorted(OURS))


def test_it_fits_the_compose_specification() -> None:
    validator = jsonschema.Draft202012Validator(json.loads(_SCHEMA.read_text()))
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    wrong = {"services": {"worker": {"imagee": "x"}}}
    assert [*validator.iter_errors(wrong)]


def test_it_has_every_role() -> None:
    assert {"prepare", "code", "webserver", "daemon", "worker", "api"} == OURS
    assert SERVICES.keys() - OURS == {"postgres", "ollama"}


@ours
def test_service_runs_a_command_that_exists(name: str) -> None:
    parse(SERVICES[name]["command"])
    health = SERVICES[name].get("healthcheck", {}).get("test")
    if health:
        assert health[0] == "CMD"
        parse(health[1:])


@ours
def test_service_has_variables_that_are_settings(name: str) -> None:
    assert SERVICES[name]["environment"].keys() <= known_variables() | OF_THE_IMAGE


@ours
def test_service_gains_nothing_and_is_pid_1s_child(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True


def test_ports_are_open_to_this_host_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_that_stays_is_watched() -> None:
    for name, service in SERVICES.items():
        if service["restart"] == "no":
            continue
        assert name in OURS or "healthcheck" in service
    url = f"http://127.0.0.1:{Settings().api_port}/health/live"
    assert SERVICES["api"]["environment"]["HEALTH_URL"] == url
    assert SERVICES["webserver"]["environment"]["HEALTH_URL"].endswith(":3000/server_info")


def test_services_wait_for_services_that_are_there() -> None:
    waited_for = {one for service in SERVICES.values() for one in service.get("depends_on", {})}
    assert waited_for <= SERVICES.keys()


def test_volumes_are_declared_and_the_image_owns_what_is_mounted_over_it() -> None:
    mounts = [mount.split(":") for s in SERVICES.values() for mount in s.get("volumes", [])]
    named = {source for source, *_ in mounts if not source.startswith("./")}
    assert named == COMPOSE["volumes"].keys()
    assert {target for source, target, *_ in mounts if source == "runs"} == {"/app/storage"}
    assert any("--owner=10001" in run and "/app/storage" in run for run in arguments_of("RUN"))


def test_secrets_come_from_the_environment_file_and_have_no_default() -> None:
    text = (FOLDER / "docker-compose.yaml").read_text()
    used = dict(re.findall(r"\$\{(\w+)(:?[-?])?", text))
    example = dict(re.findall(r"^(\w+)=(.*)$", (FOLDER / ".env.example").read_text(), re.M))
    assert used.keys() == example.keys() <= known_variables() | OF_THE_FILE
    for name in ("POSTGRES_PASSWORD", "INGEST_API_KEY"):
        assert used[name] == ":?"
        assert example[name] == ""


def test_workspace_names_the_code_server() -> None:
    [entry] = yaml.safe_load((FOLDER / "workspace.yaml").read_text())["load_from"]
    server = entry["grpc_server"]
    command = SERVICES["code"]["command"]
    assert server["host"] == "code"
    assert str(server["port"]) == command[command.index("--port") + 1]
    [local] = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    module = local["python_module"]
    assert server["location_name"] == module["location_name"]
    assert command[-2:] == ["--module-name", module["module_name"]]


def test_sources_are_read_from_the_mounted_folder(tmp_path: Path) -> None:
    (tmp_path / "sources.yaml").write_bytes((FOLDER / "sources.yaml").read_bytes())
    [source] = load(tmp_path / "sources.yaml")
    assert source.root == tmp_path / "documents"
    assert "./documents:/app/documents:ro" in SERVICES["code"]["volumes"]
