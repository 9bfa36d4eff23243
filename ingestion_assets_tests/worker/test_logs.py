import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from ingestion_assets.worker.logs import log_to


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _logged(stream: io.StringIO) -> str:
    log_to(stream)
    try:
        raise ValueError("what")
    except ValueError:
        logging.getLogger("a.b").warning("%d of %s", 1, "ü\nx", exc_info=True)
    return stream.getvalue()


def test_a_record_is_one_line_of_json():
    (line,) = _logged(io.StringIO()).splitlines()
    parsed = orjson.loads(line)
    assert parsed.pop("exception").endswith("ValueError: what")
    assert parsed.pop("time").endswith("+00:00")
    assert parsed == {"level": "warning", "logger": "a.b", "message": "1 of ü\nx"}


def test_a_terminal_gets_text():
    assert "WARNING 1 of ü" in _logged(_Terminal())


def test_requests_are_not_logged():
    stream = io.StringIO()
    log_to(stream)
    logging.getLogger("httpx").info("POST http://gpu1")
    assert stream.getvalue() == ""
