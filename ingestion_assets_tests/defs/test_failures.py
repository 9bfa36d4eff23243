import threading

import dagster as dg
import psycopg
import pytest

from ingestion_assets.defs.failures import INTERRUPTED, reported
from ingestion_assets.errors import ConfigError, StoreUnavailableError
from ingestion_assets_tests.defs.conftest import Materialize
from ingestion_assets_tests.services.faulty_ollama import Double


def test_what_a_retry_cannot_cure_is_not_retried() -> None:
    with pytest.raises(dg.Failure, match="ConfigError: wrong") as caught, reported():
        raise ConfigError("wrong")
    assert not caught.value.allow_retries


def test_what_may_pass_is_left_to_the_retry_policy() -> None:
    with pytest.raises(StoreUnavailableError), reported():
        raise StoreUnavailableError("connection lost")


def test_an_interrupt_is_not_retried() -> None:
    with pytest.raises(dg.Failure, match=INTERRUPTED) as caught, reported():
        raise KeyboardInterrupt
    assert not caught.value.allow_retries


def test_missing_model_fails_at_once_with_the_remedy(
    materialize: Materialize, ollama: Double
) -> None:
    ollama.reset(model="other")
    result = materialize()
    [failure] = [e for e in result.all_events if e.is_step_failure]
    assert failure.step_key == "embeddings"
    assert "ollama pull all-minilm" in str(failure.step_failure_data.user_failure_data)
    assert not [e for e in result.all_events if e.is_step_up_for_retry]


def test_partition_that_another_run_writes_is_retried(
    materialize: Materialize, database: str
) -> None:
    with psycopg.connect(database, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('ingestion:notes/00', 0))")
        threading.Timer(0.5, other.close).start()
        result = materialize(selection="sources")
    assert any(event.is_step_up_for_retry for event in result.all_events)
    assert result.success
