"""The worker's manifest, against Kubernetes' schemas and against the program that it runs."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner

from ingestion_assets.cli import main
from ingestion_assets.settings import Settings
from ingestion_assets.worker.process import LAST_RESORT
from ingestion_assets_tests.deploy.given import known_variables, manifest, secret_variables
from ingestion_assets_tests.services.faulty_ollama import running
from ingestion_assets_tests.worker.running import wait_for, worker

OLDEST = "1.27"  # a budget's unhealthyPodEvictionPolicy
KINDS = ["ServiceAccount", "ConfigMap", "Deployment", "Service", "PodDisruptionBudget"]


@pytest.fixture
def pod() -> dict[str, Any]:
    template: dict[str, Any] = manifest()["Deployment"]["spec"]["template"]
    return template


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    [container] = pod["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def test_these_objects_are_made_and_no_secret() -> None:
    assert list(manifest()) == KINDS


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("kind", KINDS)
def test_object_fits_the_schema(kind: str, version: str) -> None:
    kubernetes_validate.validate(manifest()[kind], version, strict=True)


def test_a_misspelt_field_does_not_fit() -> None:
    wrong = deepcopy(manifest()["Deployment"])
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_pod_is_not_root_and_has_no_token(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


def test_container_writes_nowhere_but_in_tmp_and_gains_nothing(container: dict[str, Any]) -> None:
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


def test_it_asks_for_little_and_for_no_gpu(container: dict[str, Any]) -> None:
    assert container["resources"] == {
        "requests": {"cpu": "10m", "memory": "64Mi"},
        "limits": {"memory": "256Mi"},
    }


def test_its_arguments_are_a_command(container: dict[str, Any]) -> None:
    assert container["args"] == ["worker"]
    result = CliRunner().invoke(main, [*container["args"], "--help"])
    assert result.exit_code == 0, result.output


def test_its_variables_are_settings_of_the_right_form(container: dict[str, Any]) -> None:
    config = manifest()["ConfigMap"]["data"]
    given = {variable["name"] for variable in container["env"]}
    assert given | config.keys() <= known_variables()
    assert Settings.from_environment(config) != Settings()


def test_secrets_come_by_reference(container: dict[str, Any]) -> None:
    assert not secret_variables() & manifest()["ConfigMap"]["data"].keys()
    sources = {given["name"]: given.get("valueFrom", {}) for given in container["env"]}
    secret = {name for name in sources if name in secret_variables()}
    assert secret == {"INGESTION_DATABASE_URL", "OLLAMA_API_KEY"}
    assert all("secretKeyRef" in sources[name] for name in secret)


def test_a_service_of_any_name_changes_no_setting(pod: dict[str, Any]) -> None:
    assert pod["spec"]["enableServiceLinks"] is False


def test_names_and_selectors_find_what_they_mean(pod: dict[str, Any]) -> None:
    objects, labels = manifest(), pod["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert pod["spec"]["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"]
    [config] = pod["spec"]["containers"][0]["envFrom"]
    assert config["configMapRef"]["name"] == objects["ConfigMap"]["metadata"]["name"]


def test_ports_are_the_one_that_the_worker_listens_on(container: dict[str, Any]) -> None:
    [port] = container["ports"]
    [service] = manifest()["Service"]["spec"]["ports"]
    assert port["containerPort"] == service["port"] == Settings().worker_port
    assert service["targetPort"] == port["name"]
    assert {probe["httpGet"]["port"] for probe in _probes(container)} == {port["name"]}


def test_health_is_served_where_probes_come_from(container: dict[str, Any]) -> None:
    [host] = [given for given in container["env"] if given["name"] == "INGEST_WORKER_HOST"]
    assert host["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"


def test_it_is_killed_later_than_it_ends(pod: dict[str, Any]) -> None:
    assert pod["spec"]["terminationGracePeriodSeconds"] > LAST_RESORT


def test_the_running_worker_answers_every_probe(
    tmp_path: Path, database: str, container: dict[str, Any]
) -> None:
    paths = {probe["httpGet"]["path"] for probe in _probes(container)}
    with running() as double:
        environment = {
            "INGESTION_DATABASE_URL": database,
            "OLLAMA_HOST": double.url,
            "INGEST_WORKER_PORT": "0",
        }
        with worker(tmp_path / "log", environment=environment) as process:
            wait_for(lambda: {process.get(path).status_code for path in paths} == {200})
            assert process.get("/metrics").status_code == 200
            assert process.stop() == 0


def _probes(container: dict[str, Any]) -> list[dict[str, Any]]:
    return [container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")]
