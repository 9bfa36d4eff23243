"""The environment, read once, as frozen settings."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ingestion_assets.errors import ConfigError


def cores() -> int:
    """The processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
        redis_url: INGEST_REDIS_URL; the queue of runs that Celery workers take; none means none.
        workers: INGEST_WORKERS; requests in flight to a server at first.
        max_workers: INGEST_MAX_WORKERS; above it, `workers` is capped.
        batch_size: INGEST_BATCH_SIZE; texts per request at most.
        batch_retries: INGEST_BATCH_RETRIES; further attempts for a request that failed in passing.
        timeout: INGEST_TIMEOUT; seconds without a byte before a request is given up.
        breaker_failures: INGEST_BREAKER_FAILURES; in a row, that take a server out of use.
        breaker_seconds: INGEST_BREAKER_SECONDS; until a server out of use is tried again.
        deadline: INGEST_DEADLINE; seconds without any server before a run gives up.
        auto_pull: INGEST_AUTO_PULL; have a server pull a model that it does not have.
        cpu_retry: INGEST_CPU_RETRY; load the model without a GPU for a text that it chokes on.
        worker_batch: INGEST_WORKER_BATCH; texts per request of the worker while little waits.
        worker_backfill_batch: INGEST_WORKER_BACKFILL_BATCH; the same while much waits.
        worker_sweep: INGEST_WORKER_SWEEP; seconds after which the worker looks without being told.
        worker_rate: INGEST_WORKER_RATE; texts a second of a backfill at most, 0 for no limit.
        worker_host: INGEST_WORKER_HOST; address of the worker's health and metrics.
        worker_port: INGEST_WORKER_PORT; their port.
        quarantine_share: INGEST_QUARANTINE_SHARE; of all texts, above which a check warns.
        fresh_hours: INGEST_FRESH_HOURS; without a look at a partition, or a vector for a text,
            after which a check warns.
        recall_target: INGEST_RECALL_TARGET; share of what is nearest that searches through the
            approximate index surely find.
        extractors: INGEST_EXTRACTORS; processes that a run reads documents in, at most.
        document_seconds: INGEST_DOCUMENT_SECONDS; of CPU, to read one document.
        document_memory: INGEST_DOCUMENT_MEMORY; megabytes, to read one document.
        generation_grace: INGEST_GENERATION_GRACE; days that a generation which is replaced is kept
            complete, to go back to; 0 keeps none.
        chunk_tokens: INGEST_CHUNK_TOKENS; tokens per chunk at most, heading included.
        chunk_overlap: INGEST_CHUNK_OVERLAP; tokens that neighbouring chunks of one block share.
        text_language: INGEST_TEXT_LANGUAGE; Postgres' text search configuration for words.
        collections_url: INGEST_COLLECTIONS_URL; where collections are exported to each night: a
            folder, or any url of fsspec. If there is none, only when asked, to `collections`.
        collections_formats: INGEST_COLLECTIONS_FORMATS; of their files.
        collections_include: INGEST_COLLECTIONS_INCLUDE; globs of domain and category, all if none.
        log_format: INGEST_LOG_FORMAT; `json` or `text`, of what `serve`, the worker and runs log;
            none means that runs and `serve` log as their surroundings do, and the worker text on
            a terminal and JSON elsewhere.
        chat_model: INGESTION_CHAT_MODEL; the model in Ollama that answers questions, if any.
        answer_threshold: INGEST_ANSWER_THRESHOLD; cosine similarity of question and best passage
            below which there is no answer; none means what was measured for the model.
        query_workers: INGEST_QUERY_WORKERS; requests for questions in flight to a server at most.
        query_timeout: INGEST_QUERY_TIMEOUT; seconds that a question's vector is waited for.
        api_host: INGEST_API_HOST; the address that `ingest serve` binds to.
        api_port: INGEST_API_PORT; its port.
        api_key: INGEST_API_KEY; what every client has to send, if it is set.
        api_rate: INGEST_API_RATE; requests a second of one client; twice as many in a burst.
        api_concurrency: INGEST_API_CONCURRENCY; requests served at once.
        api_body: INGEST_API_BODY; bytes of a request's body at most.
        api_timeout: INGEST_API_TIMEOUT; seconds for a request without an answer.
        api_answer_timeout: INGEST_API_ANSWER_TIMEOUT; seconds for a request with one.
        api_pool_min: INGEST_API_POOL_MIN; database connections kept open.
        api_pool_max: INGEST_API_POOL_MAX; database connections at most.
        api_pool_timeout: INGEST_API_POOL_TIMEOUT; seconds that one is waited for.
    """

    database_url: str | None = field(default=None, repr=False)
    ollama_host: str | None = None
    ollama_hosts: tuple[str, ...] = ()
    ollama_api_key: str | None = field(default=None, repr=False)
    model: str = "all-minilm"
    sources: Path = Path("sources.yaml")
    state: Path = Path(".ingestion")
    redis_url: str | None = field(default=None, repr=False)
    workers: int = 4
    max_workers: int = 8
    batch_size: int = 64
    batch_retries: int = 4
    timeout: float = 300.0
    breaker_failures: int = 5
    breaker_seconds: float = 30.0
    deadline: float = 1800.0
    auto_pull: bool = False
    cpu_retry: bool = False
    worker_batch: int = 10
    worker_backfill_batch: int = 64
    worker_sweep: float = 60.0
    worker_rate: float = 0.0
    worker_host: str = "127.0.0.1"
    worker_port: int = 8001
    quarantine_share: float = 0.01
    fresh_hours: float = 26.0
    recall_target: float = 0.99
    extractors: int = field(default_factory=cores)
    document_seconds: int = 60
    document_memory: int = 1000
    generation_grace: float = 7.0
    chunk_tokens: int = 200
    chunk_overlap: int = 30
    text_language: str = "english"
    collections_url: str | None = None
    collections_formats: tuple[str, ...] = ("json", "parquet")
    collections_include: tuple[tuple[str, str], ...] = ()
    log_format: str | None = None
    chat_model: str | None = None
    answer_threshold: float | None = None
    query_workers: int = 8
    query_timeout: float = 10.0
    api_host: str = "127.0.0.1"
    api_port: int = 8000
    api_key: str | None = field(default=None, repr=False)
    api_rate: float = 50.0
    api_concurrency: int = 64
    api_body: int = 65_536
    api_timeout: float = 30.0
    api_answer_timeout: float = 300.0
    api_pool_min: int = 1
    api_pool_max: int = 10
    api_pool_timeout: float = 5.0

    @property
    def max_in_flight(self) -> int:
        """Requests in flight to one server at most, of all processes together.

        For each worker one is computed, one on its way. A single worker means strictly one at a
        time.
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
            redis_url=env.get("INGEST_REDIS_URL"),
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
            cpu_retry=_boolean(env, "INGEST_CPU_RETRY", cls.cpu_retry),
            worker_batch=_integer(env, "INGEST_WORKER_BATCH", cls.worker_batch, 1, 2048),
            worker_backfill_batch=_integer(
                env, "INGEST_WORKER_BACKFILL_BATCH", cls.worker_backfill_batch, 1, 2048
            ),
            worker_sweep=_number(env, "INGEST_WORKER_SWEEP", cls.worker_sweep, 0.1, 86_400),
            worker_rate=_number(env, "INGEST_WORKER_RATE", cls.worker_rate, 0, 1_000_000),
            worker_host=env.get("INGEST_WORKER_HOST", cls.worker_host),
            worker_port=_integer(env, "INGEST_WORKER_PORT", cls.worker_port, 0, 65_535),
            quarantine_share=_number(env, "INGEST_QUARANTINE_SHARE", cls.quarantine_share, 0, 1),
            fresh_hours=_number(env, "INGEST_FRESH_HOURS", cls.fresh_hours, 0.01, 87_600),
            recall_target=_number(env, "INGEST_RECALL_TARGET", cls.recall_target, 0.5, 0.9999),
            extractors=_integer(env, "INGEST_EXTRACTORS", cores(), 1, 1024),
            document_seconds=_integer(
                env, "INGEST_DOCUMENT_SECONDS", cls.document_seconds, 1, 86_400
            ),
            document_memory=_integer(
                env, "INGEST_DOCUMENT_MEMORY", cls.document_memory, 200, 1_000_000
            ),
            generation_grace=_number(env, "INGEST_GENERATION_GRACE", cls.generation_grace, 0, 3650),
            chunk_tokens=_integer(env, "INGEST_CHUNK_TOKENS", cls.chunk_tokens, 16, 8192),
            chunk_overlap=_integer(
                env, "INGEST_CHUNK_OVERLAP", min(cls.chunk_overlap, overlap_limit), 0, overlap_limit
            ),
            text_language=_language(env),
            collections_url=env.get("INGEST_COLLECTIONS_URL"),
            collections_formats=_formats(env),
            collections_include=_include(env),
            log_format=_log_format(env),
            chat_model=env.get("INGESTION_CHAT_MODEL"),
            answer_threshold=(
                _number(env, "INGEST_ANSWER_THRESHOLD", 0, -1, 1)
                if "INGEST_ANSWER_THRESHOLD" in env
                else None
            ),
            query_workers=_integer(env, "INGEST_QUERY_WORKERS", cls.query_workers, 1, 1024),
            query_timeout=_number(env, "INGEST_QUERY_TIMEOUT", cls.query_timeout, 0.1, 3600),
            **_api(env),
        )


def _api(env: Mapping[str, str]) -> dict[str, Any]:
    """The settings of `ingest serve`."""
    smallest = _integer(env, "INGEST_API_POOL_MIN", Settings.api_pool_min, 0, 1000)
    largest = max(smallest, Settings.api_pool_max, 1)
    return {
        "api_host": env.get("INGEST_API_HOST", Settings.api_host).strip(),
        "api_port": _integer(env, "INGEST_API_PORT", Settings.api_port, 0, 65_535),
        "api_key": env.get("INGEST_API_KEY", "").strip() or None,
        "api_rate": _number(env, "INGEST_API_RATE", Settings.api_rate, 0.1, 1_000_000),
        "api_concurrency": _integer(
            env, "INGEST_API_CONCURRENCY", Settings.api_concurrency, 1, 10_000
        ),
        "api_body": _integer(env, "INGEST_API_BODY", Settings.api_body, 1024, 100_000_000),
        "api_timeout": _number(env, "INGEST_API_TIMEOUT", Settings.api_timeout, 0.1, 3600),
        "api_answer_timeout": _number(
            env, "INGEST_API_ANSWER_TIMEOUT", Settings.api_answer_timeout, 0.1, 3600
        ),
        "api_pool_min": smallest,
        "api_pool_max": _integer(env, "INGEST_API_POOL_MAX", largest, max(smallest, 1), 1000),
        "api_pool_timeout": _number(
            env, "INGEST_API_POOL_TIMEOUT", Settings.api_pool_timeout, 0.1, 3600
        ),
    }


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


def _language(env: Mapping[str, str]) -> str:
    language = env.get("INGEST_TEXT_LANGUAGE", Settings.text_language).strip()
    if not re.fullmatch(r"[a-z_]{1,40}", language):
        raise ConfigError(
            f"INGEST_TEXT_LANGUAGE={language!r} is no text search configuration of Postgres; set it"
            " to simple, english, german, or another one of pg_ts_config"
        )
    return language


def _log_format(env: Mapping[str, str]) -> str | None:
    given = env.get("INGEST_LOG_FORMAT")
    form = given and given.strip().lower()
    if form not in (None, "json", "text"):
        raise ConfigError(f"INGEST_LOG_FORMAT={given!r} is unknown; set it to json or text")
    return form


def _formats(env: Mapping[str, str]) -> tuple[str, ...]:
    known = Settings.collections_formats
    given = env.get("INGEST_COLLECTIONS_FORMATS", ",".join(known))
    if unknown := set(_listed(given)) - set(known):
        raise ConfigError(
            f"INGEST_COLLECTIONS_FORMATS={given!r} has the unknown format {min(unknown)!r}; there"
            f" are {', '.join(known)}"
        )
    return _listed(given)


def _include(env: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    globs = _listed(env.get("INGEST_COLLECTIONS_INCLUDE", ""))
    pairs = tuple((domain, category) for domain, _, category in (g.partition("/") for g in globs))
    if not all(category for _, category in pairs):
        raise ConfigError(
            f"INGEST_COLLECTIONS_INCLUDE={env['INGEST_COLLECTIONS_INCLUDE']!r} is no list of"
            " domain/category; write people/* for a whole domain"
        )
    return pairs


def _listed(value: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in value.split(",") if item.strip())


def _hosts(env: Mapping[str, str]) -> tuple[str, ...]:
    hosts = _listed(env.get("OLLAMA_HOSTS", ""))
    if hosts and "OLLAMA_HOST" in env:
        raise ConfigError("OLLAMA_HOST and OLLAMA_HOSTS are both set; unset one of them")
    return hosts
