"""Who a model is, as a server says: what every request of a run is made from."""

from collections.abc import Mapping
from dataclasses import dataclass

from ingestion_assets.embedding.models import model_facts
from ingestion_assets.embedding.shown import Shown

LONGEST_TEXT = 2048  # tokens; Ollama's own physical batch, beyond which encoders cut silently
SAFE_CONTEXT = 512  # tokens; of a model nobody knows anything about


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server says of a model; every request of a run is made from it.

    Attributes:
        model: as asked for.
        digest: names the model's exact weights.
        dimensions: of its vectors.
        context: tokens a text may have, special tokens included.
        options: runner options; a request with others would make Ollama load the model again.
        shortened: whether the model gives more dimensions, and is asked for so many of them.
    """

    model: str
    digest: str
    dimensions: int
    context: int
    server_version: str
    options: Mapping[str, int]
    shortened: bool = False

    @property
    def asked_dimensions(self) -> int | None:
        """Dimensions to ask for; none if the model gives so many by itself."""
        return self.dimensions if self.shortened else None


def context_of(model: str, shown: Shown, longest: int) -> int:
    """Tokens that a request has room for: no more than the model knows, or than is wanted."""
    known = [n for n in (model_facts(model).context, shown.context, shown.num_ctx) if n]
    return min(longest, *known) if known else SAFE_CONTEXT
