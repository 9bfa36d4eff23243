"""Our errors in, Dagster's failures out."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ingestion_assets.errors import IngestionError


@contextmanager
def reported() -> Iterator[None]:
    """Fail at once on errors that a retry cannot cure; leave the others to the retry policy."""
    try:
        yield
    except IngestionError as exc:
        if exc.retryable:
            raise
        raise dg.Failure(
            f"{type(exc).__name__}: {exc}",
            metadata={"error": str(exc), "class": type(exc).__name__},
            allow_retries=False,
        ) from exc
