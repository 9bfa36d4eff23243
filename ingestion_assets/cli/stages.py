"""What the stages of some runs did, added up: how much, how fast, and how that went."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingestion_assets.pace import Latencies, Timeline

_ITEMS = {"sources": "seen", "chunks": "chunks"}  # what is counted of a stage; else texts
_BYTES = {"sources": "bytes_read"}


@dataclass(slots=True)
class Stage:
    """One asset in some runs.

    Attributes:
        items: documents seen, chunks split, or texts embedded.
        bytes: read from sources; of texts split; or of requests and answers.
        retries: requests repeated; none where nothing is sent, and so with `rate_limit_hits`.
        latencies: of requests; or of batches, from their making to their commit.
    """

    name: str
    items: int = 0
    bytes: int = 0
    retries: int | None = None
    rate_limit_hits: int | None = None
    latencies: Latencies = field(default_factory=Latencies)
    _spans: list[tuple[float, float]] = field(default_factory=list)
    _courses: list[tuple[float, Mapping[str, Any]]] = field(default_factory=list)

    def add(self, figures: Mapping[str, Any]) -> None:
        """Add one run's figures."""
        self.items += figures[_ITEMS.get(self.name, "texts_embedded")]
        self.bytes += figures[_BYTES.get(self.name, "bytes")]
        self.latencies.update(Latencies(**figures["latencies"]))
        started = figures["started"]
        self._spans.append((started, started + figures["seconds"]))
        if "course" in figures:
            self.retries = (self.retries or 0) + figures["retries"]
            self.rate_limit_hits = (self.rate_limit_hits or 0) + figures["rate_limit_hits"]
            self._courses.append((started, figures["course"]))

    @property
    def seconds(self) -> float:
        """In which at least one of the runs was at it."""
        total = until = 0.0
        for begin, end in sorted(self._spans):
            total += max(0.0, end - max(begin, until))
            until = max(until, end)
        return total

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.seconds if self.seconds else 0.0

    def course(self) -> Timeline:
        """The courses of all runs, each at its time."""
        first = min((started for started, _ in self._courses), default=0.0)
        course = Timeline()
        for started, data in self._courses:
            course.add_all(started - first, data)
        return course

    def figures(self) -> dict[str, Any]:
        """As JSON has them."""
        return {
            "items": self.items,
            "seconds": self.seconds,
            "per_s": self.rate,
            "mean_ms": 1e3 * self.latencies.mean,
            "p50_ms": 1e3 * self.latencies.percentile(50),
            "p95_ms": 1e3 * self.latencies.percentile(95),
            "retries": self.retries,
            "rate_limit_hits": self.rate_limit_hits,
            "bytes": self.bytes,
        }


def add(stages: dict[str, Stage], run: Mapping[str, Mapping[str, Any]]) -> None:
    """Add one run to the stages by name, which are in the order in which they ran.

    Args:
        run: each asset's metadata, by asset name; what was never timed is left out.
    """
    for name, figures in run.items():
        if "latencies" in figures:
            stages.setdefault(name, Stage(name)).add(figures)
