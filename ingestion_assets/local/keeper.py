"""Runs one server, and stops it when nobody holds the users' lock any more.

Run as `python -m ingestion_assets.local.keeper LOCK_FD USERS_LOCK STOP_SIGNAL COMMAND…`. LOCK_FD is
the server's own lock: keeper and server inherit it, so it is free only when all of them are gone.
"""

import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import FrameType

from ingestion_assets.local import launch

STOP_TIMEOUT = 60.0  # seconds from the polite signal to SIGKILL


def main() -> int:
    """Run the server until it ends; returns its exit code."""
    lock_fd, users_lock, number, *line = sys.argv[1:]
    stop = signal.Signals(int(number))
    server = subprocess.Popen(launch.command(line, parent_death=stop), pass_fds=[int(lock_fd)])

    def on_terminate(_signal: int, _frame: FrameType | None) -> None:
        server.send_signal(stop)

    signal.signal(signal.SIGTERM, on_terminate)
    watch = threading.Thread(target=_stop_unused, args=(server, Path(users_lock), stop))
    watch.daemon = True  # it waits for ever if the server ends first
    watch.start()
    return server.wait()


def _stop_unused(server: "subprocess.Popen[bytes]", users_lock: Path, stop: signal.Signals) -> None:
    fcntl.flock(os.open(users_lock, os.O_RDWR), fcntl.LOCK_EX)  # granted when the last user goes
    server.send_signal(stop)
    try:
        server.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        server.kill()


if __name__ == "__main__":
    sys.exit(main())
