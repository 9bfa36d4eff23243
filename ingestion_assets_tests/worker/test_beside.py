"""What is not searched yet is filled behind everything else."""

import asyncio

from psycopg import sql

from ingestion_assets.embedding import Identity, Ollama
from ingestion_assets.retrieval.recipes import recipe
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation, Plan
from ingestion_assets.store.generations.opening import reembed
from ingestion_assets.worker.beside import Yielding
from ingestion_assets_tests.services.faulty_ollama import Double
from ingestion_assets_tests.worker.conftest import Start
from ingestion_assets_tests.worker.given import are_right, insert, wait_until_stored
from ingestion_assets_tests.worker.running import wait_for

TEXTS = 200
MODELS = {"other": 128}
_IS_FIRST = """
SELECT (SELECT embedded_at FROM ingestion.embeddings_1 JOIN ingestion.chunks USING (chunk_id)
        WHERE text LIKE 'meanwhile%') < max(embedded_at)
FROM ingestion.embeddings_2 JOIN ingestion.chunks USING (chunk_id) WHERE text LIKE 'before%'
"""


def _opened(connection: Connection, double: Double, **plan: bool) -> Generation:
    async def identify() -> Identity:
        async with Ollama(double.url) as ollama:
            return await ollama.identify("other")

    return reembed(connection, recipe(asyncio.run(identify())), Plan(**plan))


def _embedded(connection: Connection, generation: Generation) -> int:
    row = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(generation.table)).fetchone()
    return int(row[0]) if row else 0


def test_what_comes_meanwhile_is_embedded_first_and_requests_are_few(
    start: Start, connection, double
):
    double.reset(models=MODELS)
    insert(connection, "before.md", TEXTS)
    with start("--backfill") as process:
        assert process.popen.wait(60) == 0
    double.reset(models=MODELS, text_ms=25)
    second = _opened(connection, double)
    with start():
        wait_for(lambda: _embedded(connection, second) > 0)
        assert double.stats()["max_in_flight"] <= 2  # of the canary; of the texts there is one
        insert(connection, "meanwhile.md")
        wait_for(lambda: _embedded(connection, second) == TEXTS + 1)
        assert connection.execute(_IS_FIRST).fetchone() == (True,)
        insert(connection, "afterwards.md")
        wait_for(lambda: _embedded(connection, second) == TEXTS + 2)


def test_a_model_that_is_missing_disturbs_nobody(start: Start, connection, double):
    double.reset(models=MODELS)
    insert(connection, "before.md", 3)
    with start() as process:
        wait_until_stored(connection, 3)
        second = _opened(connection, double, activate=False)
        double.reset()
        process.wait_for_log("Generation 2 is not filled")
        insert(connection, "meanwhile.md")
        wait_until_stored(connection, 4)
        assert are_right(connection, double)
        double.reset(models=MODELS)
        wait_for(lambda: _embedded(connection, second) == 4)


async def test_it_yields_until_nothing_goes_first() -> None:
    yielding = Yielding()
    await yielding.wait(1)
    with yielding, yielding:
        waiting = asyncio.create_task(yielding.wait(1))
        await asyncio.sleep(0)
        assert not waiting.done()
    await waiting
