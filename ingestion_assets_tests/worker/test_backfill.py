"""`ingest worker --backfill` embeds what waits, and says how it went."""

import signal

from ingestion_assets_tests.worker.conftest import Start
from ingestion_assets_tests.worker.given import are_right, insert, states, stored
from ingestion_assets_tests.worker.running import wait_for


def test_everything_is_embedded_and_the_exit_code_is_0(start: Start, connection, double):
    insert(connection, "many.md", 500)
    with start("--backfill") as process:
        assert process.popen.wait(60) == 0
        assert process.messages()[0] == "0 embedded, 500 to go, 0 failed"
        assert process.messages()[-1].startswith("500 embedded, 0 to go, 0 failed; ")
    assert are_right(connection, double)
    assert double.stats()["requests"]["/api/embed"] < 500 / 32 + 10


def test_nothing_to_do_ends_it_with_0(start: Start, double):
    with start("--backfill") as process:
        assert process.popen.wait(60) == 0
    assert "/api/embed" not in double.stats()["requests"]


def test_a_text_that_failed_ends_it_with_1(start: Start, connection, double):
    double.break_by({"fault": "F10", "match": "poison"})
    insert(connection, "good.md", 20)
    insert(connection, "poison.md")
    with start("--backfill") as process:
        assert process.popen.wait(60) == 1
        assert process.messages()[-1].startswith("20 embedded, 0 to go, 1 failed")
    assert states(connection) == {"error": 1}


def test_no_ollama_until_the_deadline_ends_it_with_1(start: Start, connection):
    insert(connection, "first.md")
    environment = {"OLLAMA_HOST": "127.0.0.1:1", "INGEST_DEADLINE": "1"}
    with start("--backfill", **environment) as process:
        assert process.popen.wait(60) == 1
    assert states(connection) == {}


def test_an_interrupted_one_gives_back_the_rest_and_ends_with_1(start: Start, connection, double):
    double.reset(request_ms=300, slots=1)
    insert(connection, "many.md", 2000)
    with start("--backfill", INGEST_MAX_WORKERS="1") as process:
        wait_for(lambda: len(stored(connection)) > 0)
        assert process.stop(signal.SIGTERM) == 1
    assert states(connection) == {"pending": 2000 - len(stored(connection))}


def test_the_rate_is_kept(start: Start, connection, double):
    insert(connection, "many.md", 200)
    with start(
        "--backfill", INGEST_WORKER_RATE="100", INGEST_WORKER_BACKFILL_BATCH="20"
    ) as process:
        wait_for(lambda: len(stored(connection)) > 0)
        assert len(stored(connection)) < 200
        assert process.popen.wait(60) == 0
        rate = float(process.messages()[-1].split("; ")[1].split()[0])
        assert rate <= 120
