"""Places for processes, shared by all runs of one user on this machine."""

import fcntl
import io
import os
import tempfile
from pathlib import Path
from typing import IO

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def take(count: int) -> IO[bytes] | None:
    """One of so many places, free again when it is closed or its holder dies; None if none is.

    Where no file can be locked, there is always one.
    """
    try:
        folder = Path(tempfile.gettempdir()) / f"ingestion-extractors-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return next((place for n in range(count) if (place := _locked(folder / str(n)))), None)
    except OSError:
        return io.BytesIO()


def _locked(path: Path) -> IO[bytes] | None:
    place = os.fdopen(os.open(path, _FLAGS, 0o600), "rb")
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        place.close()
        return None
    return place
