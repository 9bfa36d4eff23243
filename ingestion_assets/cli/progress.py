"""Progress bars, one for each source, from what the store really holds."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from ingestion_assets.store.connection import connect
from ingestion_assets.store.status import Counts, counts

T = TypeVar("T")

_INTERVAL = 1.0  # seconds between two looks at the store


class _Rate(ProgressColumn):
    """Chunks a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f}/s" if speed else "", style="progress.data.speed")


class Bars:
    """The bars of the sources; only the one that is followed moves."""

    def __init__(self, progress: Progress, url: str, keys: Mapping[str, Sequence[str]]) -> None:
        self._progress = progress
        self._url = url
        self._keys = keys
        self._tasks = {
            name: progress.add_task(name, total=None, start=False, stage="waiting") for name in keys
        }

    def follow(self, source: str, work: Iterable[T]) -> Iterator[T]:
        """Move a source's bar while its work goes on."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(source, done), daemon=True)
        self._progress.start_task(self._tasks[source])
        watcher.start()
        try:
            yield from work
        finally:
            done.set()
            watcher.join()

    def _watch(self, source: str, done: threading.Event) -> None:
        with connect(self._url) as connection:
            while not done.wait(_INTERVAL):
                self._move(self._tasks[source], counts(connection, self._keys[source]))
            self._move(self._tasks[source], counts(connection, self._keys[source]), "done")

    def _move(self, task: TaskID, now: Counts, stage: str | None = None) -> None:
        self._progress.update(
            task,
            total=now.chunks or None,
            completed=now.embedded,
            stage=stage or ("embedding" if now.embedded < now.chunks else "reading"),
        )


@contextmanager
def progress(url: str, keys: Mapping[str, Sequence[str]]) -> Iterator[Bars]:
    """Show bars on stderr, on a terminal only.

    Args:
        url: the store's database.
        keys: the partitions of each source, by the source's name.
    """
    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("chunks"),
        _Rate(),
        TextColumn("{task.fields[stage]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=False,
    )
    with bars:
        yield Bars(bars, url, keys)
