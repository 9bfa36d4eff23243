"""How near the embedding engine comes to what servers can give, and what it costs.

uv run --no-sync python benchmarks/embedding.py --rounds 3 --only one_slot zero
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import ParamSpec

import clients
from clients import Figures
from psycopg import sql

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.settings import Settings
from ingestion_assets.store.connection import connect
from ingestion_assets.store.schema import migrate
from ingestion_assets_tests.services.faulty_ollama import Double, running

P = ParamSpec("P")

ONE_SLOT = {"slots": 1, "request_ms": 8, "text_ms": 2}
EIGHT_SLOTS = {"slots": 8, "request_ms": 40, "text_ms": 4}
ZERO = {"dimensions": 768}
CONTEXT = {"context": 2048}
TUNED = (2, 4, 8, 12, 16, 32)  # requests in flight that the load generator tries
_DOCUMENTS = 100


class Bench:
    """A database with chunks to embed, and rounds of clients on it."""

    def __init__(self, database: str, *, rounds: int, scale: float, batch_size: int) -> None:
        self.database = database
        self.rounds = rounds
        self.batch_size = batch_size
        self._scale = scale
        migrate(database)

    def texts(self, usual: int) -> int:
        """How many texts to embed where usually so many are."""
        return max(int(usual * self._scale), 64)

    def chunks(self, texts: int) -> str:
        """The key of a partition with so many chunks of 830 characters, none with a vector."""
        key = f"bench/{texts}"
        with connect(self.database) as connection:
            for (number,) in connection.execute("SELECT generation_id FROM ingestion.generations"):
                table = sql.Identifier("ingestion", f"embeddings_{number}")
                connection.execute(sql.SQL("TRUNCATE {}").format(table))
            connection.execute(_SOURCE)
            connection.execute(_LOAD_DOCUMENTS, {"key": key, "documents": _DOCUMENTS})
            connection.execute(_LOAD_CHUNKS, {"key": key, "documents": _DOCUMENTS, "rows": texts})
            connection.execute("VACUUM ANALYZE ingestion.chunks")
            connection.execute("CHECKPOINT")
        return key

    def product(self, texts: int, *doubles: Double, **overrides: int) -> Figures:
        """One run of the product, with its default settings but for the overrides."""
        hosts = [double.url for double in doubles]
        settings = Settings(**{"batch_size": self.batch_size, **overrides})  # type: ignore[arg-type]
        return alone(clients.product, self.database, hosts, self.chunks(texts), texts, settings)


_SOURCE = "INSERT INTO ingestion.sources VALUES ('bench', 'files', '{}', 1) ON CONFLICT DO NOTHING"
_LOAD_DOCUMENTS = """
INSERT INTO ingestion.documents
SELECT md5(%(key)s || i)::uuid, 'bench', %(key)s, %(key)s || i, 'text/plain', '', '', '', '{}',
       NULL, NULL, 0, now(), now()
FROM generate_series(0, %(documents)s - 1) i
ON CONFLICT DO NOTHING
"""
_LOAD_CHUNKS = """
INSERT INTO ingestion.chunks
SELECT (left(d, 16) || left(md5(i::text), 16))::uuid, d::uuid, %(key)s, i, '',
       repeat(md5(d || i) || ' ', 25), decode(md5(d || i), 'hex'), 200, 0, 825, 'bench'
FROM (
    SELECT i, md5(%(key)s || i %% %(documents)s) AS d FROM generate_series(1, %(rows)s) i
) numbered
ON CONFLICT DO NOTHING
"""


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as state, embedded_postgres(Path(state)) as postgres:
        bench = Bench(
            postgres.address,
            rounds=arguments.rounds,
            scale=arguments.texts,
            batch_size=arguments.batch_size,
        )
        for name in arguments.only:
            print(f"\n{name.replace('_', ' ')}, load {os.getloadavg()[0]:.1f}")
            SCENARIOS[name](bench)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--texts", type=float, default=1.0, help="times as many as usual")
    parser.add_argument("--batch-size", type=int, default=Settings.batch_size, help="of all")
    parser.add_argument("--rounds", type=int, default=3, help="the medians are shown")
    return parser.parse_args()


def one_slot(bench: Bench) -> None:
    """One slot, 8 ms a request and 2 ms a text."""
    _share(bench, bench.texts(6_000), ONE_SLOT, target=0.98)


def eight_slots(bench: Bench) -> None:
    """Eight slots, 40 ms a request and 4 ms a text."""
    _share(bench, bench.texts(16_000), EIGHT_SLOTS, target=0.95)


def _share(bench: Bench, texts: int, server: dict[str, int], *, target: float) -> None:
    batch = bench.batch_size
    with running(**server, **CONTEXT) as double:
        in_flight = _tuned(double, texts // 8, batch)
        limits, products, connections = [], [], []
        for _ in range(bench.rounds):
            limits.append(alone(clients.load_generator, double.url, texts, batch, in_flight))
            double.reset(**server, **CONTEXT)
            products.append(bench.product(texts, double))
            connections.append(_connections(double))
    limit = median(run.rate for run in limits)
    rate = median(run.rate for run in products)
    _line(f"limit, {batch} texts a request, {in_flight} in flight", f"{limit:,.0f} texts/s")
    _line(f"product, at most {products[-1].limit} in flight", f"{rate:,.0f} texts/s")
    _line("share of the limit", f"{rate / limit:.3f}", f">= {target}")
    _line("connections, and when the last one was opened", "; ".join(connections))


def _tuned(double: Double, texts: int, batch: int) -> int:
    """Requests in flight with which the load generator gets the most, the fewest within 1 %."""
    rates = {n: alone(clients.load_generator, double.url, texts, batch, n).rate for n in TUNED}
    return next(n for n in TUNED if rates[n] >= 0.99 * max(rates.values()))


def zero(bench: Bench) -> None:
    """A server that computes for no time: what the client itself costs."""
    texts = bench.texts(20_000)
    samples: dict[str, list[Figures]] = {}
    with running(**ZERO, **CONTEXT) as double:
        for _ in range(bench.rounds):
            for name, run in _zero_runs(bench, double, texts).items():
                samples.setdefault(name, []).append(run())
                if name == PRODUCT:
                    connections = _connections(double)
    print(f"{texts:,} x 768{'':28}chunks/s   CPU s/1,000   to the product")
    ours = median(run.cpu_per_1000 for run in samples[PRODUCT])
    for name, runs in samples.items():
        rate, cpu = median(run.rate for run in runs), median(run.cpu_per_1000 for run in runs)
        print(f"{name:36}{rate:12,.0f}{cpu:14.4f}{cpu / ours:14.2f}")
    rate = median(run.rate for run in samples[PRODUCT])
    _line("product, chunks/s", f"{rate:,.0f}", ">= 8,000")
    _line("product, CPU s/1,000", f"{ours:.4f}", "<= 0.08")
    _line("connections, and when the last one was opened", connections, "none after 1 s")


PRODUCT = "product"


def _zero_runs(bench: Bench, double: Double, texts: int) -> dict[str, Callable[[], Figures]]:
    database = bench.database

    def ours() -> Figures:
        double.reset(**ZERO, **CONTEXT)
        return bench.product(texts, double)

    return {
        "raw load generator, nothing stored": lambda: alone(
            clients.load_generator, double.url, texts, bench.batch_size, 4
        ),
        "pre-packed COPY": lambda: alone(clients.packed_copy, database, bench.chunks(texts), texts),
        PRODUCT: ours,
        "by hand: httpx, json, COPY by row": lambda: alone(
            clients.by_hand, database, double.url, bench.chunks(texts), texts
        ),
    }


def memory(bench: Bench) -> None:
    """Peak memory of the client as the number of chunks grows tenfold."""
    few, many = bench.texts(20_000), bench.texts(200_000)
    with running(**ZERO, **CONTEXT) as double:
        peaks = [bench.product(texts, double).peak for texts in (few, many)]
    _line(f"peak at {few:,} chunks", f"{peaks[0]:.0f} MB")
    _line(f"peak at {many:,} chunks", f"{peaks[1]:.0f} MB", "the same")


def two_servers(bench: Bench) -> None:
    """Two servers of one slot each against one."""
    texts = bench.texts(4_000)
    with running(**ONE_SLOT, **CONTEXT) as one, running(**ONE_SLOT, **CONTEXT) as two:
        ratios = [
            bench.product(texts, one, two).rate / bench.product(texts, one).rate
            for _ in range(bench.rounds)
        ]
    _line("two servers to one", f"{median(ratios):.2f}", ">= 1.9")


def sequential(bench: Bench) -> None:
    """The default settings against one request in flight, on eight slots."""
    texts = bench.texts(2_000)
    with running(**EIGHT_SLOTS, **CONTEXT) as double:
        ratios = [
            bench.product(texts, double).rate
            / bench.product(texts, double, workers=1, max_workers=1).rate
            for _ in range(bench.rounds)
        ]
    _line("parallel to sequential", f"{median(ratios):.2f}", ">= 2")


SCENARIOS: dict[str, Callable[[Bench], None]] = {
    scenario.__name__: scenario
    for scenario in (one_slot, eight_slots, zero, memory, two_servers, sequential)
}


def alone(client: Callable[P, Figures], *args: P.args, **kwargs: P.kwargs) -> Figures:
    """Run a client in a fresh process, so that its CPU and memory are its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(client, *args, **kwargs).result()


def _connections(double: Double) -> str:
    stats = double.stats()
    return f"{stats['connections']}, after {stats['last_connection']:.2f} s"


def _line(what: str, figure: str, target: str = "") -> None:
    print(f"{what:48}{figure:>18}   {target}")


if __name__ == "__main__":
    main()
