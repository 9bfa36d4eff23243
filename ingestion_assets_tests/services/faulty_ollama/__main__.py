"""Run it by hand: `python -m ingestion_assets_tests.services.faulty_ollama --port 11434`."""

import asyncio
from typing import Any

import click
import orjson

from ingestion_assets_tests.services.faulty_ollama.breaking import FaultyOllama
from ingestion_assets_tests.services.faulty_ollama.runner import Config

EXAMPLES = """\b
A server on which one text kills the runner, and every tenth request is refused by a proxy:
  --rule '{"fault": "F6", "match": "poison"}'
  --rule '{"fault": "F14", "status": 429, "retry_after": "2", "probability": 0.1}'
A slow one of four slots, 20 ms a request and 4 ms a text, which needs 3 s to load its model:
  --config '{"slots": 4, "request_ms": 20, "text_ms": 4, "load_ms": 3000}'
Other rules for a running server, and what it saw so far:
  curl localhost:11434/_faults -d '[{"fault": "F13", "until": 30}]'
  curl localhost:11434/_stats
All faults and conditions: README.md beside this program."""


def _parsed(_: click.Context, __: click.Parameter, value: Any) -> Any:
    try:
        return [orjson.loads(v) for v in value] if isinstance(value, tuple) else orjson.loads(value)
    except orjson.JSONDecodeError as exc:
        raise click.BadParameter(f"it is no JSON: {exc}") from exc


@click.command(epilog=EXAMPLES)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind to.")
@click.option("--port", default=0, show_default=True, help="0 picks a free one.")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    callback=_parsed,
    metavar="JSON",
    help="A fault and the requests it strikes; the first rule that strikes wins. Repeatable.",
)
@click.option(
    "--config",
    default="{}",
    callback=_parsed,
    metavar="JSON",
    help="model, models, chat_model, dimensions, context, slots, rtt_ms, request_ms, text_ms,"
    " load_ms, max_queue, chat_words, token_ms.",
)
def main(host: str, port: int, rules: list[dict[str, Any]], config: dict[str, Any]) -> None:
    """Serve Ollama's embedding API with deterministic vectors, and faults by rule.

    Prints its URL, and serves until it is interrupted.
    """
    config["rules"] = [*config.get("rules", ()), *rules]
    try:
        double = Config(**config)
    except TypeError as exc:
        raise click.UsageError(f"--config: {exc}") from exc
    asyncio.run(_serve(host, port, double))


async def _serve(host: str, port: int, config: Config) -> None:
    double = FaultyOllama(config)
    click.echo(f"http://{host}:{await double.listen(host, port)}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
