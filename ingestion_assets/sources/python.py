"""A function's name in, the records it yields out."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from inspect import signature
from typing import Any, ClassVar

from ingestion_assets.errors import ConfigError, SourceError
from ingestion_assets.sources.origin import Found, ending
from ingestion_assets.sources.record import Record, uri_problem
from ingestion_assets.sources.source import Source


class Function:
    """The origin that is a function: only calling it tells what there is."""

    every: ClassVar[float | None] = None
    sized: ClassVar[bool] = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self._yielded: Counter[str] = Counter()  # for all partitions, by ending

    @property
    def name(self) -> str:
        return self._source.python or ""

    def survey(self) -> None:
        function(self._source)

    def watched(self) -> None:
        return None

    def listed(self, partition_key: str) -> Iterator[Record | SourceError]:
        for record in records(self._source):
            self._yielded[ending(record.uri)] += 1
            if self._source.partition_key(record.uri) == partition_key:
                yield record

    def read(self, wanted: Iterable[Found | Record]) -> Iterator[Record]:
        return (record for record in wanted if isinstance(record, Record))

    def opened(self, uri: str) -> None:
        return None

    def present(self) -> Counter[str]:
        return self._yielded

    def is_empty(self) -> bool:
        return not self._yielded


def function(source: Source) -> Callable[..., object]:
    """The function of a source, from what is installed or lies beside sources.yaml.

    Raises:
        ConfigError: it cannot be imported or called, or takes other arguments.
    """
    module, _, name = (source.python or "").partition(":")
    folder = str(source.root)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        found = getattr(import_module(module), name)
    except Exception as exc:
        raise _misconfigured(
            source,
            f"cannot be imported ({type(exc).__name__}: {exc});"
            " install the module, or put it beside sources.yaml",
        ) from exc
    if not callable(found):
        raise _misconfigured(source, f"is {found!r:.80}, no function; name one")
    _check_arguments(source, found)
    made: Callable[..., object] = found
    return made


def records(source: Source) -> Iterator[Record | SourceError]:
    """All that the function yields, in its order; an unusable uri as an error in its place.

    Raises:
        ConfigError: there is no such function, or it yields something other than records.
        SourceError: it failed, so that nobody knows what else there is.
    """
    for number, record in enumerate(_yielded(source, function(source)), 1):
        if not isinstance(record, Record):
            raise _misconfigured(source, f"yields {record!r:.80}; have it yield Records")
        if problem := uri_problem(record.uri):
            yield SourceError(f"record {number}", f"uri {record.uri!r:.80} {problem}")
        else:
            yield record


def _yielded(source: Source, called: Callable[..., object]) -> Iterator[object]:
    count = 0
    try:
        made = called(**source.arguments)
        if isinstance(made, Iterable):
            for record in made:
                yield record
                count += 1
            return
    except Exception as exc:
        raise SourceError(
            source.python or "",
            f"source {source.name!r} failed after {count} documents ({type(exc).__name__}: {exc});"
            f" nothing is deleted; mend the function, then: ingest run {source.name}",
        ) from exc
    raise _misconfigured(source, f"returns {made!r:.80}; have it yield Records")


def _check_arguments(source: Source, found: Callable[..., Any]) -> None:
    try:
        signature(found).bind(**source.arguments)
    except (TypeError, ValueError) as exc:
        raise _misconfigured(source, f"cannot be called ({exc}); correct `arguments`") from exc


def _misconfigured(source: Source, what: str) -> ConfigError:
    return ConfigError(f"source {source.name!r}: python: {source.python!r} {what}")
