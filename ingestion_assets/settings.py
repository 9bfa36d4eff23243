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
        ollama_api_key: OLLAMA_API_KEY; sent as a bearer token.
        model: INGESTION_MODEL; the embedding model's name in Ollama.
        sources: INGESTION_SOURCES; the file that lists the sources.
        state: INGESTION_STATE; the folder of the embedded servers.
        workers: INGEST_WORKERS; requests in flight.
        max_workers: INGEST_MAX_WORKERS; above it, `workers` is capped.
        batch_size: INGEST_BATCH_SIZE; texts per request at most.
        batch_retries: INGEST_BATCH_RETRIES; further attempts for a request that failed in passing.
        timeout: INGEST_TIMEOUT; seconds without a byte before a request is given up.
        chunk_tokens: INGEST_CHUNK_TOKENS; tokens per chunk at most, heading included.
        chunk_overlap: INGEST_CHUNK_OVERLAP; tokens that neighbouring chunks of one block share.
    """

    database_url: str | None = field(default=None, repr=False)
    ollama_host: str | None = None
    ollama_api_key: str | None = field(default=None, repr=False)
    model: str = "all-minilm"
    sources: Path = Path("sources.yaml")
    state: Path = Path(".ingestion")
    workers: int = 4
    max_workers: int = 8
    batch_size: int = 32
    batch_retries: int = 4
    timeout: float = 300.0
    chunk_tokens: int = 200
    chunk_overlap: int = 30

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings; an empty variable counts as unset.

        Raises:
            ConfigError: a number is malformed or out of range; names the variable.
        """
        env = {name: value for name, value in environment.items() if value.strip()}
        overlap_limit = _integer(env, "INGEST_CHUNK_TOKENS", cls.chunk_tokens, 16, 8192) // 2
        return cls(
            database_url=env.get("INGESTION_DATABASE_URL"),
            ollama_host=env.get("OLLAMA_HOST"),
            ollama_api_key=env.get("OLLAMA_API_KEY"),
            model=env.get("INGESTION_MODEL", cls.model),
            sources=Path(env.get("INGESTION_SOURCES", cls.sources)),
            state=Path(env.get("INGESTION_STATE", cls.state)),
            workers=_integer(env, "INGEST_WORKERS", cls.workers, 1, 1024),
            max_workers=_integer(env, "INGEST_MAX_WORKERS", cls.max_workers, 1, 1024),
            batch_size=_integer(env, "INGEST_BATCH_SIZE", cls.batch_size, 1, 2048),
            batch_retries=_integer(env, "INGEST_BATCH_RETRIES", cls.batch_retries, 0, 100),
            timeout=_number(env, "INGEST_TIMEOUT", cls.timeout, 1, 86_400),
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
