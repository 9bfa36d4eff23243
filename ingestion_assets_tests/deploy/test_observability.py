"""Metrics, dashboard, alert rules and their page agree; promtool judges, where it is installed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from ingestion_assets.metrics import DATABASE_GAUGES, RUN_COUNTERS
from ingestion_assets_tests.conftest import fresh_database
from ingestion_assets_tests.deploy.exposed import exposed
from ingestion_assets_tests.deploy.given import ROOT

FOLDER = ROOT / "deploy" / "observability"
RULES = FOLDER / "alerts.yaml"
DASHBOARD = FOLDER / "dashboard.json"
PAGE = ROOT / "docs" / "observability.md"
_METRIC = re.compile(r"\b(?:ingest|ingestion|embedding|process)_[a-z0-9_]+\b")
_SELECTOR = re.compile(r"\b([a-z0-9_]+)\{([^}]*)\}")


@pytest.fixture(scope="module")
def texts(
    postgres: str, template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, str]]:
    with fresh_database(postgres, template) as database:
        yield exposed(database, tmp_path_factory.mktemp("worker") / "log")


@pytest.fixture(scope="module")
def labels(texts: Mapping[str, str]) -> Mapping[str, set[str]]:
    """The labels of every series' name; a metric without a value has none."""
    found: dict[str, set[str]] = {}
    for text in texts.values():
        for family in text_string_to_metric_families(text):
            for name in _series(family.name, family.type):
                found.setdefault(name, set())
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return found


@pytest.mark.parametrize("process", ["worker", "api"])
def test_promtool_has_no_objection_to_the_metrics(process, texts, promtool):
    result = subprocess.run(
        [promtool, "check", "metrics"],
        input=texts[process],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_promtool_has_no_objection_to_the_rules(promtool):
    result = subprocess.run(
        [promtool, "check", "rules", str(RULES)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(_alerts())} rules found" in result.stdout


def test_every_alert_fires_when_it_should_and_not_before(promtool):
    cases = Path(__file__).with_name("alerts_test.yaml")
    assert all(alert["alert"] in cases.read_text() for alert in _alerts())
    result = subprocess.run(
        [promtool, "test", "rules", str(cases)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("process", ["worker", "api"])
def test_every_metric_of_the_database_is_exposed_with_a_value_and_its_help(process, texts):
    families = {f.name: f for f in text_string_to_metric_families(texts[process])}
    for metrics in (RUN_COUNTERS, DATABASE_GAUGES):
        for name, (documentation, labels) in metrics.items():
            family = families[name.removesuffix("_total")]
            assert family.documentation == documentation
            assert all(set(sample.labels) == set(labels) for sample in family.samples)
            assert family.samples


@pytest.mark.parametrize("process", ["worker", "api"])
def test_names_are_unique_and_counters_say_that_they_are(process, texts):
    families = list(text_string_to_metric_families(texts[process]))
    assert len({family.name for family in families}) == len(families)
    declared = re.findall(r"^# TYPE (\S+) (\S+)$", texts[process], re.MULTILINE)
    assert all(name.endswith("_total") for name, kind in declared if kind == "counter")


def test_no_label_names_a_document_or_a_partition(labels):
    used = set().union(*labels.values())
    assert not used & {"uri", "document", "chunk", "partition", "run"}


def test_dashboard_and_alerts_ask_for_what_exists(labels):
    for query in _queries():
        named = set(_METRIC.findall(_SELECTOR.sub(r"\1", query)))
        assert named <= labels.keys(), query
        for name, selector in _SELECTOR.findall(query):
            wanted = set(re.findall(r"(\w+)\s*[=!]", selector))
            assert not labels[name] or wanted <= labels[name] | {"job", "instance"}, query


def test_the_dashboard_can_be_imported():
    dashboard = json.loads(DASHBOARD.read_text())
    assert dashboard["id"] is None
    assert dashboard["uid"]
    assert dashboard["schemaVersion"] >= 36
    [source] = [v for v in dashboard["templating"]["list"] if v["type"] == "datasource"]
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": f"${{{source['name']}}}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(target["expr"] and target["refId"] for target in panel["targets"])
    assert _overlapping(dashboard["panels"]) == []


def test_every_alert_leads_to_a_section_of_the_page():
    headings = re.findall(r"^#+ (.+)$", PAGE.read_text(), re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    for alert in _alerts():
        page, _, anchor = alert["annotations"]["runbook_url"].rpartition("#")
        assert page.endswith("/docs/observability.md")
        assert anchor in anchors
        assert alert["labels"]["severity"] in ("warning", "critical")
        assert alert["annotations"]["summary"]


def test_the_page_lists_every_metric_and_no_other(labels):
    section = PAGE.read_text().partition("## Metrics")[2].partition("## Dashboard")[0]
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE))
    declared = {re.sub(r"_(bucket|count|sum)$", "", name) for name in labels}
    known = {name for name in declared if not name.startswith("process_")}
    assert listed == known - {name for name in known if name.endswith("_created")}


def _series(name: str, kind: str) -> tuple[str, ...]:
    match kind:
        case "counter":
            return (f"{name}_total",)
        case "histogram":
            return (f"{name}_bucket", f"{name}_count", f"{name}_sum")
    return (name,)


def _alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    assert shown
    return [*shown, *(alert["expr"] for alert in _alerts())]


def _overlapping(panels: list[dict[str, Any]]) -> list[tuple[str, str]]:
    places = [(panel["title"], panel["gridPos"]) for panel in panels]
    return [
        (one, other)
        for n, (one, a) in enumerate(places)
        for other, b in places[n + 1 :]
        if a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"]
        and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]
    ]  # fmt: skip
