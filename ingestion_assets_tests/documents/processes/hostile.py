"""A reader that does whatever a document's content says: the worst of what parsers do."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

from ingestion_assets.documents.document import Extract

EXTRACT = f"{__name__}:extract"

_kept: list[bytes] = []


def extract(uri: str, raw: bytes, media_type: str | None, fields: object) -> Extract:
    """The first word says what to do, and what comes of it is the text."""
    text = raw.decode()
    does = _DOES.get(text.partition(" ")[0])
    title = {"nul": "a\0b", "surrogate": "\ud800"}.get(text, "title")
    return Extract("text/html", title, str(does()) if does else text, {"uri": uri})


def _loop() -> None:
    while True:
        pass


def _once() -> str:
    """Die, unless the process is a fresh one."""
    if _kept:
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


_DOES: dict[str, Callable[[], object]] = {
    "crash": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "exit": lambda: os._exit(3),
    "oom-killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "loop": _loop,
    "sleep": lambda: time.sleep(3600),
    "devour": lambda: [bytearray(10_000_000) for _ in range(1000)],
    "inflate": lambda: "x" * 3000,
    "fail": lambda: _kept[9],
    "print": lambda: sys.stdout.write("noise " * 100_000),
    "keep": lambda: _kept.append(b"x"),
    "grow": lambda: _kept.append(b"x" * 160_000_000),
    "once": _once,
    "pid": os.getpid,
    "modules": lambda: " ".join({name.partition(".")[0] for name in sys.modules}),
}
