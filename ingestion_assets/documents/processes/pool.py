"""Documents in, their texts out: small and harmless ones from here, all others from processes."""

from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from queue import Empty, LifoQueue
from threading import Lock
from types import TracebackType
from typing import Self, TypeVar

from ingestion_assets.documents import media
from ingestion_assets.documents.document import Extract
from ingestion_assets.documents.processes import places
from ingestion_assets.documents.processes.limits import Limits
from ingestion_assets.documents.processes.process import Process
from ingestion_assets.documents.processes.raw import Raw, extracted
from ingestion_assets.errors import (
    ExtractionCrashError,
    ExtractionMemoryError,
    SourceError,
)

T = TypeVar("T")

EXTRACT = "ingestion_assets.documents.extraction:extract"

_SMALL = 64_000  # bytes; of a text no larger, nothing takes long enough to be worth a process
_AHEAD = 16  # documents for each process, waiting, being extracted, or done
_LOAD_AHEAD = 64_000_000  # bytes or characters of these
_TICK = 1.0  # seconds between two looks at the clock


class Extractors:
    """Extracts documents in processes, which start when there is work for them.

    What is cheap and cannot do harm is extracted right here. The processes end with the block.
    """

    def __init__(self, limits: Limits, function: str = EXTRACT) -> None:
        """Take the limits of each document, and the name of what extracts it."""
        self._limits, self._function = limits, function
        self._threads = ThreadPoolExecutor(limits.processes, thread_name_prefix="extract")
        self._lock = Lock()
        self._processes: set[Process] = set()
        self._idle: LifoQueue[Process] = LifoQueue()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def each(
        self, work: Iterable[tuple[Raw, T]]
    ) -> Generator[tuple[T, Extract | SourceError], None, None]:
        """Each document's text, or why it has none, beside what came with it; in any order.

        The documents are taken as they are needed, a bounded number at a time.
        """
        pending: dict[Future[Extract], tuple[Raw, T]] = {}
        for raw, item in work:
            if _is_cheap(raw):
                yield item, self._here(raw)
                continue
            pending[self._threads.submit(self._extract, raw)] = (raw, item)
            while self._is_full(pending):
                yield from self._finished(pending)
        while pending:
            yield from self._finished(pending)

    def close(self) -> None:
        """End the processes, whatever they are at."""
        with self._lock:
            self._is_closed = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in self._processes:
            process.close()

    def _here(self, raw: Raw) -> Extract | SourceError:
        try:
            return extracted(self._function, raw, self._limits.characters)
        except SourceError as exc:
            return exc

    def _is_full(self, pending: dict[Future[Extract], tuple[Raw, T]]) -> bool:
        load = sum(_load(future, raw) for future, (raw, _) in pending.items())
        return load > _LOAD_AHEAD or len(pending) >= _AHEAD * self._limits.processes

    def _finished(
        self, pending: dict[Future[Extract], tuple[Raw, T]]
    ) -> Generator[tuple[T, Extract | SourceError], None, None]:
        done, _ = wait(pending, _TICK, FIRST_COMPLETED)
        for future in done:
            _, item = pending.pop(future)
            try:
                yield item, future.result()
            except SourceError as exc:
                yield item, exc
        with self._lock:
            for process in self._processes:
                process.kill_if_overdue()

    def _extract(self, raw: Raw) -> Extract:
        """The text; a process that has extracted others may owe its death to them."""
        process = self._process()
        while True:
            is_fresh = not process.has_extracted
            try:
                return self._of(process, raw)
            except (ExtractionCrashError, ExtractionMemoryError):
                if is_fresh:
                    raise
            process = self._start() or self._process()

    def _of(self, process: Process, raw: Raw) -> Extract:
        try:
            return process.extract(raw)
        finally:
            self._give_back(process)

    def _process(self) -> Process:
        """One that is idle, or a new one, or the next that is idle."""
        while True:
            with suppress(Empty):
                return self._idle.get_nowait()
            if process := self._start():
                return process
            with suppress(Empty):
                return self._idle.get(timeout=_TICK)

    def _start(self) -> Process | None:
        """A new process, if there is a place for it; a run has one at least, on a busy machine."""
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the extraction has been closed")
            place = places.take(self._limits.processes)
            if place is None and self._processes:
                return None
            process = Process(self._limits, self._function, place)
            self._processes.add(process)
            return process

    def _give_back(self, process: Process) -> None:
        if process.is_usable:
            self._idle.put(process)
            return
        with self._lock:
            self._processes.discard(process)
        process.close()


def _load(future: Future[Extract], raw: Raw) -> int:
    if future.done() and not future.exception():
        return len(future.result().text)
    return len(raw.content)


def _is_cheap(raw: Raw) -> bool:
    """Whether it is a small text that no library in C parses: it takes no time, and no crash."""
    head = raw.content[:4096]
    if len(raw.content) > _SMALL or b"\0" in head or media.signature(head):
        return False
    return (raw.media_type or media.media_type(raw.uri, head.decode("latin-1"))) in media.HARMLESS
