"""The answer of /api/show in, what matters of it out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Shown:
    """What a server says of a model; none where it does not say.

    Attributes:
        can_embed: true also for servers too old to list capabilities: the canary decides then.
        context: tokens of the architecture.
        num_ctx: tokens of the Modelfile.
        dimensions: of its vectors.
    """

    can_embed: bool
    context: int | None
    num_ctx: int | None
    dimensions: int | None

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        """Read the answer of /api/show."""
        info = answer.get("model_info") or {}
        architecture = info.get("general.architecture", "")
        capabilities = answer.get("capabilities")
        return cls(
            can_embed=capabilities is None or "embedding" in capabilities,
            context=info.get(f"{architecture}.context_length"),
            num_ctx=_num_ctx(answer.get("parameters") or ""),
            dimensions=info.get(f"{architecture}.embedding_length"),
        )


def _num_ctx(parameters: str) -> int | None:
    found = re.search(r"^num_ctx\s+(\d+)", parameters, re.MULTILINE)
    return int(found[1]) if found else None
