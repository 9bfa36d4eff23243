"""Vectors of known texts, as they were and as the servers give them now, in; what differs out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingestion_assets.embedding import Identity
from ingestion_assets.embedding.fidelity import NAME, TEXTS, Probe, Silence
from ingestion_assets.store import baselines
from ingestion_assets.store.baselines import Baseline
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage.finding import Finding, Kind, finding
from ingestion_assets.store.generations import Generation

_Distances: TypeAlias = NDArray[np.float64]  # cosine distances of n texts, shape (n,)

SAME = 1e-3  # cosine distance of two vectors of one text, if nothing is wrong

DRIFT = Kind(
    "model_drifted",
    "The servers give other vectors for known texts than when the generation began: new vectors do"
    " not go with the stored ones.",
    "Go back to that version of Ollama and the model, or embed everything anew.",
    mends=False,
)
BATCHES = Kind(
    "batches_disagree",
    "A server gives a text another vector in a list than alone.",
    "Use another version of Ollama, or INGEST_BATCH_SIZE=1, then embed everything anew.",
    mends=False,
)
SERVERS = Kind(
    "servers_disagree",
    "Two servers give different vectors for one text.",
    "Bring both to one version of Ollama and one model, or take one out of OLLAMA_HOSTS.",
    mends=False,
)
SILENT = Kind(
    "servers_silent",
    "Servers that do not embed known texts, so that nothing can be said of them.",
    "Start them, pull the model there, or take them out of OLLAMA_HOSTS.",
    mends=False,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison came to.

    Attributes:
        drift: largest cosine distance to what was given at first; of no server, 0.
        batch: largest between a text alone and in a list.
        spread: largest between two servers.
        versions: of the servers, by their URLs.
    """

    findings: Sequence[Finding]
    drift: float
    batch: float
    spread: float
    versions: dict[str, str]


def model_of(generation: Generation) -> Identity:
    """A generation's model, to be asked of any server as it was when the generation began."""
    return Identity(
        model=generation.model,
        digest=generation.digest,
        dimensions=generation.dimensions,
        context=generation.options.get("num_ctx", 0),
        server_version="",
        options=generation.options,
    )


def compare(
    connection: Connection, generation: Generation, said: Sequence[Probe | Silence]
) -> Verdict:
    """Judge what the servers gave; where nothing is known of a generation yet, that is recorded."""
    probes = [each for each in said if isinstance(each, Probe)]
    known = baselines.stored(connection, generation)
    if probes and (known is None or known.texts != NAME):
        first = probes[0]
        baselines.keep(connection, generation, NAME, first.alone, first.server_version)
        known = baselines.stored(connection, generation)
    baselines.compared(connection, generation)
    return judge(generation, known, said)


def judge(
    generation: Generation, known: Baseline | None, said: Sequence[Probe | Silence]
) -> Verdict:
    """Compare the servers with what was known, with themselves, and with one another."""
    probes = [each for each in said if isinstance(each, Probe)]
    drifts = [_distances(p.alone, known.matrix) for p in probes] if known else []
    batches = [_distances(p.alone, p.listed) for p in probes]
    spreads = [_distances(p.alone, probes[0].alone) for p in probes]
    findings = [
        *finding(DRIFT, [_drifted(generation, known, p, d) for p, d in _off(probes, drifts)]),
        *finding(BATCHES, [_other(p, d, "in a list than alone") for p, d in _off(probes, batches)]),
        *finding(
            SERVERS, [_other(p, d, f"than {probes[0].url}") for p, d in _off(probes, spreads)]
        ),
        *finding(SILENT, [f"{each.url}: {each.why}" for each in said if isinstance(each, Silence)]),
    ]
    versions = {probe.url: probe.server_version for probe in probes}
    return Verdict(findings, _most(drifts), _most(batches), _most(spreads), versions)


def _off(
    probes: Sequence[Probe], distances: Sequence[_Distances]
) -> Iterator[tuple[Probe, _Distances]]:
    """Servers that are too far from what they should give."""
    for probe, distance in zip(probes, distances, strict=False):
        if distance.max() > SAME:
            yield probe, distance


def _other(probe: Probe, distance: _Distances, than: str) -> str:
    worst = TEXTS[int(distance.argmax())]
    return (
        f"{probe.url} gives other vectors {than} for {int((distance > SAME).sum())} of"
        f" {len(distance)} texts; farthest, by {distance.max():.4f}, is {worst[:40]!r}"
    )


def _drifted(
    generation: Generation, known: Baseline | None, probe: Probe, distance: _Distances
) -> str:
    if known is None:
        raise AssertionError("nothing can drift from what is not known")
    changed = [
        f"{name} was {before}, is {now}" if before != now else f"{name} is {now} as before"
        for name, before, now in (
            ("Ollama", known.server_version, probe.server_version),
            ("the model", generation.digest[:12], probe.digest[:12]),
        )
    ]
    than = f"than on {known.recorded_at:%Y-%m-%d}"
    return f"{_other(probe, distance, than)}; {', '.join(changed)}"


def _distances(one: NDArray[np.float32], other: NDArray[np.float32]) -> _Distances:
    """Cosine distances of the rows; 1 of all of them if they are of other lengths."""
    if one.shape != other.shape:
        return np.ones(len(one))
    distances: _Distances = 1 - np.einsum("ij,ij->i", one.astype(float), other)
    return distances


def _most(distances: Sequence[_Distances]) -> float:
    return max((float(each.max()) for each in distances), default=0.0)
