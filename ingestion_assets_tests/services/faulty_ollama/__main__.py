"""Run it by hand: `python -m ingestion_assets_tests.services.faulty_ollama --port 11434`."""

import asyncio

import click
import orjson

from ingestion_assets_tests.services.faulty_ollama.breaking import FaultyOllama
from ingestion_assets_tests.services.faulty_ollama.runner import Config


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=0, show_default=True, help="0 picks a free one.")
@click.option("--config", default="{}", help="JSON: the fields of runner.Config, rules included.")
def main(host: str, port: int, config: str) -> None:
    """Serve Ollama's embedding API with deterministic vectors, and faults by rule."""
    asyncio.run(_serve(host, port, Config(**orjson.loads(config))))


async def _serve(host: str, port: int, config: Config) -> None:
    double = FaultyOllama(config)
    click.echo(f"http://{host}:{await double.listen(host, port)}")
    await asyncio.Event().wait()


main()
