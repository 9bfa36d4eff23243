"""The lines of a running /api/pull in, its progress in the log and a verdict out."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import orjson

from ingestion_assets.embedding.classify import Sent
from ingestion_assets.errors import ModelError

STEP = 0.1  # of a layer, between two lines of the log

logger = logging.getLogger(__name__)


async def follow(lines: AsyncIterator[str], sent: Sent) -> None:
    """Read a pull to its end, which must be the word success.

    A pull that fails has answered 200 before, so only its lines tell.

    Raises:
        ModelError: the server says what is wrong, or the lines end too soon.
    """
    progress = _Progress(sent)
    status = ""
    async for line in lines:
        if not line.strip():
            continue
        said = _parsed(line)
        if "error" in said:
            raise ModelError(sent.endpoint, sent.model, f"pull {sent.model!r}: {said['error']}")
        status = str(said.get("status", ""))
        progress.log(status, said.get("completed", 0), said.get("total", 0))
    if status != "success":
        raise ModelError(
            sent.endpoint,
            sent.model,
            f"the pull of {sent.model!r} broke off at {status!r}; run `ollama pull {sent.model}`",
        )


class _Progress:
    """Logs a step when it begins, and every tenth of it; the server says so every 60 ms."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._status = ""
        self._logged = -1.0

    def log(self, status: str, completed: int, total: int) -> None:
        done = completed / total if total else 0.0
        if status == self._status and done < self._logged + STEP:
            return
        self._status, self._logged = status, done
        at, model = self._sent.endpoint, self._sent.model
        logger.info("Pulling %r at %s: %s, %.0f %%", model, at, status, 100 * done)


def _parsed(line: str) -> dict[str, Any]:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        said = {"error": f"no JSON: {line[:80]!r}"}
    return said if isinstance(said, dict) else {"error": f"no object: {line[:80]!r}"}
