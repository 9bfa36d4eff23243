"""`ingest run` and its options, with real Dagster runs in this process."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from ingestion_assets.cli import main
from ingestion_assets.defs import launch, servers
from ingestion_assets.store.connection import connect
from ingestion_assets_tests.services.faulty_ollama import running
from ingestion_assets_tests.sources.web.website import website

ROOT = Path(__file__).parents[2]
SOURCES = """
sources:
  - {name: notes, root: notes}
  - {name: wiki, root: wiki, buckets: 2}
"""

PAGES = """
from ingestion_assets.sources import Record

def pages(count):
    for n in range(count):
        yield Record(f"page/{n}", f"The word is page{n}.")
"""

Ingest: TypeAlias = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_bytes((ROOT / "dagster.yaml").read_bytes())
    (tmp_path / "sources.yaml").write_text(SOURCES)
    for name in ("notes", "wiki"):
        (tmp_path / name).mkdir()
        for n in range(6):
            (tmp_path / name / f"{n}.md").write_text(f"# {name} {n}\n\nThe word is {name}x{n}.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def double():
    with running() as double:
        yield double


@pytest.fixture
def ingest(folder: Path, database: str, double, monkeypatch: pytest.MonkeyPatch) -> Ingest:
    """The command in the folder; what it puts into the environment goes with the test."""
    settings = {
        "INGESTION_DATABASE_URL": database,
        "OLLAMA_HOST": double.url,
        "INGEST_WORKERS": "4",
        "INGEST_MAX_WORKERS": "8",
        "COLUMNS": "80",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_HOME", str(folder / ".dagster_home"))
    launch.prepare_home(folder)
    servers.database_url.cache_clear()  # where a process is told once where its servers are
    servers.ollama_host.cache_clear()
    return lambda *arguments: CliRunner().invoke(main, arguments)


def _json(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


def test_plan_says_what_the_run_then_does(ingest: Ingest) -> None:
    planned = _json(ingest("run", "--plan", "--json"))
    done = _json(ingest("run", "--json"))
    for plan, summary in zip(planned, done, strict=True):
        assert (plan["new"], plan["chunks"], plan["texts"]) == (6, 6, 6)
        assert (summary["new"], summary["chunks"], summary["embedded"]) == (6, 6, 6)
    again = _json(ingest("run", "--plan", "--json"))
    assert all(plan["texts"] == plan["chunks"] == plan["new"] == 0 for plan in again)


ALL_KINDS = """sources:
  - {{name: folder, root: notes}}
  - {{name: rows, postgres: {{url_env: ROWS_URL, query: "SELECT uri, body AS text FROM given"}}}}
  - {{name: pages, sitemap: "{site}/sitemap.xml", delay: 0}}
  - {{name: tree, git: repository}}
  - {{name: objects, url: "file://{folder}/wiki"}}
"""


def test_all_kinds_of_sources_are_listed_planned_run_and_kept_when_they_are_away(
    ingest: Ingest, folder: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROWS_URL", database)
    repository = folder / "repository"
    (folder / "wiki").rename(repository)
    subprocess.run("git init -q && git add .", shell=True, cwd=repository, check=True)
    (folder / "wiki").mkdir()
    for n in range(6):
        (folder / "wiki" / f"{n}.md").write_text(f"The word is object{n}.\n")
    with website() as site, connect(database) as connection:
        site.sitemap(*(site.put(f"/{n}", f"<p>The word is web{n}.") for n in range(6)))
        connection.execute("CREATE TABLE given AS SELECT 'row/' || n AS uri, 'Row ' || n AS body"
                           " FROM generate_series(1, 6) n")  # fmt: skip
        (folder / "sources.yaml").write_text(ALL_KINDS.format(site=site.url, folder=folder))
        assert [row["documents"] for row in _json(ingest("sources", "--json"))] == [6] * 5
        assert [row["new"] for row in _json(ingest("run", "--plan", "--json"))] == [6] * 5
        done = _json(ingest("run", "rows", "pages", "--json"))
        assert [row["embedded"] for row in done] == [6, 6]
        planned = _json(ingest("run", "rows", "pages", "--plan", "--json"))
        assert [row["texts"] for row in planned] == [0, 0]
    monkeypatch.setenv("ROWS_URL", "postgresql://me:hidden@127.0.0.1:1/nowhere")
    result = ingest("run", "rows", "--json")
    assert result.exit_code == 1
    assert "nothing is deleted" in result.stdout
    assert "hidden" not in result.output
    with connect(database) as connection:
        kinds = connection.execute("SELECT kind, config::text FROM ingestion.sources").fetchall()
        row = connection.execute("SELECT count(*) FROM ingestion.documents").fetchone()
    assert sorted(kind for kind, _ in kinds) == ["postgres", "web"]
    assert "ROWS_URL" in str(kinds)
    assert row == (12,)


def test_plan_writes_nothing_and_sends_no_text(ingest: Ingest, double) -> None:
    ingest("run", "--plan")
    assert double.stats()["texts_seen"] == 0
    assert "Nothing is stored yet" in ingest("status").stderr


def test_plan_estimates_from_the_rate_of_earlier_runs(ingest: Ingest, folder: Path) -> None:
    [first] = _json(ingest("run", "notes", "--plan", "--json"))
    ingest("run", "notes")
    (folder / "notes" / "new.md").write_text("# New\n\nSome more.\n")
    [second] = _json(ingest("run", "notes", "--plan", "--json"))
    assert (first["seconds"], second["texts"]) == (None, 1)
    assert second["seconds"] > 0


def test_sequential_says_so_and_sends_one_request_at_a_time(ingest: Ingest, double) -> None:
    result = ingest("run", "--sequential")
    assert "(sequential mode)" in result.stderr
    assert "Mode: sequential" in result.stdout
    assert double.stats()["max_in_flight"] == 1


def test_workers_above_the_maximum_are_capped_with_a_warning(ingest: Ingest) -> None:
    result = ingest("run", "notes", "--workers", "12")
    assert "12 workers are more than INGEST_MAX_WORKERS=8: using 8" in result.stderr
    assert "Mode: parallel (8w)" in result.stdout


def test_source_option_is_the_argument(ingest: Ingest) -> None:
    assert [s["source"] for s in _json(ingest("run", "--source", "wiki", "--json"))] == ["wiki"]


def test_mass_deletion_waits_for_a_yes(ingest: Ingest, folder: Path) -> None:
    ingest("run", "wiki")
    for n in range(3):
        (folder / "wiki" / f"{n}.md").unlink()
    [planned] = _json(ingest("run", "wiki", "--plan", "--json"))
    [refusal] = planned["refused"]
    assert "3 of the 6 documents of source 'wiki'" in refusal
    refused = ingest("run", "wiki")
    assert refused.exit_code == 1
    assert "--yes" in refused.stderr
    [summary] = _json(ingest("run", "wiki", "--yes", "--json"))
    assert (summary["deleted"], summary["documents"]) == (3, 3)


def test_data_dir_is_read_instead_of_the_root(ingest: Ingest, folder: Path) -> None:
    ingest("run", "notes")
    (folder / "notes").rename(folder / "elsewhere")
    [summary] = _json(ingest("run", "notes", "--data-dir", "elsewhere", "--json"))
    assert (summary["documents"], summary["new"], summary["embedded"]) == (6, 0, 0)


def test_data_dir_counts_for_the_plan(ingest: Ingest) -> None:
    [planned] = _json(ingest("run", "notes", "--plan", "--data-dir", "wiki", "--json"))
    assert planned["new"] == 6


def test_data_dir_needs_one_source(ingest: Ingest) -> None:
    result = ingest("run", "--data-dir", "notes")
    assert (result.exit_code, "2 are chosen; name one" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    "options", [("--sequential", "--workers", "3"), ("--clean", "--resume"), ("--clean", "--plan")]
)
def test_options_that_contradict_each_other_are_refused(
    ingest: Ingest, options: tuple[str, ...]
) -> None:
    result = ingest("run", *options)
    assert result.exit_code == 2
    assert "contradict each other" in result.stderr


def test_resume_is_the_default(ingest: Ingest) -> None:
    ingest("run", "notes")
    [summary] = _json(ingest("run", "notes", "--resume", "--json"))
    assert (summary["new"], summary["embedded"]) == (0, 0)


def test_clean_does_everything_again_while_the_old_is_found(
    ingest: Ingest, double, database: str
) -> None:
    ingest("run", "notes")
    sent = double.stats()["texts_seen"]
    double.break_by({"fault": "F10", "match": "notesx3"})
    [summary] = json.loads(ingest("run", "notes", "--clean", "--json").stdout)
    assert (summary["documents"], summary["embedded"], summary["quarantined"]) == (6, 5, 1)
    assert double.stats()["texts_seen"] >= sent + 6
    double.break_by()
    [summary] = _json(ingest("run", "notes", "--clean", "--json"))
    assert summary["embedded"] == 6


def test_report_is_of_all_runs_of_the_command(ingest: Ingest, double) -> None:
    busy = {"fault": "F14", "status": 429, "times": 1, "match": "notesx3"}
    double.break_by(busy)
    notes, wiki = _json(ingest("run", "--json"))
    assert (len(notes["runs"]), len(wiki["runs"])) == (1, 2)
    assert wiki["stages"]["sources"]["items"] == wiki["stages"]["embeddings"]["items"] == 6
    report = json.loads(ingest("report", "--json").stdout)
    assert [run["run_id"] for run in report["runs"]] == [*notes["runs"], *wiki["runs"]]
    stage, course = report["stages"]["embeddings"], report["courses"]["embeddings"]
    assert (stage["items"], stage["rate_limit_hits"], stage["retries"]) == (12, 1, 1)
    assert sum(course["per_s"]) * course["interval_s"] == pytest.approx(12, rel=0.01)
    assert stage["bytes"] > 0
    assert stage["p95_ms"] >= stage["p50_ms"] > 0
    assert json.loads(ingest("report", wiki["runs"][1][:12], "--json").stdout) == report
    assert "no run's id begins with 'nope'" in ingest("report", "nope").stderr
    shown = ingest("report").stdout.splitlines()
    assert shown[0].endswith(" s")
    assert "and 2 more: 3 success;" in shown[0]
    assert max(map(len, shown)) <= 80


def test_verbose_prints_a_line_for_every_request(ingest: Ingest, caplog) -> None:
    ingest("run", "notes", "--verbose")
    assert any("texts" in record.message for record in caplog.records)


def test_rebucket_moves_documents_and_the_next_run_reads_nothing(
    ingest: Ingest, folder: Path, double
) -> None:
    ingest("run")
    sent = double.stats()["texts_seen"]
    result = ingest("rebucket", "notes", "4")
    assert result.exit_code == 0, result.output
    assert "buckets: 4" in (folder / "sources.yaml").read_text()
    [summary] = _json(ingest("run", "notes", "--json"))
    assert (summary["documents"], summary["new"], summary["changed"], summary["embedded"]) == (
        6, 0, 0, 0,
    )  # fmt: skip
    assert double.stats()["texts_seen"] == sent
    with dg.DagsterInstance.get() as instance:
        keys = instance.get_dynamic_partitions("source_bucket")
    notes = [f"notes/{n:02}" for n in range(4)]
    assert keys == ["wiki/00", "wiki/01", *notes]  # neighbours, so that they are a range


def test_a_function_is_run_planned_and_rebucketed_as_a_folder_is(
    ingest: Ingest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "run_and_planned.py").write_text(PAGES)
    source = "{name: pages, python: 'run_and_planned:pages', arguments: {count: 6}, buckets: 2}"
    (folder / "sources.yaml").write_text(f"sources:\n  - {source}\n")
    [planned] = _json(ingest("run", "--plan", "--json"))
    [done] = _json(ingest("run", "--json"))
    assert (planned["new"], planned["texts"]) == (done["new"], done["embedded"]) == (6, 6)
    assert ingest("rebucket", "pages", "4").exit_code == 0
    [again] = _json(ingest("run", "--json"))
    assert (again["documents"], again["new"], again["changed"], again["embedded"]) == (6, 0, 0, 0)
    refused = ingest("run", "--data-dir", "wiki")
    assert (refused.exit_code, "leave the folder out" in refused.stderr) == (2, True)


def test_a_function_that_fails_is_named_and_loses_nothing(
    ingest: Ingest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "fails_then.py").write_text(PAGES)
    entry = "sources: [{name: pages, python: 'fails_then:pages', arguments: {count: %s}}]"
    (folder / "sources.yaml").write_text(entry % 6)
    assert ingest("run").exit_code == 0
    (folder / "sources.yaml").write_text(entry % "many")
    failed = ingest("run", "--json")
    assert failed.exit_code == 1
    assert "nothing is deleted" in failed.stdout + failed.stderr
    (folder / "sources.yaml").write_text(entry % 6)
    [summary] = _json(ingest("run", "--json"))
    assert (summary["documents"], summary["new"]) == (6, 0)


def test_rebucket_refuses_what_is_no_power_of_two(ingest: Ingest, folder: Path) -> None:
    before = (folder / "sources.yaml").read_text()
    result = ingest("rebucket", "notes", "6")
    assert (result.exit_code, "power of two" in result.stderr) == (2, True)
    assert (folder / "sources.yaml").read_text() == before


def test_a_source_that_is_taken_out_is_named_and_can_be_removed(
    ingest: Ingest, folder: Path, double
) -> None:
    ingest("run")
    assert ingest("sources", "remove", "wiki", "--yes").exit_code == 2  # it is listed
    (folder / "sources.yaml").write_text("sources: [{name: notes, root: notes}]")
    assert "sources remove wiki" in ingest("run").stderr
    assert "nothing is stored of an unlisted source 'wikki'; of these there is: wiki" in (
        ingest("sources", "remove", "wikki", "--yes").stderr
    )
    removed = ingest("sources", "remove", "wiki", "--yes")
    assert (removed.exit_code, "wiki: 6 documents are deleted" in removed.stderr) == (0, True)
    [left] = {p["source"] for p in json.loads(ingest("status", "--json").stdout)["partitions"]}
    assert left == "notes"
    with dg.DagsterInstance.get() as instance:
        assert instance.get_dynamic_partitions("source_bucket") == ["notes/00"]
    assert "wiki" not in ingest("run").stderr
    assert (folder / "wiki" / "0.md").exists()
