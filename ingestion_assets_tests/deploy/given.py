"""The files of a deployment, read."""

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from ingestion_assets.cli import main
from ingestion_assets.settings import Settings

ROOT = Path(__file__).parents[2]
VARIABLE = re.compile(r"\b(?:INGEST|INGESTION|OLLAMA)_[A-Z_]+\b")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of a Dockerfile, its continued lines joined."""

    name: str
    arguments: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.arguments)


def dockerfile() -> list[Instruction]:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    split = (line.partition(" ") for line in text.splitlines() if line.strip())
    return [Instruction(name, arguments.strip()) for name, _, arguments in split]


def arguments_of(name: str) -> list[str]:
    """The arguments of every instruction of that name, in order."""
    return [given.arguments for given in dockerfile() if given.name == name]


def manifest(name: str = "embedding-worker") -> dict[str, dict[str, Any]]:
    """The Kubernetes objects of a manifest by their kind, of which it has one each."""
    text = (ROOT / "deploy" / "k8s" / f"{name}.yaml").read_text()
    objects = list(yaml.safe_load_all(text))
    by_kind = {one["kind"]: one for one in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def pod_of(name: str) -> dict[str, Any]:
    """The template of a manifest's pods."""
    template: dict[str, Any] = manifest(name)["Deployment"]["spec"]["template"]
    return template


def container_of(name: str) -> dict[str, Any]:
    """The one container of a manifest's pods."""
    [container] = pod_of(name)["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def probes_of(name: str) -> list[dict[str, Any]]:
    return [container_of(name)[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")]


def parse(words: Sequence[str]) -> None:
    """Have the program parse a command, without running it; it ends with an error if it cannot."""
    name, *rest = words
    command = _program(name)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        name, *rest = rest
        found = command.get_command(click.Context(command), name)
        assert found is not None, f"{words}: there is no command {name!r}"
        command = found
    command.make_context(name, list(rest))


def _program(name: str) -> click.Command:
    if name == "ingest":
        return main
    from dagster._cli import create_dagster_cli
    from dagster._daemon.cli import create_dagster_daemon_cli
    from dagster_webserver.cli import dagster_webserver

    programs: dict[str, click.Command] = {
        "dagster": create_dagster_cli(),  # type: ignore[no-untyped-call]
        "dagster-daemon": create_dagster_daemon_cli(),
        "dagster-webserver": dagster_webserver,
    }
    return programs[name]


def known_variables() -> set[str]:
    return set(VARIABLE.findall(Settings.__doc__ or ""))


def secret_variables() -> set[str]:
    """Variables whose values are never shown."""
    return {"INGESTION_DATABASE_URL", "OLLAMA_API_KEY", "INGEST_API_KEY"}
