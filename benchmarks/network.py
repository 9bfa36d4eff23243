"""Two hosts in network namespaces, of which one loses Postgres for a while amid a backfill.

python benchmarks/network.py --partitions 16 --seconds 20

Needs root and iproute2. Each host has two links: one to Postgres, one to Redis and its Ollama.
"""

import asyncio
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import parse_qs, urlsplit

import click
from fleet import trial

from ingestion_assets_tests.end_to_end.project import free_port

HOSTS = 2
NAME = "ingest"  # namespaces and links begin with it


@click.command()
@click.option("--partitions", default=16, show_default=True)
@click.option("--documents", default=40, show_default=True, help="Of a partition.")
@click.option("--text-ms", default=250.0, show_default=True, help="That an Ollama takes a text.")
@click.option("--seconds", default=20.0, show_default=True, help="Without Postgres.")
def main(partitions: int, documents: int, text_ms: float, seconds: float) -> None:
    """Run a backfill on two hosts, and cut one of them off from Postgres."""
    with trial(HOSTS, partitions, documents, text_ms) as tried, ExitStack() as stack:
        loop = stack.enter_context(_loop())
        for n in range(HOSTS):
            stack.enter_context(_host(n))
            data, rest = f"10.99.{2 * n}.1", f"10.99.{2 * n + 1}.1"
            place = urlsplit(tried.database)
            socket = f"{parse_qs(place.query)['host'][0]}/.s.PGSQL.5432"
            postgres = _forward(loop, data, unix=socket)
            redis = _forward(loop, rest, port=tried.fleet.redis_port)
            ollama = _forward(loop, rest, port=urlsplit(tried.doubles[n].url).port)
            tried.fleet.place(
                n,
                ["ip", "netns", "exec", f"{NAME}{n}"],
                INGESTION_DATABASE_URL=f"postgresql://postgres@{data}:{postgres}{place.path}",
                INGEST_REDIS_URL=f"redis://{rest}:{redis}/0",
                OLLAMA_HOSTS=f"http://{rest}:{ollama}",
            )

        def cut() -> None:
            _ip(f"link set {NAME}0a down")
            time.sleep(seconds)
            _ip(f"link set {NAME}0a up")

        click.echo(f"{tried.backfill(cut):.1f} s, {seconds:g} of them without Postgres on one host")
        tried.report()


@contextmanager
def _host(n: int) -> Iterator[None]:
    """A namespace with two links, whose near ends are 10.99.<2n>.1 and 10.99.<2n+1>.1."""
    space = f"{NAME}{n}"
    _ip(f"netns add {space}")
    try:
        _ip(f"-n {space} link set lo up")
        for link, net in ((f"{space}a", 2 * n), (f"{space}b", 2 * n + 1)):
            _ip(f"link add {link} type veth peer name {link}far netns {space}")
            _ip(f"addr add 10.99.{net}.1/24 dev {link}")
            _ip(f"-n {space} addr add 10.99.{net}.2/24 dev {link}far")
            _ip(f"link set {link} up")
            _ip(f"-n {space} link set {link}far up")
        yield
    finally:
        _ip(f"netns del {space}")


def _ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True)


@contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()


def _forward(
    loop: asyncio.AbstractEventLoop, host: str, port: int | None = None, unix: str | None = None
) -> int:
    """Listen at an address, and pass everything on to a local server; the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening = asyncio.open_unix_connection(unix) if unix else _open(port)
        far_reader, far_writer = await opening
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    listening = free_port()
    server = asyncio.start_server(serve, host, listening)
    asyncio.run_coroutine_threadsafe(server, loop).result()
    return listening


async def _open(port: int | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


if __name__ == "__main__":
    main()
