"""A generation that is being filled in; indexed, judged and active out, as far as it has come."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

from psycopg.types.json import Jsonb

from ingestion_assets.embedding.canary import CANARY
from ingestion_assets.errors import StoreError
from ingestion_assets.retrieval.query import Embeds, QueryEmbedder
from ingestion_assets.store import index
from ingestion_assets.store.connection import connect
from ingestion_assets.store.generations import Generation, active
from ingestion_assets.store.generations.activation import (
    Standing,
    activate_when_covered,
    schedule,
    standing,
)

Open = Callable[[], AbstractAsyncContextManager[Embeds]]

logger = logging.getLogger(__name__)


async def promote(url: str, generation: Generation, ollama: Open) -> Standing:
    """Do what is still to be done, one step after the other, whoever else is at it too.

    A step that was interrupted is done again by whoever comes next.

    Args:
        url: of the database.
        ollama: opens what golden questions are embedded by, if there are any.

    Returns:
        How far the generation is then.

    Raises:
        OllamaError: the golden questions cannot be embedded.
        StoreError: Postgres refuses.
    """
    before = None
    while True:
        found = await asyncio.to_thread(_standing, url, generation)
        if found is before:
            return found  # another process is at it
        before = found
        match found:
            case Standing.READY:
                await asyncio.to_thread(_activate, url, generation)
            case Standing.UNINDEXED:
                await asyncio.to_thread(_build, url, generation)
            case Standing.UNGATED:
                await _judge(url, generation, ollama)
            case _:
                return found


async def warm(ollamas: Sequence[Embeds], generation: Generation) -> None:
    """Have servers load a generation's model, so that no question has to wait for it.

    Raises:
        OllamaError: one cannot embed for the generation, or has another model of that name.
    """
    await asyncio.gather(*(QueryEmbedder(each).embed(generation, CANARY) for each in ollamas))


async def _judge(url: str, generation: Generation, ollama: Open) -> None:
    # The worker judges rarely, and holds none of this in memory until then.
    from ingestion_assets.retrieval import golden  # noqa: PLC0415
    from ingestion_assets.store.pool import open_pool  # noqa: PLC0415

    with connect(url) as connection:
        searched, decided = active(connection), schedule(connection, generation)
    if searched is None:
        raise StoreError("no generation is active to compare with; run `ingest run`")
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(open_pool(url))
        embeds = await stack.enter_async_context(ollama())
        gate = await golden.judge(
            pool, embeds, (searched, generation), decided.golden or [], decided.plan.tolerance
        )
    logger.info("The golden questions of generation %d: %s", generation.generation_id, gate)
    await asyncio.to_thread(_keep, url, generation, gate)


def _keep(url: str, generation: Generation, gate: dict[str, Any]) -> None:
    with connect(url) as connection:
        connection.execute(
            "UPDATE ingestion.generations SET gate = %s WHERE generation_id = %s",
            (Jsonb(gate), generation.generation_id),
        )


def _standing(url: str, generation: Generation) -> Standing:
    with connect(url) as connection:
        return standing(connection, generation)


def _activate(url: str, generation: Generation) -> None:
    with connect(url) as connection:
        if activate_when_covered(connection, generation):
            logger.info("Generation %d is active now", generation.generation_id)


def _build(url: str, generation: Generation) -> None:
    logger.info("Building the index of generation %d", generation.generation_id)
    with connect(url) as connection:
        index.build_vector_index(connection, generation)
