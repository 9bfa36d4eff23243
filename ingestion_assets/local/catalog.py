"""What the built-in embedder says about itself and its one model, in Ollama's shapes."""

from datetime import UTC, datetime
from typing import Any

from ingestion_assets.local import weights
from ingestion_assets.local.minilm import CONTEXT, DIMENSIONS
from ingestion_assets.local.ollama_api import NAMES, RequestError, with_tag

VERSION = "0.33.0"  # of Ollama, whose API this is

_PUBLISHED = "2021-08-30T00:00:00Z"
_NEVER = datetime(2318, 1, 1, tzinfo=UTC)
_DETAILS = {
    "parent_model": "",
    "format": "safetensors",
    "family": "bert",
    "families": ["bert"],
    "parameter_size": "23M",
    "quantization_level": "F32",
}
_IDENTITY = {
    "name": "all-minilm:latest",
    "model": "all-minilm:latest",
}


def tags() -> dict[str, Any]:
    """The answer of /api/tags."""
    details = _DETAILS | {"context_length": CONTEXT, "embedding_length": DIMENSIONS}
    model = _IDENTITY | {
        "modified_at": _PUBLISHED,
        "size": weights.WEIGHTS_BYTES,
        "digest": weights.WEIGHTS_SHA256,
        "details": details,
        "capabilities": ["embedding"],
    }
    return {"models": [model]}


def running(context: int, expires_at: datetime | None, *, loaded: bool) -> dict[str, Any]:
    """The answer of /api/ps."""
    if not loaded:
        return {"models": []}
    model = _IDENTITY | {
        "size": weights.WEIGHTS_BYTES,
        "digest": weights.WEIGHTS_SHA256,
        "details": _DETAILS,
        "expires_at": (expires_at or _NEVER).isoformat(),
        "size_vram": 0,
        "context_length": context,
    }
    return {"models": [model]}


def show(name: str) -> dict[str, Any]:
    """The answer of /api/show.

    Raises:
        RequestError: it is not our model.
    """
    if name not in NAMES:
        raise RequestError(404, f"model '{with_tag(name)}' not found")
    return {
        "license": "Apache License 2.0",
        "modelfile": f"FROM sentence-transformers/all-MiniLM-L6-v2\nPARAMETER num_ctx {CONTEXT}\n",
        "parameters": f"num_ctx                        {CONTEXT}",
        "template": "{{ .Prompt }}",
        "details": _DETAILS,
        "model_info": {
            "general.architecture": "bert",
            "general.parameter_count": 22_713_216,
            "bert.attention.head_count": 12,
            "bert.block_count": 6,
            "bert.context_length": CONTEXT,
            "bert.embedding_length": DIMENSIONS,
            "bert.feed_forward_length": 1536,
            "bert.pooling_type": 1,
        },
        "capabilities": ["embedding"],
        "modified_at": _PUBLISHED,
    }


def pull(name: str) -> list[dict[str, Any]]:
    """The lines of /api/pull: our model is always there, no other can be had."""
    manifest = {"status": "pulling manifest"}
    if name not in NAMES:
        return [manifest, {"error": "pull model manifest: file does not exist"}]
    size, digest = weights.WEIGHTS_BYTES, weights.WEIGHTS_SHA256
    layer = {
        "status": f"pulling {digest[:12]}",
        "digest": f"sha256:{digest}",
        "total": size,
        "completed": size,
    }
    steps = ("verifying sha256 digest", "writing manifest", "success")
    return [manifest, layer, *({"status": step} for step in steps)]
