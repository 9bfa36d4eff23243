import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ingestion_assets import documents
from ingestion_assets.documents.document import Extract
from ingestion_assets.documents.processes import Extractors, Limits, Raw, child
from ingestion_assets.errors import SourceError
from ingestion_assets_tests.documents.processes.hostile import EXTRACT

ROOT = Path(__file__).parents[3]
SMALL = Limits(processes=1, seconds=1, memory=300_000_000, characters=1000)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    """The hostile reader can be imported, and no other test takes a place away."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)


def outcomes(contents: list[str], limits: Limits = SMALL, suffix: str = ".html") -> dict[str, str]:
    """What became of each: its text, or the class of its error."""
    work = ((Raw(f"{n}{suffix}", content.encode()), content) for n, content in enumerate(contents))
    with Extractors(limits, EXTRACT) as extractors:
        return {content: _name(found) for content, found in extractors.each(work)}


def _name(found: Extract | SourceError) -> str:
    return type(found).__name__ if isinstance(found, SourceError) else found.text


def processes_of(parent: int) -> list[int]:
    found = subprocess.run(
        ["pgrep", "-P", str(parent), "-f", child.__name__],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return [int(pid) for pid in found.split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@pytest.mark.parametrize(
    ("does", "error"),
    [
        ("crash", "ExtractionCrashError"),
        ("abort", "ExtractionCrashError"),
        ("exit", "ExtractionCrashError"),
        ("oom-killed", "ExtractionMemoryError"),
        ("devour", "ExtractionMemoryError"),
        ("loop", "ExtractionTimeoutError"),
        ("sleep", "ExtractionTimeoutError"),
        ("inflate", "TextTooLargeError"),
        ("fail", "ReaderError"),
        ("nul", "ReaderError"),
        ("surrogate", "ReaderError"),
    ],
)
def test_whatever_a_parser_does_costs_its_document_alone(does, error):
    found = outcomes(["before", does, "after"])
    assert found == {"before": "before", does: error, "after": "after"}


def test_an_error_names_the_document_the_cause_and_the_remedy():
    with Extractors(SMALL, EXTRACT) as extractors:
        work = [(Raw("a.html", what), None) for what in (b"crash", b"fail", b"loop")]
        said = [str(found) for _, found in extractors.each(work)]
    assert said == [
        "'a.html': its reader died (SIGSEGV); report it, or exclude it",
        "'a.html': its reader failed (IndexError: list index out of range); report it, or"
        " exclude it",
        "'a.html': took more than 1 s of CPU, or 5 s in all; exclude it, or raise"
        " INGEST_DOCUMENT_SECONDS",
    ]


def test_what_a_parser_prints_is_no_answer():
    assert outcomes(["print", "after"]) == {"print": "600000", "after": "after"}


def test_a_process_serves_many_documents():
    assert len(set(outcomes([f"pid {n}" for n in range(50)]).values())) == 1


def test_a_process_that_has_grown_is_replaced():
    found = outcomes(["pid 1", "grow", "pid 2"])
    assert found["pid 1"] != found["pid 2"]


def test_a_document_is_not_blamed_for_what_its_neighbours_left():
    assert outcomes(["keep", "once"])["once"] == "lived"


def test_processes_load_nothing_but_what_reads_documents():
    loaded = outcomes(["modules"])["modules"].split()
    assert not {"dagster", "pandas", "numpy", "psycopg", "rich", "httpx", "pydantic"} & set(loaded)


@pytest.mark.parametrize(
    ("uri", "content", "here"),
    [
        ("a.md", b"# Ropes", True),
        ("a.txt", b"words", True),
        ("a", b"words", True),
        ("a.md", b"# Ropes " * 10_000, False),
        ("a.html", b"<p>words", False),
        ("a.txt", b"<!doctype html><p>words", False),
        ("a.md", "words".encode("utf-16"), False),
    ],
)
def test_only_small_texts_are_read_without_a_process(uri, content, here):
    with Extractors(Limits(processes=1)) as extractors:
        ((_, found),) = extractors.each([(Raw(uri, content), None)])
        assert found == documents.extract(uri, content)
        assert bool(processes_of(os.getpid())) is not here


def test_documents_are_taken_as_they_are_needed():
    taken = 0

    def work() -> Iterator[tuple[Raw, None]]:
        nonlocal taken
        for taken in range(1, 1000):  # noqa: B007
            yield Raw("a.html", b"x"), None

    with Extractors(SMALL, EXTRACT) as extractors, closing(extractors.each(work())) as found:
        for count, _ in zip(range(1, 100), found, strict=False):
            assert taken <= count + 16


def test_large_documents_are_taken_few_at_a_time():
    taken = 0

    def work() -> Iterator[tuple[Raw, None]]:
        nonlocal taken
        for taken in range(1, 9):  # noqa: B007
            yield Raw("a.html", b"x" * 30_000_000), None

    with Extractors(SMALL, EXTRACT) as extractors, closing(extractors.each(work())) as found:
        for count, _ in zip(range(1, 5), found, strict=False):
            assert taken <= count + 3


def test_processes_end_with_the_block_whatever_they_are_at():
    limits = Limits(processes=2)
    with Extractors(limits, EXTRACT) as extractors:
        work = [(Raw("a.html", b"sleep"), n) for n in range(5)] + [(Raw("a.md", b"x"), 5)]
        assert next(extractors.each(work))[1]
        assert eventually(lambda: len(processes_of(os.getpid())) == 2)
        started = processes_of(os.getpid())
    assert not any(map(is_alive, started))


def test_runs_share_the_places_of_the_machine_and_each_has_one_process():
    limits = Limits(processes=2)
    work = [(Raw("a.html", b"sleep"), n) for n in range(5)] + [(Raw("a.md", b"x"), 5)]
    with Extractors(limits, EXTRACT) as first, Extractors(limits, EXTRACT) as second:
        for extractors, expected in ((first, 2), (second, 3)):
            assert next(extractors.each(work))[1]
            assert eventually(lambda: len(processes_of(os.getpid())) >= expected)  # noqa: B023
        assert len(processes_of(os.getpid())) == 3
    with Extractors(limits, EXTRACT) as third:
        assert next(third.each(work))[1]
        assert eventually(lambda: len(processes_of(os.getpid())) == 2)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_processes_die_with_their_parent(end):
    program = (
        "from ingestion_assets.documents.processes import Extractors, Limits, Raw\n"
        f"with Extractors(Limits(processes=2), {EXTRACT!r}) as extractors:\n"
        "  list(extractors.each((Raw('a.html', what), None) for what in (b'sleep', b'loop')))"
    )
    line = [sys.executable, "-c", program]
    with subprocess.Popen(line, cwd=ROOT, stderr=subprocess.DEVNULL) as parent:
        assert eventually(lambda: len(processes_of(parent.pid)) == 2)
        started = processes_of(parent.pid)
        parent.send_signal(end)
        assert eventually(lambda: parent.poll() is not None)
    assert eventually(lambda: not any(map(is_alive, started)))
