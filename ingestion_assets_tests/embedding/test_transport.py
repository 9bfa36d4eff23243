"""A server of raw sockets, so that every answer is exactly what a server may send."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvloop

from ingestion_assets.embedding.classify import Sent
from ingestion_assets.embedding.connection import Connection
from ingestion_assets.errors import OllamaRequestError, OllamaTimeoutError, OllamaUnavailableError

Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\n"


class Server:
    """Says what it is told to each request; counts connections and requests."""

    def __init__(self, *answers: bytes, say: Say | None = None, ends: bool = False) -> None:
        self.answers = answers
        self.say = say
        self.ends = ends
        self.heads: list[bytes] = []
        self.connections = 0
        self.lost = asyncio.Event()
        self.url = ""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                if self.say is not None:
                    await self.say(reader, writer, number)
                else:
                    writer.write(self.answers[min(len(self.heads), len(self.answers)) - 1])
                    await writer.drain()
                if self.ends:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.lost.set()
        finally:
            writer.close()

    @asynccontextmanager
    async def connected(self, *, patience: float = 5.0, kept: int = 2) -> AsyncIterator[Connection]:
        server = await asyncio.start_server(self, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with (
            server,
            Connection(
                self.url,
                api_key="secret",
                connections=2,
                keepalive=kept,
                timeout=patience,
                transport=None,
            ) as connection,
        ):
            yield connection

    @property
    def sent(self) -> Sent:
        return Sent(self.url, "/api/version")


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 5\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nTrailer: z\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\nX: y\r\n\r\n" + OK + b"Content-Length: 5\r\n\r\nhello",
    ],
    ids=["length", "chunks", "trailer", "informational"],
)
async def test_an_answer_is_read_however_it_is_framed_and_its_connection_kept(answer):
    server = Server(answer)
    async with server.connected() as connection:
        for _ in range(3):
            assert await connection.exchange(server.sent) == b"hello"
    assert server.connections == 1


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_without_a_length_ends_with_its_connection(version):
    server = Server(b"HTTP/" + version + b" 200 OK\r\n\r\nhello", ends=True)
    async with server.connected() as connection:
        assert await connection.exchange(server.sent) == b"hello"
        assert await connection.exchange(server.sent) == b"hello"
    assert server.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"Content-Length: 50\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        OK + b"Content-Le",
        b"",
        b"what?\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    ],
    ids=["short", "half a chunk", "half a head", "nothing", "another protocol", "upgrade"],
)
async def test_half_an_answer_is_none(answer):
    server = Server(answer, ends=True)
    async with server.connected() as connection:
        with pytest.raises(OllamaUnavailableError):
            await connection.exchange(server.sent)
    assert len(server.heads) == 1  # a new connection is not stale


async def test_more_than_was_asked_for_is_not_taken_for_the_next_answer():
    hello, other = OK + b"Content-Length: 5\r\n\r\nhello", OK + b"Content-Length: 5\r\n\r\nother"
    server = Server(hello + other, hello)
    async with server.connected() as connection:
        assert await connection.exchange(server.sent) == b"hello"
        assert await connection.exchange(server.sent) == b"hello"
    assert server.connections == 2


async def test_a_kept_connection_that_was_closed_costs_no_failure():
    async def say(_: object, writer: asyncio.StreamWriter, number: int) -> None:
        if len(server.heads) == 2:  # the second request, on the first connection
            writer.transport.abort()
        else:
            writer.write(OK + b"Content-Length: 1\r\n\r\n%d" % number)

    server = Server(say=say)
    async with server.connected() as connection:
        assert await connection.exchange(server.sent) == b"1"
        assert await connection.exchange(server.sent) == b"2"
        assert connection.stats.retries == 1


async def test_a_request_is_repeated_on_a_new_connection_only_once():
    async def say(_: object, writer: asyncio.StreamWriter, number: int) -> None:
        if len(server.heads) == 1:
            writer.write(OK + b"Content-Length: 1\r\n\r\n%d" % number)
        else:
            writer.transport.abort()

    server = Server(say=say)
    async with server.connected() as connection:
        await connection.exchange(server.sent)
        with pytest.raises(OllamaUnavailableError):
            await connection.exchange(server.sent)
    assert len(server.heads) == 3


async def test_the_time_between_two_bytes_counts_and_not_their_sum():
    async def say(_: object, writer: asyncio.StreamWriter, __: int) -> None:
        writer.write(OK + b"Content-Length: 6\r\n\r\n")
        for byte in b"hello!":
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)

    server = Server(say=say)
    async with server.connected(patience=0.4) as connection:
        assert await connection.exchange(server.sent) == b"hello!"


async def test_silence_is_a_timeout_and_ends_its_connection():
    async def say(reader: asyncio.StreamReader, *_: object) -> None:
        await reader.read()
        server.lost.set()

    server = Server(say=say)
    async with server.connected(patience=0.1) as connection:
        with pytest.raises(OllamaTimeoutError):
            await connection.exchange(server.sent)
        await asyncio.wait_for(server.lost.wait(), 10)


async def test_a_cancelled_request_ends_its_connection():
    asked = asyncio.Event()

    async def say(reader: asyncio.StreamReader, *_: object) -> None:
        asked.set()
        await reader.read()
        server.lost.set()

    server = Server(say=say)
    async with server.connected() as connection:
        task = asyncio.create_task(connection.exchange(server.sent))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.lost.wait(), 10)


async def test_no_more_connections_are_open_or_kept_than_allowed():
    most = now = 0

    async def say(_: object, writer: asyncio.StreamWriter, __: int) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.02)
        now -= 1
        writer.write(OK + b"Content-Length: 1\r\n\r\n1")

    server = Server(say=say)
    async with server.connected(kept=1) as connection:
        await asyncio.gather(*(connection.exchange(server.sent) for _ in range(8)))
        assert most == 2
        opened = server.connections
        await connection.exchange(server.sent)
        assert server.connections == opened  # one was kept


async def test_the_connection_used_last_is_used_next():
    async def say(_: object, writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.02 if number == 1 else 0.1)
        writer.write(OK + b"Content-Length: 1\r\n\r\n%d" % number)

    server = Server(say=say)
    async with server.connected() as connection:
        both = await asyncio.gather(*(connection.exchange(server.sent) for _ in range(2)))
        assert sorted(both) == [b"1", b"2"]
        assert [await connection.exchange(server.sent) for _ in range(3)] == [b"2"] * 3


async def test_the_request_is_what_any_server_understands():
    server = Server(OK + b"Content-Length: 2\r\n\r\n{}")
    async with server.connected() as connection:
        await connection.exchange(server.sent)
    first, *lines = server.heads[0].decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines if line)
    assert first == "GET /api/version HTTP/1.1"
    assert headers["host"] == server.url.removeprefix("http://")
    assert headers["authorization"] == "bearer secret"


async def test_https_to_a_server_without_it_is_an_error_with_its_remedy():
    async def plain(_: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server:
        at = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Connection(
            at, api_key=None, connections=1, keepalive=1, timeout=5.0, transport=None
        ) as connection:
            with pytest.raises(OllamaRequestError, match="use http://"):
                await connection.exchange(Sent(at, "/api/version"))


async def test_a_proxy_of_the_environment_is_used(monkeypatch):
    server = Server(OK + b"Content-Length: 5\r\n\r\nproxy")
    async with server.connected():
        monkeypatch.setenv("http_proxy", server.url)
        at = "http://gpu1.example.com:11434"
        async with Connection(
            at, api_key=None, connections=1, keepalive=1, timeout=5.0, transport=None
        ) as connection:
            assert await connection.exchange(Sent(at, "/api/version")) == b"proxy"
    assert server.heads[0].startswith(b"GET http://gpu1.example.com:11434/api/version ")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_goes_over_the_loops_that_servers_run_on(run, host):
    async def ask() -> list[bytes]:
        server = Server(OK + b"Content-Length: 5\r\n\r\nhello", say=None)
        async with server.connected():
            at = server.url.replace("127.0.0.1", host)
            async with Connection(
                at, api_key=None, connections=2, keepalive=2, timeout=5.0, transport=None
            ) as connection:
                await connection.fill()
                return [await connection.exchange(Sent(at, "/api/version")) for _ in range(2)]

    assert run(ask()) == [b"hello"] * 2


async def test_an_idle_connection_is_not_used_for_ever(monkeypatch):
    monkeypatch.setattr("ingestion_assets.embedding.connection.KEEPALIVE_EXPIRY", 0.05)
    server = Server(OK + b"Content-Length: 2\r\n\r\n{}")
    async with server.connected() as connection:
        await connection.exchange(server.sent)
        await asyncio.sleep(0.1)
        await connection.exchange(server.sent)
    assert server.connections == 2
