"""The two servers that everything needs: the user's own where there is one, else embedded."""

import http.client
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ingestion_assets.local.postgres import embedded_postgres
from ingestion_assets.local.shared_process import Joined, address_file, join
from ingestion_assets.settings import Settings

DEFAULT_OLLAMA = "http://127.0.0.1:11434"

_PROBE_TIMEOUT = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Services:
    """Where the servers are.

    Attributes:
        database_url: a libpq URL.
        ollama_host: as OLLAMA_HOST would say it.
        notes: one line for every choice that was made for the user.
    """

    database_url: str
    ollama_host: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One server's address, and a line about it if it was chosen for the user."""

    address: str
    note: str | None = None


@contextmanager
def local_services(settings: Settings) -> Iterator[Services]:
    """Both servers; what is embedded runs at least as long as the context.

    Raises:
        LocalServiceError: an embedded server does not start.
    """
    with ExitStack() as stack:
        database = stack.enter_context(database_service(settings))
        ollama = stack.enter_context(ollama_service(settings))
        notes = tuple(found.note for found in (database, ollama) if found.note)
        yield Services(database.address, ollama.address, notes)


@contextmanager
def database_service(settings: Settings) -> Iterator[Found]:
    """The configured database, or the embedded one.

    Raises:
        LocalServiceError: the embedded Postgres does not start.
    """
    if settings.database_url is not None:
        yield Found(settings.database_url)
        return
    with embedded_postgres(settings.state) as server:
        verb = "Started" if server.started else "Using"
        folder = settings.state / "postgres"
        yield Found(
            server.address,
            f"No INGESTION_DATABASE_URL: {verb.lower()} the embedded Postgres in {str(folder)!r}",
        )


@contextmanager
def ollama_service(settings: Settings) -> Iterator[Found]:
    """The configured Ollama, the one on this machine, or the built-in embedder.

    Raises:
        LocalServiceError: the built-in embedder does not start.
    """
    configured = [*settings.ollama_hosts, settings.ollama_host]
    if configured[0] is not None:
        yield Found(configured[0])
        return
    if is_ollama(DEFAULT_OLLAMA):
        yield Found(DEFAULT_OLLAMA, f"Using the Ollama at {DEFAULT_OLLAMA}")
        return
    with builtin_embedder(settings.state) as server:
        yield Found(
            server.address,
            f"No Ollama found: using the built-in all-MiniLM-L6-v2 (CPU) at {server.address}",
        )


def builtin_embedder(state: Path) -> AbstractContextManager[Joined]:
    """Use the embedder of a state folder, starting it first if nobody does.

    The address is a base URL on loopback. It stops when the last user leaves, or dies.

    Raises:
        LocalServiceError: it does not start.
    """
    return join(BuiltinEmbedder(state.resolve() / "embedder"))


class BuiltinEmbedder:
    """How to start the embedder; it chooses its port and writes its address itself."""

    name = "embedder"
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self) -> list[str]:
        module = [sys.executable, "-m", "ingestion_assets.local.embedder"]
        return [*module, "--port", "0", "--address-file", str(address_file(self.folder))]

    def answers(self, address: str) -> bool:
        return is_ollama(address)


def is_ollama(address: str) -> bool:
    """Whether an Ollama server answers at a base URL, within a second."""
    host = urlsplit(address).netloc
    connection = http.client.HTTPConnection(host, timeout=_PROBE_TIMEOUT)  # knows no proxies
    try:
        connection.request("GET", "/api/version")
        response = connection.getresponse()
        return response.status == 200 and "version" in json.loads(response.read(4096))
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return False
    finally:
        connection.close()
