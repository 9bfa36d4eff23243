"""Retrieval quality on SciFact (BEIR), through the product's own path: ingest run, then search.

python benchmarks/scifact.py ../shared/data/scifact
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from math import log2
from pathlib import Path
from statistics import median

import click

from ingestion_assets.chunks.tokens import counter_for
from ingestion_assets.embedding import Ollama
from ingestion_assets.local.services import Services, local_services
from ingestion_assets.retrieval.query import QueryEmbedder
from ingestion_assets.retrieval.request import Filters, Method, Search
from ingestion_assets.retrieval.searcher import Searcher
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.index import build_text_index
from ingestion_assets.store.pool import open_pool

ROOT = Path(__file__).parents[1]
METHODS: tuple[Method, ...] = ("vector", "text", "hybrid")
# Tokens of a chunk without the two special ones: the model's context, and a hundred words.
SOURCES = {"whole": 254, "words100": 160}
DEEP = 100  # chunks, of which the best of each document counts

Judgments = Mapping[str, Mapping[str, int]]


@click.command()
@click.argument("data", type=click.Path(exists=True, path_type=Path), required=False)
def main(data: Path | None) -> None:
    """Print nDCG@10 of every method, one chunk a document and chunked at 100 words."""
    data = data or ROOT.parent / "shared/data/scifact"
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        write_project(project, data)
        with local_services(Settings(state=project / "state")) as services:
            for source, tokens in SOURCES.items():
                ingest(project, services, source, tokens)
            with connect(services.database_url) as connection:
                build_text_index(connection, Settings.text_language)
            asyncio.run(evaluate(services, data))


def write_project(project: Path, data: Path) -> None:
    """Each document twice: as much as the model reads of it, and all of it."""
    counter = counter_for(Settings.model)
    for name in ("dagster.yaml", "workspace.yaml"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    for source in SOURCES:
        (project / source).mkdir()
    for line in (data / "corpus.jsonl").open():
        document = json.loads(line)
        text = f"{document['title']} {document['text']}".strip()
        read = counter.spans(text)[: SOURCES["whole"]]
        (project / "whole" / f"{document['_id']}.txt").write_text(text[: read[-1][1]])
        (project / "words100" / f"{document['_id']}.txt").write_text(text)
    listed = "".join(f"  - {{name: {source}, root: {source}}}\n" for source in SOURCES)
    (project / "sources.yaml").write_text(f"sources:\n{listed}")


def ingest(project: Path, services: Services, source: str, tokens: int) -> None:
    """Run `ingest run` for one source."""
    environment = {
        **os.environ,
        "INGESTION_DATABASE_URL": services.database_url,
        "OLLAMA_HOST": services.ollama_host,
        "INGEST_CHUNK_TOKENS": str(tokens),
        "INGEST_CHUNK_OVERLAP": "0",
    }
    command = [sys.executable, "-m", "ingestion_assets", "run", source]
    subprocess.run(command, cwd=project, env=environment, check=True)


async def evaluate(services: Services, data: Path) -> None:
    """Ask every question by every method, and print what comes of it."""
    questions = dict(_questions(data))
    judgments = _judgments(data)
    click.echo("source    method   nDCG@10  search ms")
    async with open_pool(services.database_url) as pool, Ollama(services.ollama_host) as ollama:
        searcher = Searcher(pool, QueryEmbedder(ollama, cached=len(judgments)))
        for source in SOURCES:
            for method in METHODS:
                scores, times = [], []
                for key, relevant in judgments.items():
                    filters = Filters(source=source)
                    request = Search(questions[key], DEEP, method, "exact", filters)
                    results = await searcher.search(request)
                    found = dict.fromkeys(Path(hit.uri).stem for hit in results.hits)
                    scores.append(ndcg(list(found), relevant))
                    times.append(results.timings["search"])
                mean = sum(scores) / len(scores)
                click.echo(f"{source:9} {method:8} {mean:.5f} {median(times):10.1f}")


def ndcg(found: Sequence[str], relevant: Mapping[str, int], k: int = 10) -> float:
    """Normalised discounted cumulative gain at k, as BEIR counts it."""
    gain = sum(relevant.get(key, 0) / log2(rank + 2) for rank, key in enumerate(found[:k]))
    ideal = sorted(relevant.values(), reverse=True)[:k]
    return gain / sum(grade / log2(rank + 2) for rank, grade in enumerate(ideal))


def _questions(data: Path) -> Iterator[tuple[str, str]]:
    for line in (data / "queries.jsonl").open():
        question = json.loads(line)
        yield question["_id"], question["text"]


def _judgments(data: Path) -> Judgments:
    """Grades of documents by question."""
    judgments: dict[str, dict[str, int]] = {}
    for line in (data / "qrels/test.tsv").read_text().splitlines()[1:]:
        question, document, grade = line.split("\t")
        judgments.setdefault(question, {})[document] = int(grade)
    return judgments


if __name__ == "__main__":
    started = time.perf_counter()
    main(standalone_mode=False)
    click.echo(f"{time.perf_counter() - started:.0f} s in all")
