import orjson

from ingestion_assets.worker.health import Answer
from ingestion_assets.worker.readiness import Readiness


async def _asked(url: str, hosts: list[str]) -> Answer:
    async with Readiness(url, hosts, None) as readiness:
        return await readiness.answer()


async def test_it_is_ready_with_a_database_and_a_server(database, double):
    answer = await _asked(database, [double.url])
    assert answer.status == 200
    assert orjson.loads(answer.body) == {
        "ready": True,
        "database": "ok",
        "ollama": {double.url: "ok"},
    }


async def test_one_server_of_several_is_enough(database, double):
    answer = await _asked(database, ["127.0.0.1:1", double.url])
    assert answer.status == 200
    assert "cannot connect" in orjson.loads(answer.body)["ollama"]["http://127.0.0.1:1"]


async def test_no_server_is_said(database):
    answer = await _asked(database, ["127.0.0.1:1"])
    assert answer.status == 503
    assert orjson.loads(answer.body)["database"] == "ok"


async def test_no_database_is_said_without_its_password(double):
    answer = await _asked("postgresql://u:hunter2@127.0.0.1:1/d", [double.url])
    assert answer.status == 503
    assert "connection" in orjson.loads(answer.body)["database"]
    assert b"hunter2" not in answer.body


async def test_an_answer_is_good_for_a_while(database, double):
    async with Readiness(database, [double.url], None) as readiness:
        for _ in range(20):
            await readiness.answer()
    assert double.stats()["requests"]["/api/version"] < 20
