"""Spans where OpenTelemetry's endpoint is set, nothing at all elsewhere.

The standard variables OTEL_* decide everything. No span has a text, a query or a message in it.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.id_generator import IdGenerator
    from opentelemetry.trace import Tracer

Attributes = Mapping[str, str | int | float | bool]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NOTHING = nullcontext()

_run: ContextVar[str] = ContextVar("run")
logger = logging.getLogger(__name__)


def span(
    name: str, attributes: Attributes, carrier: Mapping[str, str] | None = None
) -> AbstractContextManager[None]:
    """A span of what is done while it lasts, below the one that is open; it tells if that fails.

    Args:
        name: one of few; what differs each time is an attribute.
        carrier: headers of a request, whose trace is gone on with.
    """
    tracer = _tracer()
    return _NOTHING if tracer is None else _begun(tracer, name, attributes, carrier)


def note(attributes: Attributes) -> None:
    """Say more of the span that is open, once it is known."""
    if _tracer() is not None:
        from opentelemetry import trace  # noqa: PLC0415

        trace.get_current_span().set_attributes(dict(attributes))


@contextmanager
def run(run_id: str) -> Iterator[None]:
    """While it lasts, spans belong to the trace of a run, whichever of its steps they are of."""
    token = _run.set(run_id)
    try:
        yield
    finally:
        _run.reset(token)


@contextmanager
def _begun(
    tracer: "Tracer", name: str, attributes: Attributes, carrier: Mapping[str, str] | None
) -> Iterator[None]:
    from opentelemetry import propagate, trace  # noqa: PLC0415

    with tracer.start_as_current_span(
        name,
        context=None if carrier is None else propagate.extract(carrier),
        attributes=attributes,
        record_exception=False,  # its message may quote what it is about
        set_status_on_exception=False,
    ) as begun:
        try:
            yield
        except BaseException as exc:
            begun.set_attribute("error.type", type(exc).__name__)
            begun.set_status(trace.StatusCode.ERROR)
            raise


@cache
def _tracer() -> "Tracer | None":
    off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or not any(os.environ.get(name, "").strip() for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    except ImportError:
        logger.warning(
            "There are no traces, although OTEL_EXPORTER_OTLP_ENDPOINT is set: install"
            " ingestion-assets[otel], or unset it"
        )
        return None
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(_provider())
    return trace.get_tracer(__name__)


def _provider() -> "TracerProvider":
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME", "ingestion-assets")
    provider = TracerProvider(resource=Resource.create({"service.name": name}), id_generator=_ids())
    provider.add_span_processor(_processor())
    return provider


def _processor() -> "SpanProcessor":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    return BatchSpanProcessor(OTLPSpanExporter())


def _ids() -> "IdGenerator":
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415

    class Ids(RandomIdGenerator):
        """A run's steps begin spans of their own, one after the other: one trace for all."""

        def generate_trace_id(self) -> int:
            found = _run.get(None)
            if found is None:
                return super().generate_trace_id()
            # Hashed, as a sampler takes the id for random: a UUID is not in every bit.
            return int.from_bytes(blake2b(found.encode(), digest_size=16).digest())

    return Ids()
