"""A Redis for trying a fleet on one machine: on loopback, and nothing of it is kept."""

import shutil
import signal
import socket
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

from ingestion_assets.errors import ConfigError
from ingestion_assets.local.shared_process import Joined, address_file, join


def local_redis(state: Path) -> AbstractContextManager[Joined]:
    """Use the Redis of a state folder, starting it first if nobody does.

    The address is a redis URL. It stops when the last user leaves, or dies.

    Raises:
        ConfigError: there is no redis-server on this machine.
        LocalServiceError: it does not start.
    """
    program = shutil.which("redis-server")
    if program is None:
        raise ConfigError(
            "there is no redis-server on this machine; apt install redis-server, or set"
            " INGEST_REDIS_URL to a Redis of your own"
        )
    return join(LocalRedis(state.resolve() / "redis", program))


class LocalRedis:
    """How to start a Redis that keeps nothing on disk."""

    name = "Redis"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, program: str) -> None:
        self.folder, self._program = folder, program

    def command(self) -> list[str]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        address_file(self.folder).write_text(f"redis://127.0.0.1:{port}/0")
        listening = ["--bind", "127.0.0.1", "--port", str(port)]
        return [self._program, *listening, "--save", "", "--appendonly", "no"]

    def answers(self, address: str) -> bool:
        where = urlsplit(address)
        try:
            with socket.create_connection((where.hostname, where.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
