"""What a run did in, counters for Prometheus out: the run itself ends before it could be asked."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from time import perf_counter

from ingestion_assets.chunks.reconcile import Splitting
from ingestion_assets.defs.resources import StoreResource
from ingestion_assets.embedding import EmbeddingStream
from ingestion_assets.errors import StoreError
from ingestion_assets.metrics import Figure
from ingestion_assets.sources import Reconciliation
from ingestion_assets.store import counters

logger = logging.getLogger(__name__)


@contextmanager
def tallied(
    store: StoreResource,
    partition_key: str,
    stage: str,
    figures: Callable[[str], Sequence[Figure]],
) -> Iterator[None]:
    """Count an attempt at a stage, however it ends: `done`, `failed` or `interrupted`.

    A run that is killed counts nothing of the stage it was in; where the database is away, it has
    worse to tell.

    Args:
        figures: given the source, what else there is to count at the end.
    """
    source = partition_key.partition("/")[0]
    begun, outcome = perf_counter(), "interrupted"
    try:
        yield
        outcome = "done"
    except Exception:
        outcome = "failed"
        raise
    finally:
        seconds = perf_counter() - begun
        logger.info("%s of %s: %s after %.1f s", stage, partition_key, outcome, seconds)
        counted = [
            *_ended(source, stage, outcome),
            Figure("ingestion_stage_seconds_total", (source, stage), seconds),
            *figures(source),
        ]
        _keep(store, source, counted)


@contextmanager
def attempted(store: StoreResource, partition_key: str, stage: str) -> Iterator[None]:
    """Count an attempt at a stage that fails before there is anything to write."""
    source = partition_key.partition("/")[0]
    try:
        yield
    except Exception:
        logger.info("%s of %s: failed before anything was written", stage, partition_key)
        _keep(store, source, _ended(source, stage, "failed"))
        raise


def documents(work: Reconciliation, source: str) -> list[Figure]:
    """What became of the documents."""
    counts = asdict(work.counts)
    return [
        Figure("ingestion_documents_total", (source, outcome), counts[outcome])
        for outcome in ("new", "changed", "unchanged", "touched", "gone", "failed", "skipped")
    ]


def chunks(work: Splitting, source: str) -> list[Figure]:
    """What became of the chunks."""
    counts = work.metadata()
    return [
        Figure("ingestion_chunks_total", (source, outcome), counts[outcome])
        for outcome in ("new", "moved", "kept", "gone")
    ]


def vectors(model: str, stream: EmbeddingStream, source: str) -> list[Figure]:
    """What became of the texts, and what it took."""
    found = stream.metrics
    openings = sum(endpoint.breaker.opened for endpoint in found.endpoints)
    return [
        Figure("ingestion_texts_total", (source, model, "embedded"), found.texts_embedded),
        Figure("ingestion_texts_total", (source, model, "rejected"), found.rejected),
        Figure("ingestion_requests_total", (source, model), found.requests),
        Figure("ingestion_request_retries_total", (source, model), found.retries),
        Figure("ingestion_rate_limit_hits_total", (source, model), found.rate_limit_hits),
        Figure("ingestion_breaker_openings_total", (source, model), openings),
        Figure("ingestion_tokens_total", (source, model), found.tokens),
    ]


def _ended(source: str, stage: str, outcome: str) -> list[Figure]:
    """One more of an outcome, none of the others: a series has to begin at 0 to be seen to rise."""
    return [
        Figure("ingestion_stages_total", (source, stage, each), float(each == outcome))
        for each in ("done", "failed", "interrupted")
    ]


def _keep(store: StoreResource, source: str, figures: Sequence[Figure]) -> None:
    try:
        store.call(counters.add, source, figures)
    except StoreError as error:
        logger.warning("What was counted of %s is lost: %s", source, error)
