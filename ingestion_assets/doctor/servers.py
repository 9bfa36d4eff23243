"""A generation and some of its vectors in; what its servers say of both out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from ingestion_assets.doctor.fidelity import model_of
from ingestion_assets.doctor.reembedding import Sampled, Wrong, wrong
from ingestion_assets.embedding import Endpoints
from ingestion_assets.embedding.fidelity import Probe, Silence
from ingestion_assets.errors import OllamaError
from ingestion_assets.store.generations import Generation

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Said:
    """What the servers gave.

    Attributes:
        probes: for known texts.
        wrong: of the sampled texts, those whose stored vector is another one.
    """

    probes: Sequence[Probe | Silence]
    wrong: Sequence[Wrong]


async def ask(servers: Endpoints, generation: Generation, sampled: Sequence[Sampled]) -> Said:
    """Have known texts and sampled ones embedded; servers that fail are in the answer."""
    model = model_of(generation)
    probes = await servers.probe(model, generation.document_prefix)
    if not sampled or not any(isinstance(each, Probe) for each in probes):
        return Said(probes, ())
    try:
        return Said(probes, await wrong(servers, model, sampled))
    except OllamaError as error:
        return Said([*probes, Silence("the sampled texts", f"{type(error).__name__}: {error}")], ())
