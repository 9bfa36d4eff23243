"""The figures that Prometheus reads: those of a process that embeds, and the names of all others.

Nobody can scrape a run, which lives for seconds: it adds its counts up in the database, and the
long-lived processes export them with what the database itself can tell.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

# Name: what it is, and its labels. No label has as many values as there are documents or runs.
RUN_COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ingestion_stages_total": (
        "Partitions that runs took through a stage, by how that ended.",
        ("source", "stage", "outcome"),
    ),
    "ingestion_stage_seconds_total": (
        "What runs spent in the stages.",
        ("source", "stage"),
    ),
    "ingestion_documents_total": (
        "Documents that runs looked at, by what became of them.",
        ("source", "outcome"),
    ),
    "ingestion_chunks_total": (
        "Chunks that runs made of changed documents, by what became of them.",
        ("source", "outcome"),
    ),
    "ingestion_texts_total": (
        "Texts that runs embedded, or that the model rejected.",
        ("source", "model", "outcome"),
    ),
    "ingestion_requests_total": (
        "Requests of runs to Ollama.",
        ("source", "model"),
    ),
    "ingestion_request_retries_total": (
        "Of these, those that repeated a failed one.",
        ("source", "model"),
    ),
    "ingestion_rate_limit_hits_total": (
        "Of these, those answered with 429 or 503.",
        ("source", "model"),
    ),
    "ingestion_breaker_openings_total": (
        "How often a run took a server out of use.",
        ("source", "model"),
    ),
    "ingestion_tokens_total": (
        "Tokens of the texts that runs embedded, as the servers counted.",
        ("source", "model"),
    ),
}
DATABASE_GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ingestion_texts_waiting": (
        "Chunks without a vector in the active generation, by state.",
        ("source", "state"),
    ),
    "ingestion_oldest_pending_seconds": (
        "Wait of the longest waiting chunk; 0 if none waits.",
        ("source",),
    ),
    "ingestion_freshness_seconds": (
        "From reading (seen) or change (changed) to searchable, of a window's documents.",
        ("source", "since", "window", "percentile"),
    ),
    "ingestion_freshness_documents": (
        "Documents that this was measured on.",
        ("source", "window"),
    ),
    "ingestion_last_run_timestamp_seconds": (
        "When a partition was last compared with its documents.",
        ("source",),
    ),
    "ingestion_stalest_run_timestamp_seconds": (
        "The same, of the partition where that is longest ago.",
        ("source",),
    ),
    "ingestion_unread_documents": (
        "Documents that could not be read at the last look.",
        ("source",),
    ),
    "ingestion_recall_ratio": (
        "What `ingest index` last measured of the approximate index, if there is one.",
        ("generation",),
    ),
    "ingestion_database_size_bytes": ("Size of the database on disk.", ()),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One value of a metric, its labels in the order of the metric's."""

    name: str
    labels: tuple[str, ...]
    value: float


def families(figures: Iterable[Figure]) -> list[CounterMetricFamily | GaugeMetricFamily]:
    """Figures of runs and of the database, as Prometheus' client wants them; those that are."""
    made: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for figure in figures:
        if figure.name not in made:
            made[figure.name] = _family(figure.name)
        made[figure.name].add_metric(figure.labels, figure.value)
    return list(made.values())


def _family(name: str) -> CounterMetricFamily | GaugeMetricFamily:
    if name in RUN_COUNTERS:
        documentation, labels = RUN_COUNTERS[name]
        return CounterMetricFamily(name, documentation, labels=labels)
    documentation, labels = DATABASE_GAUGES[name]
    return GaugeMetricFamily(name, documentation, labels=labels)


class EmbeddingMetrics:
    """What became of the texts, how long they took, what waits, and how the servers are.

    Attributes:
        embedded: texts whose vector was stored.
        errors: texts that failed, by the class of the error.
        duration: seconds from the claim of a batch to the commit of its vectors.
        depth: texts in the queue, by state; absent while the database cannot be asked.
        oldest: seconds that the longest waiting text has waited.
        wakeups: looks at the queues, whatever caused them.
        in_flight: requests that a server has not answered yet.
        breaker: 1 for the state that a server's breaker is in, 0 for the others.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.embedded = Counter(
            "embedding_total",
            "Texts whose vector was stored.",
            ["queue"],
            registry=self.registry,
        )
        self.errors = Counter(
            "embedding_errors_total",
            "Texts that failed, by the class of the error.",
            ["queue", "error"],
            registry=self.registry,
        )
        self.duration = Histogram(
            "embedding_duration_seconds",
            "From the claim of a batch to the commit of its vectors.",
            ["queue"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.depth = self._gauge(
            "embedding_queue_depth", "Texts in the queue, by state.", "queue", "state"
        )
        self.oldest = self._gauge(
            "embedding_oldest_pending_seconds", "Wait of the longest waiting text.", "queue"
        )
        self.wakeups = Counter(
            "embedding_wakeups_total", "Looks at the queues.", registry=self.registry
        )
        self.in_flight = self._gauge("embedding_in_flight", "Unanswered requests.", "endpoint")
        self.breaker = self._gauge(
            "embedding_breaker_state", "1 for the state a breaker is in.", "endpoint", "state"
        )

    def texts_embedded(self) -> float:
        """Texts whose vector was stored, of all queues together."""
        (embedded,) = self.embedded.collect()
        return sum(s.value for s in embedded.samples if s.name == "embedding_total")

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(name, documentation, labels, registry=self.registry)
