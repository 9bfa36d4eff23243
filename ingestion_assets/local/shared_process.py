"""A server that several processes share: the first starts it, and it stops with the last.

Every user holds a shared lock on `users.lock`; the server and its keeper hold `server.lock`. Both
are kernel locks (flock), so a process that is killed leaves no stale lock and no stale count.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Protocol

from ingestion_assets.errors import LocalServiceError
from ingestion_assets.local.file_lock import FileLock

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 70.0  # seconds; the keeper kills the server after 60
_POLL = 0.02  # seconds
_LOG_LINES = 15


class Service(Protocol):
    """What is particular to one kind of server."""

    name: str
    folder: Path
    stop_signal: Signals

    def command(self) -> list[str]:
        """The command line; prepares the folder, called only while no server lives there.

        The server's address must come to stand in `address_file(folder)`, from here or from it.
        """

    def answers(self, address: str) -> bool:
        """Whether the server at this address is ready for use."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A server in use; `started` if it was not running before."""

    address: str
    started: bool


def address_file(folder: Path) -> Path:
    """The file in which a running server's address stands."""
    return folder / "address"


@contextmanager
def join(service: Service, *, timeout: float = START_TIMEOUT) -> Iterator[Joined]:
    """Use a server, starting it if it does not run; the last user's leaving stops it.

    Raises:
        LocalServiceError: no answer within `timeout` seconds; the message ends with the log.
    """
    _make_folder(service)
    deadline = time.monotonic() + timeout
    with FileLock(service.folder / "users.lock") as users:
        while not users.try_shared():  # a server that is stopping holds it
            _pause(service, deadline)
        reaper: threading.Thread | None = None
        try:
            joined, reaper = _find_or_start(service, deadline)
            yield joined
        finally:
            users.release()
            _wait_for_stop(service, users)
            if reaper is not None and not reaper.is_alive():
                reaper.join()


def _make_folder(service: Service) -> None:
    try:
        service.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (service.folder / "users.lock").touch(mode=0o600)
    except OSError as exc:
        raise LocalServiceError(
            f"{service.name} cannot use the folder {str(service.folder)!r} ({exc.strerror}); "
            "set INGESTION_STATE to a folder you may write to"
        ) from exc


def _find_or_start(service: Service, deadline: float) -> tuple[Joined, threading.Thread | None]:
    while True:
        with FileLock(service.folder / "server.lock") as server:
            if server.try_exclusive():
                return _start(service, server, deadline)
        if (address := _answering(service)) is not None:
            return Joined(address, started=False), None
        _pause(service, deadline)


def _start(service: Service, server: FileLock, deadline: float) -> tuple[Joined, threading.Thread]:
    address_file(service.folder).unlink(missing_ok=True)
    keeper = _spawn(service, service.command(), server)
    # Reaps the keeper, which may outlive our use of the server but not leave a zombie behind.
    reaper = threading.Thread(target=keeper.wait, daemon=True, name=f"{service.name} keeper")
    reaper.start()
    try:
        while (address := _answering(service)) is None:
            if not reaper.is_alive():
                raise _failure(service, "ended while starting")
            _pause(service, deadline)
    except BaseException:
        keeper.terminate()
        raise
    return Joined(address, started=True), reaper


def _spawn(service: Service, line: list[str], server: FileLock) -> "subprocess.Popen[bytes]":
    folder = service.folder
    log = _log_file(folder)
    if log.exists():
        log.replace(log.with_suffix(".previous"))
    keeper = [sys.executable, "-m", "ingestion_assets.local.keeper", str(server.fileno())]
    with log.open("wb") as output:
        return subprocess.Popen(
            [*keeper, str(folder / "users.lock"), str(int(service.stop_signal)), *line],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=[server.fileno()],
            start_new_session=True,  # Ctrl-C in the terminal is not for the server
        )


def _answering(service: Service) -> str | None:
    try:
        address = address_file(service.folder).read_text().strip()
    except FileNotFoundError:
        return None
    return address if address and service.answers(address) else None


def _wait_for_stop(service: Service, users: FileLock) -> None:
    """Return when the server is gone, or when somebody else is found to use it."""
    deadline = time.monotonic() + STOP_TIMEOUT
    with FileLock(service.folder / "server.lock") as server:
        while time.monotonic() < deadline and not server.try_exclusive():
            # Not exclusive but shared: other users. Neither: the keeper, stopping the server.
            if not users.try_exclusive() and users.try_shared():
                return
            users.release()
            time.sleep(_POLL)


def _pause(service: Service, deadline: float) -> None:
    if time.monotonic() > deadline:
        raise _failure(service, "does not answer")
    time.sleep(_POLL)


def _failure(service: Service, what: str) -> LocalServiceError:
    log = _log_file(service.folder)
    lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:] if log.exists() else []
    return LocalServiceError(
        f"the embedded {service.name} {what}; see {str(log)!r}. Its last lines:\n"
        + "\n".join(lines)
    )


def _log_file(folder: Path) -> Path:
    return folder / "server.log"
