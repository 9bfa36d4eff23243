import re
from dataclasses import fields
from pathlib import Path

import pytest

from ingestion_assets.errors import ConfigError
from ingestion_assets.settings import Settings

CONFIGURATION = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_nothing_set_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


def test_empty_variable_counts_as_unset() -> None:
    assert Settings.from_environment({"OLLAMA_HOST": " ", "INGEST_WORKERS": ""}) == Settings()


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("INGESTION_DATABASE_URL", "postgresql://x/y", "database_url", "postgresql://x/y"),
        ("OLLAMA_HOST", "gpu:1234", "ollama_host", "gpu:1234"),
        ("OLLAMA_HOSTS", "gpu1, http://gpu2:80 ,,", "ollama_hosts", ("gpu1", "http://gpu2:80")),
        ("OLLAMA_API_KEY", "hunter2", "ollama_api_key", "hunter2"),
        ("INGESTION_MODEL", "bge-m3", "model", "bge-m3"),
        ("INGEST_LOG_FORMAT", "JSON", "log_format", "json"),
        ("INGESTION_CHAT_MODEL", "llama3.2", "chat_model", "llama3.2"),
        ("INGEST_ANSWER_THRESHOLD", "-0.5", "answer_threshold", -0.5),
        ("INGEST_QUERY_WORKERS", "2", "query_workers", 2),
        ("INGEST_QUERY_TIMEOUT", "2.5", "query_timeout", 2.5),
        ("INGEST_API_HOST", "::1", "api_host", "::1"),
        ("INGEST_API_PORT", "0", "api_port", 0),
        ("INGEST_API_KEY", " k ", "api_key", "k"),
        ("INGEST_API_RATE", "0.5", "api_rate", 0.5),
        ("INGEST_API_CONCURRENCY", "3", "api_concurrency", 3),
        ("INGEST_API_BODY", "2048", "api_body", 2048),
        ("INGEST_API_TIMEOUT", "9", "api_timeout", 9),
        ("INGEST_API_ANSWER_TIMEOUT", "99", "api_answer_timeout", 99),
        ("INGEST_API_POOL_MIN", "0", "api_pool_min", 0),
        ("INGEST_API_POOL_MAX", "3", "api_pool_max", 3),
        ("INGEST_API_POOL_TIMEOUT", "0.5", "api_pool_timeout", 0.5),
        ("INGEST_COLLECTIONS_URL", "s3://bucket/x", "collections_url", "s3://bucket/x"),
        ("INGEST_COLLECTIONS_FORMATS", "parquet", "collections_formats", ("parquet",)),
        (
            "INGEST_COLLECTIONS_INCLUDE",
            "people/*, */pay",
            "collections_include",
            (("people", "*"), ("*", "pay")),
        ),
        ("INGESTION_SOURCES", "a/b.yaml", "sources", Path("a/b.yaml")),
        ("INGESTION_STATE", "/var/state", "state", Path("/var/state")),
        ("INGEST_REDIS_URL", "redis://h:1/0", "redis_url", "redis://h:1/0"),
        ("INGEST_WORKERS", "6", "workers", 6),
        ("INGEST_MAX_WORKERS", "16", "max_workers", 16),
        ("INGEST_BATCH_SIZE", "64", "batch_size", 64),
        ("INGEST_BATCH_RETRIES", "0", "batch_retries", 0),
        ("INGEST_TIMEOUT", "2.5", "timeout", 2.5),
        ("INGEST_BREAKER_FAILURES", "3", "breaker_failures", 3),
        ("INGEST_BREAKER_SECONDS", "0.5", "breaker_seconds", 0.5),
        ("INGEST_DEADLINE", "60", "deadline", 60.0),
        ("INGEST_AUTO_PULL", "True", "auto_pull", True),
        ("INGEST_AUTO_PULL", "0", "auto_pull", False),
        ("INGEST_CPU_RETRY", "1", "cpu_retry", True),
        ("INGEST_WORKER_BATCH", "5", "worker_batch", 5),
        ("INGEST_WORKER_BACKFILL_BATCH", "128", "worker_backfill_batch", 128),
        ("INGEST_WORKER_SWEEP", "0.5", "worker_sweep", 0.5),
        ("INGEST_WORKER_RATE", "20", "worker_rate", 20.0),
        ("INGEST_QUARANTINE_SHARE", "0.5", "quarantine_share", 0.5),
        ("INGEST_FRESH_HOURS", "1.5", "fresh_hours", 1.5),
        ("INGEST_RECALL_TARGET", "0.9", "recall_target", 0.9),
        ("INGEST_WORKER_HOST", "0.0.0.0", "worker_host", "0.0.0.0"),
        ("INGEST_WORKER_PORT", "0", "worker_port", 0),
        ("INGEST_CHUNK_TOKENS", "500", "chunk_tokens", 500),
        ("INGEST_CHUNK_OVERLAP", "10", "chunk_overlap", 10),
        ("INGEST_TEXT_LANGUAGE", "simple", "text_language", "simple"),
    ],
)
def test_variable_is_read(variable: str, value: str, field: str, read: object) -> None:
    assert getattr(Settings.from_environment({variable: value}), field) == read


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("INGEST_WORKERS", "four"),
        ("INGEST_WORKERS", "0"),
        ("INGEST_WORKERS", "1.5"),
        ("INGEST_TIMEOUT", "nan"),
        ("INGEST_CHUNK_OVERLAP", "101"),
        ("INGEST_BATCH_RETRIES", "-1"),
        ("INGEST_BREAKER_FAILURES", "0"),
        ("INGEST_AUTO_PULL", "maybe"),
        ("INGEST_CPU_RETRY", "gpu"),
        ("INGEST_RECALL_TARGET", "1"),
        ("INGEST_TEXT_LANGUAGE", "Klingon"),
        ("INGEST_LOG_FORMAT", "XML"),
        ("INGEST_COLLECTIONS_FORMATS", "json,csv"),
        ("INGEST_COLLECTIONS_INCLUDE", "people"),
    ],
)
def test_wrong_value_is_named_with_its_variable(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{variable}=.?{re.escape(value)}"):
        Settings.from_environment({variable: value})


def test_one_server_and_several_are_an_error_together() -> None:
    with pytest.raises(ConfigError, match="unset one of them"):
        Settings.from_environment({"OLLAMA_HOST": "gpu1", "OLLAMA_HOSTS": "gpu2,gpu3"})


def test_overlap_shrinks_with_small_chunks() -> None:
    assert Settings.from_environment({"INGEST_CHUNK_TOKENS": "40"}).chunk_overlap == 20


def test_secrets_are_not_in_the_repr() -> None:
    settings = Settings(
        database_url="postgresql://u:hunter2@h/d", ollama_api_key="hunter2", api_key="hunter2"
    )
    assert "hunter2" not in repr(settings)


def test_every_variable_is_documented_with_its_default() -> None:
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+?) \|", CONFIGURATION.read_text(), re.MULTILINE))
    variables = dict(re.findall(r"^ +(\w+): ([A-Z_]+);", Settings.__doc__ or "", re.MULTILINE))
    assert variables.keys() == {field.name for field in fields(Settings)}
    for field in fields(Settings):
        documented = table[variables[field.name]].strip("`")
        if isinstance(field.default, str | int | float | Path):
            assert documented.replace(",", "") == _written(field.default)


def _written(default: object) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def test_a_single_worker_means_one_request_at_a_time() -> None:
    assert Settings(max_workers=1).max_in_flight == 1
    assert Settings(max_workers=8).max_in_flight == 16
