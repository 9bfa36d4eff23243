"""Partition runs on several Celery workers: how much faster, and what is left of it in trouble.

python benchmarks/fleet.py speed kill restarts queue limit

Redis, webserver, daemon and workers are the real ones, each started by its documented command;
every Ollama is the double, which computes one request at a time.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count, pairwise
from pathlib import Path
from signal import SIGKILL
from typing import Any

import click
import httpx
import psycopg

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.settings import Settings
from ingestion_assets.sources import Source
from ingestion_assets_tests.end_to_end.fleet import Fleet, missing
from ingestion_assets_tests.end_to_end.project import Project, free_port, wait_for
from ingestion_assets_tests.services.faulty_ollama import Double, running

WORKERS = 4
QUERIES = 20  # a second
HOURS = 4 * 3600.0  # seconds until a trial is given up
_STORED = """
SELECT (SELECT count(*) FROM ingestion.documents), (SELECT count(*) FROM ingestion.chunks),
       (SELECT count(*) FROM ingestion.embeddings),
       (SELECT count(DISTINCT chunk_id) FROM ingestion.embeddings),
       (SELECT count(*) FROM ingestion.ledger)
"""
_DONE = "SELECT count(DISTINCT partition) FROM runs WHERE status = 'SUCCESS'"
_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


class Trial:
    """A fleet with work for it, and what became of that.

    Args:
        documents: in each partition; each becomes one chunk.
    """

    def __init__(
        self, fleet: Fleet, doubles: list[Double], database: str, source: Source, documents: int
    ) -> None:
        self.fleet, self.doubles, self.database = fleet, doubles, database
        self._source, self._documents = source, documents
        self.connections = 0  # to Postgres, the most at once

    def backfill(self, trouble: Callable[[], None] | None = None) -> float:
        """Run all partitions; the seconds from the first run's start to the last one's end.

        Args:
            trouble: called once, when a quarter of the partitions is done.
        """
        self.fleet.start()
        self.fleet.dagster.stop_automation()  # before there is anything that it would run
        _write(self.fleet.project, self._source, self._documents)
        keys = self._source.partition_keys()
        self.fleet.dagster.backfill(keys)
        wait_for(lambda: self._done() >= len(keys) // 4, HOURS)
        if trouble:
            trouble()
        wait_for(lambda: self._done() == len(keys), HOURS)
        runs = self.fleet.dagster.runs()
        return max(_times(runs, "endTime")) - min(_times(runs, "startTime"))

    def report(self) -> None:
        """Say what is lost or doubled, at which ends, and what was in use."""
        documents, chunks, vectors, embedded, waiting = self._ask(_STORED)
        runs = self.fleet.dagster.runs()
        written = self._documents * self._source.buckets
        failed = sum(run["status"] != "SUCCESS" for run in runs)
        sent = sum(double.stats()["texts_embedded"] for double in self.doubles)
        most = [double.stats()["max_computing"] for double in self.doubles]
        click.echo(
            f"  {len(runs)} runs, {failed} of them failed; of {written} documents lost"
            f" {written - documents}, of {chunks} chunks {chunks - embedded}, vectors doubled"
            f" {vectors - embedded}, waiting {waiting}\n"
            f"  texts sent beyond one each, known ones of checks included: {sent - chunks};"
            f" most requests at once at each Ollama: {most};"
            f" connections to Postgres: {self.connections} at most"
            f"   load {os.getloadavg()[0]:.1f}"
        )

    def rates(self, parts: int = 10) -> list[float]:
        """Runs ended a second, in each tenth of them."""
        ends = sorted(_times(self.fleet.dagster.runs(), "endTime"))
        cuts = [ends[n * (len(ends) - 1) // parts] for n in range(parts + 1)]
        return [len(ends) / parts / (later - earlier) for earlier, later in pairwise(cuts)]

    def taken_over(self, since: float) -> float:
        """Seconds from a time until the runs that were repeated have ended."""
        runs = self.fleet.dagster.runs()
        lost = {_partition(run) for run in runs if run["status"] == "FAILURE"}
        assert lost, "no run was lost"
        return max(_times([run for run in runs if _partition(run) in lost], "endTime")) - since

    def _done(self) -> int:
        """Partitions of which a run has succeeded."""
        self.connections = max(self.connections, self._ask(_CONNECTIONS)[0])
        return int(self._ask(_DONE)[0])

    def _ask(self, query: Any) -> tuple[Any, ...]:
        with psycopg.connect(self.database) as connection:
            found = connection.execute(query).fetchone()
        assert found
        return found


@click.command()
@click.argument(
    "scenarios", nargs=-1, type=click.Choice(["speed", "kill", "restarts", "queue", "limit"])
)
@click.option("--partitions", default=16, show_default=True, help="1,000 of them for `queue`.")
@click.option("--documents", default=40, show_default=True, help="Of a partition.")
@click.option("--text-ms", default=750.0, show_default=True, help="That an Ollama takes a text.")
def main(scenarios: tuple[str, ...], partitions: int, documents: int, text_ms: float) -> None:
    """Try a fleet of four workers in these SCENARIOS."""
    if reason := missing():
        raise click.ClickException(reason)
    for name in scenarios:
        click.echo(f"{name}: {partitions} partitions of {documents} documents, {text_ms:g} ms each")
        SCENARIOS[name](partitions, documents, text_ms)


def speed(*work: Any) -> None:
    """Four workers with an Ollama each, against one with one."""
    seconds = []
    for workers in (1, WORKERS):
        with trial(workers, *work) as tried:
            seconds.append(tried.backfill())
            click.echo(f"  {workers} workers: {seconds[-1]:.1f} s")
            tried.report()
    click.echo(f"  {seconds[0] / seconds[1]:.2f} times as fast")


def kill(*work: Any) -> None:
    """A host is lost: worker and run are killed at once, and nobody is told."""
    killed = []

    def trouble() -> None:
        killed.append(time.time())
        tried.fleet.end("worker-0", SIGKILL)

    with trial(WORKERS, *work) as tried:
        tried.backfill(trouble)
        click.echo(f"  finished elsewhere {tried.taken_over(killed[0]):.1f} s after the kill")
        tried.report()


def restarts(*work: Any) -> None:
    """Redis is stopped for five seconds, then the daemon is killed and started again."""

    def trouble() -> None:
        tried.fleet.end("redis")
        time.sleep(5)
        tried.fleet.start_redis()
        tried.fleet.end("daemon", SIGKILL)
        tried.fleet.start_daemon()
        tried.fleet.dagster.start_sensor("documents_changed")  # it sees to lost runs, too

    with trial(WORKERS, *work) as tried:
        click.echo(f"  {tried.backfill(trouble):.1f} s")
        tried.report()


def queue(*work: Any) -> None:
    """Many partitions at once: the rate at which they end, from the first tenth to the last."""
    with trial(WORKERS, *work) as tried:
        click.echo(f"  {tried.backfill():.1f} s")
        click.echo("  runs a second, by tenths: " + " ".join(f"{r:.2f}" for r in tried.rates()))
        tried.report()


def limit(*work: Any) -> None:
    """Everybody uses every Ollama: four workers, two live ones, and questions all the time."""
    most = Settings(max_workers=1).max_in_flight
    with trial(WORKERS, *work, shared=True, most=1) as tried, ThreadPoolExecutor(50) as ask:
        port = str(free_port())
        answers: list[bool] = []

        def everybody() -> None:
            for n in range(2):
                tried.fleet.start_command(f"live-{n}", "worker", INGEST_WORKER_PORT="0")
            tried.fleet.start_command("serve", "serve", "-p", port, INGEST_API_RATE="1000")
            wait_for(lambda: _answers(f"http://127.0.0.1:{port}", "first"), 60)
            ask.submit(_question, ask, f"http://127.0.0.1:{port}", answers)

        tried.backfill(everybody)
        ask.shutdown(cancel_futures=True)
        click.echo(f"  limit {most}; {sum(answers)} of {len(answers)} questions answered")
        tried.report()


SCENARIOS = {f.__name__: f for f in (speed, kill, restarts, queue, limit)}


@contextmanager
def trial(
    workers: int, partitions: int, documents: int, text_ms: float, *, shared: bool = False,
    most: int = Settings.max_workers,
) -> Iterator[Trial]:  # fmt: skip
    """A new database, an Ollama for each worker, and everything between them.

    Args:
        shared: whether every process uses all of the Ollamas.
        most: INGEST_MAX_WORKERS of all processes.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        database = stack.enter_context(embedded_postgres(folder)).address
        doubles = [stack.enter_context(running(slots=1, text_ms=text_ms)) for _ in range(workers)]
        urls = [double.url for double in doubles]
        everybody = ",".join(urls)
        source = Source("notes", root=Path("documents"), buckets=partitions)
        listing = f"sources: [{{name: notes, root: documents, buckets: {partitions}}}]"
        environment = {"INGESTION_DATABASE_URL": database, "OLLAMA_HOSTS": everybody}
        environment["INGEST_MAX_WORKERS"] = str(most)
        (folder / "project").mkdir()
        project = Project(folder / "project", listing, environment)
        hosts = [everybody] * workers if shared else urls
        fleet = stack.enter_context(Fleet(project, hosts))
        yield Trial(fleet, doubles, database, source, documents)


def _write(project: Project, source: Source, documents: int) -> None:
    """As many documents in every partition, whatever their names hash to."""
    left = dict.fromkeys(source.partition_keys(), documents)
    for n in count():
        key = source.partition_key(f"{n}.md")
        if left[key]:
            left[key] -= 1
            project.write(f"{n}.md", f"# Note {n}\n\nThe word of note {n} is w{n}.\n")
        if not any(left.values()):
            return


def _times(runs: list[dict[str, Any]], name: str) -> list[float]:
    return [run[name] for run in runs if run[name]]


def _partition(run: dict[str, Any]) -> str:
    return next(str(t["value"]) for t in run["tags"] if t["key"] == "dagster/partition")


def _question(pool: ThreadPoolExecutor, url: str, answers: list[bool]) -> None:
    """Ask so many a second, whether or not the last ones are answered, until the pool ends."""
    for n in count():
        try:
            pool.submit(lambda text: answers.append(_answers(url, text)), f"question {n}")
        except RuntimeError:  # the pool is shut down
            return
        time.sleep(1 / QUERIES)


def _answers(url: str, question: str) -> bool:
    try:
        query = {"q": question, "method": "vector"}
        return httpx.get(f"{url}/api/search", params=query, timeout=60).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
