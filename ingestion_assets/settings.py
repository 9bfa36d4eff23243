"""The environment, read once, as frozen settings."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from ingestion_assets.errors import ConfigError


@dataclass(frozen=True)
class Settings:
    """Everything that the environment decides.

    Attributes:
        database_url: INGESTION_DATABASE_URL; none means the embedded Postgres.
        ollama_host: OLLAMA_HOST; none means 127.0.0.1:11434 if it answers, else the built-in one.
        ollama_hosts: OLLAMA_HOSTS; several servers of one model, instead of OLLAMA_HOST.
        ollama_api_key: OLLAMA_API_KEY; sent as a bearer token.
        model: INGESTION_MODEL; the embedding model's name in Ollama.
        sources: INGESTION_SOURCES; the file that lists the sources.
        state: INGESTION_STATE; the folder of the embedded servers.
        workers: INGEST_WORKERS; requests in flight to a server at first.
        max_workers: INGEST_MAX_WORKERS; above it, `workers` is capped.
        batch_size: INGEST_BATCH_SIZE; texts per request at most.
        batch_retries: INGEST_BATCH_RETRIES; further attempts for a request that failed in passing.
        timeout: INGEST_TIMEOUT; seconds without a byte before a request is given up.
        breaker_failures: INGEST_BREAKER_FAILURES; in a row, that take a server out of use.
        breaker_seconds: INGEST_BREAKER_SECONDS; until a server out of use is tried again.
        deadline: INGEST_DEADLINE; seconds without any server before a run gives up.
        auto_pull: INGEST_AUTO_PULL; have a server pull a model that it does not have.
        chunk_tokens: INGEST_CHUNK_TOKENS; tokens per chunk at most, heading included.
        chunk_overlap: INGEST_CHUNK_OVERLAP; tokens that neighbouring chunks of one block share.
    """

    database_url: str | None = field(default=None, repr=False)
    ollama_host: str | None = None
    ollama_hosts: tuple[str, ...] = ()
    ollama_api_key: str | None = field(default=None, repr=False)
    model: str = "all-minilm"
    sources: Path = Path("sources.yaml")
    state: Path = Path(".ingestion")
    workers: int = 4
    max_workers: int = 8
    batch_size: int = 64
    batch_retries: int = 4
    timeout: float = 300.0
    breaker_failures: int = 5
    breaker_seconds: float = 30.0
    deadline: float = 1800.0
    auto_pull: bool = False
    chunk_tokens: int = 200
    chunk_overlap: int = 30

    @property
    def max_in_flight(self) -> int:
        """Requests in flight to one server at most: for each worker one computed, one on its way.

        A single worker means strictly one at a time.
        """
        return 2 * self.max_workers if self.max_workers > 1 else 1

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; an empty variable counts as unset.

        Raises:
            ConfigError: a value is malformed or out of range; names the variable.
        """
        env = {name: value for name, value in environment.items() if value.strip()}
        overlap_limit = _integer(env, "INGEST_CHUNK_TOKENS", cls.chunk_tokens, 16, 8192) // 2
        return cls(
            database_url=env.get("INGESTION_DATABASE_URL"),
            ollama_host=env.get("OLLAMA_HOST"),
            ollama_hosts=_hosts(env),
            ollama_api_key=env.get("OLLAMA_API_KEY"),
            model=env.get("INGESTION_MODEL", cls.model),
            sources=Path(env.get("INGESTION_SOURCES", cls.sources)),
            state=Path(env.get("INGESTION_STATE", cls.state)),
            workers=_integer(env, "INGEST_WORKERS", cls.workers, 1, 1024),
            max_workers=_integer(env, "INGEST_MAX_WORKERS", cls.max_workers, 1, 1024),
            batch_size=_integer(env, "INGEST_BATCH_SIZE", cls.batch_size, 1, 2048),
            batch_retries=_integer(env, "INGEST_BATCH_RETRIES", cls.batch_retries, 0, 100),
            timeout=_number(env, "INGEST_TIMEOUT", cls.timeout, 1, 86_400),
            breaker_failures=_integer(
                env, "INGEST_BREAKER_FAILURES", cls.breaker_failures, 1, 1000
            ),
            breaker_seconds=_number(env, "INGEST_BREAKER_SECONDS", cls.breaker_seconds, 0.1, 3600),
            deadline=_number(env, "INGEST_DEADLINE", cls.deadline, 1, 604_800),
            auto_pull=_boolean(env, "INGEST_AUTO_PULL", cls.auto_pull),
            chunk_tokens=_integer(env, "INGEST_CHUNK_TOKENS", cls.chunk_tokens, 16, 8192),
            chunk_overlap=_integer(
                env, "INGEST_CHUNK_OVERLAP", min(cls.chunk_overlap, overlap_limit), 0, overlap_limit
            ),
        )


def _number(
    env: Mapping[str, str], variable: str, default: float, low: float, high: float
) -> float:
    try:
        value = float(env.get(variable, default))
    except ValueError:
        raise ConfigError(
            f"{variable}={env[variable]!r} is not a number; set it to {low:g}..{high:g}"
        ) from None
    if not low <= value <= high:
        raise ConfigError(f"{variable}={value:g} is out of range; set it to {low:g}..{high:g}")
    return value


def _integer(env: Mapping[str, str], variable: str, default: int, low: int, high: int) -> int:
    value = _number(env, variable, default, low, high)
    if not value.is_integer():
        raise ConfigError(f"{variable}={env[variable]!r} is not a whole number")
    return int(value)


def _boolean(env: Mapping[str, str], variable: str, default: bool) -> bool:
    value = env.get(variable, str(default)).strip().lower()
    if value not in ("true", "false", "1", "0"):
        raise ConfigError(f"{variable}={env[variable]!r} is neither true nor false")
    return value in ("true", "1")


def _hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    hosts = tuple(host.strip() for host in env.get("OLLAMA_HOSTS", "").split(",") if host.strip())
    if hosts and "OLLAMA_HOST" in env:
        raise ConfigError("OLLAMA_HOST and OLLAMA_HOSTS are both set; unset one of them")
    return hosts
