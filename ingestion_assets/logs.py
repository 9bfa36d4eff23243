"""Log records in, lines on stderr out: JSON for machines, text for people."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import orjson

FORMATS = ("json", "text")
FIELDS = ("run", "partition", "document", "chunk")  # that a record may be about

_about: ContextVar[Mapping[str, str]] = ContextVar("about")


@contextmanager
def about(**fields: str) -> Iterator[None]:
    """While it lasts, what is logged here, and in threads and tasks begun here, is about this.

    Args:
        fields: of FIELDS; one record has its own by `extra`.
    """
    token = _about.set({**_about.get({}), **fields})
    try:
        yield
    finally:
        _about.reset(token)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        known = {**_about.get({}), **vars(record)}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{field: known[field] for field in FIELDS if field in known},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


class Text(logging.Formatter):
    """Time, level and message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")


def log_to(stream: TextIO = sys.stderr, form: str | None = None) -> None:
    """Log everything to a stream from now on.

    Args:
        form: one of FORMATS; none means text if it is a terminal, else JSON.
    """
    logging.basicConfig(level=logging.INFO, handlers=[_handler(stream, form)], force=True)
    # They log every request with its URL.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)


def log_ours_to(stream: TextIO, form: str) -> None:
    """Log what this package says, and leave alone how others in the process log."""
    ours = logging.getLogger("ingestion_assets")
    ours.handlers[:] = [_handler(stream, form)]
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _handler(stream: TextIO, form: str | None) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    as_text = stream.isatty() if form is None else form == "text"
    handler.setFormatter(Text() if as_text else JsonLines())
    return handler
