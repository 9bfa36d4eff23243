"""One request at a time to a host, of all processes on this machine, and a pause between two."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from ingestion_assets.local.file_lock import FileLock

_LOOK = 0.05  # seconds until a lock is tried again


class Turns:
    """The turns at one host; whoever holds the lock of its file has one."""

    def __init__(self, host: str) -> None:
        folder = Path(gettempdir()) / f"ingestion-assets-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        self._lock = FileLock(folder / re.sub(r"[^a-z0-9.-]", "_", host)[-200:])

    @contextmanager
    def turn(self, pause: float) -> Iterator[None]:
        """Have a turn, at least so many seconds after the end of the last one of anybody."""
        while not self._lock.try_exclusive():
            time.sleep(_LOOK)
        try:
            passed = time.time() - os.fstat(self._lock.fileno()).st_mtime
            time.sleep(min(max(pause - passed, 0), pause))
            yield
        finally:
            now = time.time()  # the system's own would be some milliseconds late
            os.utime(self._lock.fileno(), (now, now))
            self._lock.release()

    def close(self) -> None:
        """Give the file back."""
        self._lock.close()
