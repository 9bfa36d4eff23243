"""The values for Dagster's chart, against the parts of its schema that they use."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from dagster._config import process_config, resolve_to_config_type
from dagster_k8s import K8sRunLauncher
from dagster_k8s.job import (
    DagsterK8sJobConfig,
    UserDefinedDagsterK8sConfig,
    construct_dagster_k8s_job,
)
from kubernetes.client import ApiClient

from ingestion_assets_tests.deploy.given import (
    ROOT,
    arguments_of,
    container_of,
    known_variables,
    manifest,
    parse,
    secret_variables,
)

VALUES: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "helm" / "values.yaml").read_text())
SCHEMA = json.loads(Path(__file__).with_name("chart.schema.json").read_text())
[CODE] = VALUES["dagster-user-deployments"]["deployments"]
LAUNCHER = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
INSTANCE = yaml.safe_load((ROOT / "dagster.yaml").read_text())


def test_they_fit_the_chart() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert [error.message for error in validator.iter_errors(VALUES)] == []


@pytest.mark.parametrize("path", ["dagsterDaemon", "runLauncher", "concurrency", "postgresql"])
def test_a_misspelt_value_does_not_fit(path: str) -> None:
    wrong = deepcopy(VALUES)
    wrong[path]["enabledd"] = True
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMA)


def test_the_launcher_takes_what_the_chart_gives_it() -> None:
    run = LAUNCHER["runK8sConfig"]
    config: dict[str, Any] = {
        "service_account_name": "dagster",
        "instance_config_map": "dagster-instance",
        "dagster_home": VALUES["global"]["dagsterHome"],
        "load_incluster_config": LAUNCHER["loadInclusterConfig"],
        "image_pull_policy": LAUNCHER["imagePullPolicy"],
        "run_k8s_config": {
            "container_config": run["containerConfig"],
            "pod_spec_config": run["podSpecConfig"],
            "job_spec_config": run["jobSpecConfig"],
        },
    }
    fields = K8sRunLauncher.config_type()  # type: ignore[no-untyped-call]
    outcome = process_config(resolve_to_config_type(fields), config)
    assert outcome.success, outcome.errors
    given = UserDefinedDagsterK8sConfig.from_dict(  # type: ignore[no-untyped-call]
        config["run_k8s_config"]
    )
    job = construct_dagster_k8s_job(
        DagsterK8sJobConfig(container_of("api")["image"], VALUES["global"]["dagsterHome"]),
        ["dagster", "api", "execute_run"],
        "a-run",
        given,
    )
    launched = ApiClient().sanitize_for_serialization(job)
    kubernetes_validate.validate(launched, kubernetes_validate.latest_version(), strict=True)
    spec = launched["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"] == run["containerConfig"]["resources"]
    assert spec["securityContext"]["runAsUser"] == 10001


def test_everything_runs_the_image_as_its_user() -> None:
    deployed = [VALUES["dagsterWebserver"], VALUES["dagsterDaemon"], CODE]
    pods = [each["podSecurityContext"] for each in deployed]
    pods.append(LAUNCHER["runK8sConfig"]["podSpecConfig"]["securityContext"])
    for pod in pods:
        assert [f"{pod['runAsUser']}:{pod['runAsGroup']}"] == arguments_of("USER")
    tags = {each["image"]["tag"] for each in deployed}
    assert tags == {container_of("api")["image"].partition(":")[2]}


def test_code_server_is_started_by_a_command_that_exists() -> None:
    start = ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", str(CODE["port"])]
    parse([*start, *CODE["codeServerArgs"]])


def test_secrets_come_by_reference_and_are_those_of_the_manifests() -> None:
    assert VALUES["generatePostgresqlPasswordSecret"] is False
    assert "postgresqlPassword" not in VALUES["postgresql"]
    given = {variable["name"]: variable for variable in CODE["env"]}
    assert given.keys() <= known_variables()
    for name in given.keys() & secret_variables():
        [same] = [each for each in container_of("api")["env"] if each["name"] == name]
        assert given[name]["valueFrom"] == same["valueFrom"]
    assert CODE["envConfigMaps"] == [{"name": manifest()["ConfigMap"]["metadata"]["name"]}]


def test_runs_have_what_the_code_server_has() -> None:
    assert CODE["includeConfigInLaunchedRuns"] == {"enabled": True}
    mounted = {mount["name"] for mount in CODE["volumeMounts"]}
    assert mounted == {volume["name"] for volume in CODE["volumes"]}


def test_instance_is_the_one_of_dagster_yaml_where_that_is_no_matter_of_one_host() -> None:
    daemon = VALUES["dagsterDaemon"]
    monitoring, retries = daemon["runMonitoring"], daemon["runRetries"]
    assert monitoring["startTimeoutSeconds"] == INSTANCE["run_monitoring"]["start_timeout_seconds"]
    assert monitoring["pollIntervalSeconds"] == INSTANCE["run_monitoring"]["poll_interval_seconds"]
    assert retries["maxRetries"] == INSTANCE["run_retries"]["max_retries"]
    assert retries["retryOnAssetOrOpFailure"] is False
    pools = VALUES["concurrency"]["pools"]
    assert pools["granularity"] == INSTANCE["concurrency"]["pools"]["granularity"]
