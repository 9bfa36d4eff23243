"""How near the best passage is to questions with and without an answer: what a threshold can do.

Run it as `python -m benchmarks.answers ../shared/data/scifact`; it uses the built-in model.
"""

import asyncio
import csv
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
import orjson
from numpy.typing import NDArray

from ingestion_assets.embedding import Ollama
from ingestion_assets.local.services import builtin_embedder

MODEL = "all-minilm"
QUESTIONS = 150
OTHERS = 600  # documents that answer none of them
BATCH = 16
UNRELATED = (
    "How do I bake sourdough bread?", "Which treaty ended the thirty years war?",
    "How do I reset my router to factory settings?", "What is the capital of Mongolia?",
    "Who won the world cup in 1998?", "How do I write a for loop in Python?",
    "What is the best way to learn the guitar?", "How do I change a bicycle tyre?",
    "When does the next train to Paris leave?", "What are the rules of chess castling?",
    "How do I file my income tax return?", "What is the plot of Hamlet?",
    "How tall is the Eiffel tower?", "Which visa do I need for Japan?",
    "How do I repot an orchid?", "What does the error 404 mean?",
    "How can I improve my running technique?", "Who painted the Mona Lisa?",
    "How do I configure a firewall on Linux?", "What is the exchange rate of the euro?",
    "How do I tie a bowline knot?", "When was the printing press invented?",
    "How do I make a strong password?", "What is the difference between a llama and an alpaca?",
    "How long do I boil an egg?", "Where can I rent a car at the airport?",
    "How do I cancel my subscription?", "What is the warranty period of this laptop?",
    "How do I apply for parental leave?", "Which files does the backup include?",
)  # fmt: skip

Matrix = NDArray[np.float32]


@click.command()
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
def main(folder: Path) -> None:
    """Print the best similarities of questions to the SciFact documents in FOLDER."""
    documents = {
        d["_id"]: f"{d['title']} {d['text']}" for d in map(orjson.loads, _lines(folder, "corpus"))
    }
    questions = {q["_id"]: q["text"] for q in map(orjson.loads, _lines(folder, "queries"))}
    relevant: dict[str, set[str]] = {}
    with (folder / "qrels" / "test.tsv").open() as judged:
        for row in csv.DictReader(judged, delimiter="\t"):
            relevant.setdefault(row["query-id"], set()).add(row["corpus-id"])
    chance = random.Random(0)
    asked = chance.sample(sorted(relevant), QUESTIONS)
    needed = set().union(*(relevant[q] for q in asked))
    kept = sorted(needed) + chance.sample(sorted(documents.keys() - needed), OTHERS)
    texts = [documents[d] for d in kept], [questions[q] for q in asked], list(UNRELATED)
    passages, answerable, unrelated = asyncio.run(_embed(*texts))
    scores = answerable @ passages.T
    _show("answerable", scores.max(axis=1))
    for at, question in enumerate(asked):
        scores[at, [kept.index(d) for d in relevant[question]]] = -1
    _show("answers taken out", scores.max(axis=1))
    _show("unrelated", (unrelated @ passages.T).max(axis=1))


def _lines(folder: Path, name: str) -> list[bytes]:
    return (folder / f"{name}.jsonl").read_bytes().splitlines()


async def _embed(*lists: list[str]) -> list[Matrix]:
    with TemporaryDirectory() as state, builtin_embedder(Path(state)) as server:
        async with Ollama(server.address) as ollama:
            return [
                np.vstack(
                    [
                        (await ollama.embed(MODEL, texts[at : at + BATCH], truncate=True)).matrix
                        for at in range(0, len(texts), BATCH)
                    ]
                )
                for texts in lists
            ]


def _show(name: str, best: Matrix) -> None:
    spread = " ".join(f"{value:.3f}" for value in np.percentile(best, [0, 10, 50, 90, 100]))
    refused = ", ".join(f"{t}: {100 * (best < t).mean():.0f} %" for t in (0.2, 0.25, 0.3, 0.4))
    click.echo(f"{name:18} lowest, 10, 50, 90 %, highest: {spread};  refused at {refused}")


if __name__ == "__main__":
    main()
