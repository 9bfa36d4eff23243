"""A process that extracts one document after the other: requests on stdin, answers on stdout.

Run by `process.py`. It ends with its stdin, and on Linux at once when its parent dies.
"""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

from ingestion_assets.documents.fields import FieldMap
from ingestion_assets.documents.processes import wire
from ingestion_assets.documents.processes.limits import Limits
from ingestion_assets.documents.processes.raw import Raw, extracted
from ingestion_assets.errors import ExtractionMemoryError, SourceError
from ingestion_assets.local.launch import die_with_parent

OUT_OF_MEMORY = 71  # exit status
_MEMORY = ExtractionMemoryError.__name__
_DOCUMENTS = 1000  # in the life of a process


def main() -> None:
    """Answer until the parent has no more to ask, or it is time for a fresh process."""
    parent, function, *numbers = sys.argv[1:]
    limits = Limits(*map(int, numbers))
    die_with_parent(int(parent), signal.SIGKILL)
    requests, answers = _pipes()
    _bound_memory(limits)
    try:
        for left in reversed(range(_DOCUMENTS)):
            request = wire.receive(requests)
            if request is None:
                return
            _bound_time(limits)
            header, text = _answer(function, _asked(*request), limits)
            last = not left or header.get("error") == _MEMORY or _has_grown(limits)
            wire.send(answers, {**header, "last": last}, text)
            if last:
                return
    except MemoryError:
        os._exit(OUT_OF_MEMORY)


def _pipes() -> tuple[BinaryIO, BinaryIO]:
    """Stdin and stdout for us alone: what a parser prints goes to stderr."""
    pipes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 0)
    os.dup2(2, 1)
    return pipes


def _bound_memory(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))


def _bound_time(limits: Limits) -> None:
    """Have the next document killed when its seconds of CPU are over."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime) + 1 + limits.seconds
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def _asked(header: dict[str, Any], content: bytes) -> Raw:
    fields = header.pop("fields")
    return Raw(content=content, fields=fields and FieldMap(**fields), **header)


def _answer(function: str, raw: Raw, limits: Limits) -> tuple[dict[str, Any], bytes]:
    try:
        found = extracted(function, raw, limits.characters)
    except SourceError as exc:
        message = str(exc).removeprefix(f"{exc.uri!r}: ")
        return {"error": type(exc).__name__, "message": message}, b""
    fields = {
        "media_type": found.media_type,
        "title": found.title,
        "metadata": dict(found.metadata),
    }
    return fields, found.text.encode()


def _has_grown(limits: Limits) -> bool:
    """Whether so much memory is held still that the next document might find too little."""
    if sys.platform != "linux":
        return False
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize() > limits.memory / 2


if __name__ == "__main__":
    main()
