"""The figures that Prometheus reads from a process that embeds."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


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
