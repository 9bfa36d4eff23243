"""Our errors in, Dagster's failures out."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError

from ingestion_assets.errors import IngestionError

INTERRUPTED = "interrupted; what is done is kept"


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
