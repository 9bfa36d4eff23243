"""The files of a deployment, read."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

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


def manifest() -> dict[str, dict[str, Any]]:
    """The worker's Kubernetes objects by their kind, of which each has one."""
    text = (ROOT / "deploy" / "k8s" / "embedding-worker.yaml").read_text()
    objects = list(yaml.safe_load_all(text))
    by_kind = {one["kind"]: one for one in objects}
    assert len(by_kind) == len(objects)
    return by_kind


def known_variables() -> set[str]:
    return set(VARIABLE.findall(Settings.__doc__ or ""))


def secret_variables() -> set[str]:
    """Variables whose values are never shown."""
    return {"INGESTION_DATABASE_URL", "OLLAMA_API_KEY", "INGEST_API_KEY"}
