"""A process that extracts, as its parent sees it."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Any, BinaryIO, cast

from ingestion_assets import errors
from ingestion_assets.documents.document import Extract
from ingestion_assets.documents.processes import child, wire
from ingestion_assets.documents.processes.limits import CLOCK, Limits
from ingestion_assets.documents.processes.raw import OUT_OF_MEMORY, Raw
from ingestion_assets.errors import (
    ExtractionCrashError,
    ExtractionError,
    ExtractionMemoryError,
    ExtractionTimeoutError,
)

_DYING = 10  # seconds from its last word to its end


class Process:
    """Extracts one document at a time. It dies with the thread that made it.

    Attributes:
        is_usable: whether it may be given another document.
        has_extracted: whether it was given one before.
    """

    def __init__(self, limits: Limits, function: str, place: IO[bytes] | None) -> None:
        """Start it; `place` is closed when it has ended."""
        self.is_usable = True
        self.has_extracted = False
        self._place = place
        self._limits = limits
        self._until: float | None = None  # on the clock, of the document in hand
        self._is_overdue = False
        numbers = (limits.processes, limits.seconds, limits.memory, limits.characters)
        # In a group of its own a Ctrl-C is not its business.
        self._popen = subprocess.Popen(
            [sys.executable, "-m", child.__name__, str(os.getpid()), function, *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        self._requests = cast(BinaryIO, self._popen.stdin)
        self._answers = cast(BinaryIO, self._popen.stdout)

    def extract(self, raw: Raw) -> Extract:
        """The text of a document.

        Raises:
            SourceError: what the process says, or what it died of.
        """
        self._until = time.monotonic() + self._limits.seconds * CLOCK
        try:
            answer = self._ask(raw)
        finally:
            self._until = None
            self.has_extracted = True
        if answer is None:
            raise self._death(raw.uri)
        header, text = answer
        self.is_usable = not header["last"]
        if "error" in header:
            raise getattr(errors, header["error"])(raw.uri, header["message"])
        return Extract(header["media_type"], header["title"], text.decode(), header["metadata"])

    def kill_if_overdue(self) -> None:
        """End it if its document takes too long; whoever waits for that is told."""
        if self._until is not None and time.monotonic() > self._until:
            self._is_overdue = True
            self._popen.kill()

    def kill(self) -> None:
        """End it, whatever it is at; whoever waits for its document is told."""
        self._popen.kill()

    def close(self) -> None:
        """Kill it and let go of it."""
        self.is_usable = False
        self._popen.kill()
        self._popen.wait()
        with suppress(OSError):  # what it did not take any more
            self._requests.close()
        self._answers.close()
        if self._place:
            self._place.close()

    def _ask(self, raw: Raw) -> tuple[dict[str, Any], bytes] | None:
        """The answer; None if it died."""
        fields = raw.fields and asdict(raw.fields)
        header = {"uri": raw.uri, "media_type": raw.media_type, "fields": fields}
        try:
            wire.send(self._requests, header, raw.content)
            return wire.receive(self._answers)
        except OSError:
            return None

    def _death(self, uri: str) -> ExtractionError:
        with suppress(subprocess.TimeoutExpired):  # it may only have closed its pipe
            self._popen.wait(_DYING)
        self.close()
        status = self._popen.returncode
        if self._is_overdue or status == -signal.SIGXCPU:
            seconds = self._limits.seconds
            return ExtractionTimeoutError(
                uri,
                f"took more than {seconds} s of CPU, or {seconds * CLOCK} s in all; exclude it, or"
                " raise INGEST_DOCUMENT_SECONDS",
            )
        if status in (child.OUT_OF_MEMORY, -signal.SIGKILL):
            return ExtractionMemoryError(uri, OUT_OF_MEMORY)
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return ExtractionCrashError(uri, f"its reader died ({how}); report it, or exclude it")
