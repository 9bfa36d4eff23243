"""The spans of this process, kept for a test to look at."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ingestion_assets import tracing

_EXPORTER = InMemorySpanExporter()  # a process can have a provider once


@contextmanager
def recorded() -> Iterator[InMemorySpanExporter]:
    """Want traces while it lasts; gives what is exported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        patch.setattr(tracing, "_processor", lambda: SimpleSpanProcessor(_EXPORTER))
        tracing._tracer.cache_clear()
        _EXPORTER.clear()
        yield _EXPORTER
    tracing._tracer.cache_clear()


def trace_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def parent_of(span: ReadableSpan) -> int | None:
    return int(span.parent.span_id) if span.parent else None


def attributes(span: ReadableSpan) -> Mapping[str, object]:
    return dict(span.attributes or {})


def written(exporter: InMemorySpanExporter) -> str:
    """Everything that is exported."""
    return "".join(span.to_json() for span in exporter.get_finished_spans())
