"""Our errors in, Dagster's failures out; and back, as a line that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.execution.plan.objects import StepFailureData
from dagster_shared.error import SerializableErrorInfo

from ingestion_assets.errors import IngestionError

INTERRUPTED = "interrupted; what is done is kept"

_OURS = "ingestion_assets.errors."


@contextmanager
def reported() -> Iterator[None]:
    """Fail at once on what a retry cannot cure; leave the rest to the retry policy.

    An interrupt is among the former: Dagster's retry policy would start the step again that the
    user has just terminated.
    """
    try:
        yield
    except (KeyboardInterrupt, DagsterExecutionInterruptedError) as exc:
        raise dg.Failure(INTERRUPTED, allow_retries=False) from exc
    except IngestionError as exc:
        if exc.retryable:
            raise
        raise dg.Failure(
            f"{type(exc).__name__}: {exc}",
            metadata={"error": str(exc), "class": type(exc).__name__},
            allow_retries=False,
        ) from exc


def named(data: StepFailureData) -> str:
    """Why a step failed: the class of the error, what it was about, and the remedy."""
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    return root_cause(data.error) if data.error else "no reason was recorded"


def root_cause(error: SerializableErrorInfo) -> str:
    """The outermost error of ours, which has the remedy; else the innermost of all."""
    while error.cause and not error.message.startswith(_OURS):
        error = error.cause
    return error.message.removeprefix(_OURS).strip()
