import asyncio
import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from ingestion_assets.logs import FIELDS, about, log_ours_to, log_to


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


def test_a_record_says_what_it_is_about_in_threads_and_tasks_too():
    stream = io.StringIO()
    log_to(stream)

    async def task() -> None:
        logging.getLogger("a").info("task")
        await asyncio.to_thread(logging.getLogger("a").info, "thread", extra={"chunk": 7})

    with about(run="r", partition="notes/00"), about(document="a.md"):
        asyncio.run(task())
    logging.getLogger("a").info("after")
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    found = [(line["message"], {f: line[f] for f in FIELDS if f in line}) for line in lines]
    of = {"run": "r", "partition": "notes/00", "document": "a.md"}
    assert found == [("task", of), ("thread", {**of, "chunk": 7}), ("after", {})]


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [("json", _Terminal(), True), ("text", io.StringIO(), False)],
)
def test_the_setting_decides_and_not_the_terminal(form, stream, is_json):
    log_to(stream, form)
    logging.getLogger("a").info("hello")
    assert stream.getvalue().startswith("{") == is_json


def test_what_others_log_is_left_alone():
    ours = logging.getLogger("ingestion_assets")
    before = ours.handlers[:], ours.level, ours.propagate
    stream = io.StringIO()
    try:
        for _ in range(2):  # as when definitions are loaded again
            log_ours_to(stream, "json")
        logging.getLogger("dagster").warning("theirs")
        logging.getLogger("ingestion_assets.store").info("ours")
    finally:
        ours.handlers[:], ours.level, ours.propagate = before
    (line,) = stream.getvalue().splitlines()
    assert orjson.loads(line)["message"] == "ours"
