"""All manifests, against Kubernetes' schemas, and the project's settings and commands."""

from copy import deepcopy

import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from ingestion_assets.settings import Settings
from ingestion_assets_tests.deploy.given import (
    ROOT,
    container_of,
    known_variables,
    manifest,
    parse,
    pod_of,
    probes_of,
    secret_variables,
)

OLDEST = "1.27"  # a budget's unhealthyPodEvictionPolicy
NAMES = sorted(path.stem for path in (ROOT / "deploy" / "k8s").glob("*.yaml"))
OBJECTS = [(name, kind) for name in NAMES for kind in manifest(name)]
serving = pytest.mark.parametrize("name", ["embedding-worker", "api"])


def test_there_is_a_manifest_for_worker_api_and_scaling_and_no_secret_in_any() -> None:
    assert NAMES == ["api", "autoscaling", "embedding-worker"]
    assert "Secret" not in {kind for _, kind in OBJECTS}


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize(("name", "kind"), OBJECTS)
def test_object_fits_the_schema(name: str, kind: str, version: str) -> None:
    kubernetes_validate.validate(manifest(name)[kind], version, strict=True)


def test_a_misspelt_field_does_not_fit() -> None:
    wrong = deepcopy(manifest()["Deployment"])
    wrong["spec"]["template"]["spec"]["containers"][0]["livenessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


@serving
def test_pod_is_not_root_and_has_no_token(name: str) -> None:
    spec = pod_of(name)["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()


@serving
def test_container_writes_nowhere_but_in_tmp_and_gains_nothing(name: str) -> None:
    container = container_of(name)
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]


@serving
def test_its_arguments_are_a_command(name: str) -> None:
    parse(container_of(name)["args"])


@serving
def test_its_variables_are_settings_of_the_right_form(name: str) -> None:
    config = manifest()["ConfigMap"]["data"]
    given = {variable["name"] for variable in container_of(name)["env"]}
    assert given | config.keys() <= known_variables()
    assert Settings.from_environment(config) != Settings()


@serving
def test_secrets_come_by_reference(name: str) -> None:
    assert not secret_variables() & manifest()["ConfigMap"]["data"].keys()
    sources = {given["name"]: given.get("valueFrom", {}) for given in container_of(name)["env"]}
    secret = sources.keys() & secret_variables()
    assert secret >= {"INGESTION_DATABASE_URL", "OLLAMA_API_KEY"}
    assert all("secretKeyRef" in sources[name] for name in secret)


@serving
def test_a_service_of_any_name_changes_no_setting(name: str) -> None:
    assert pod_of(name)["spec"]["enableServiceLinks"] is False


@serving
def test_names_and_selectors_find_what_they_mean(name: str) -> None:
    objects, pod = manifest(name), pod_of(name)
    labels = pod["metadata"]["labels"]
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert objects["Service"]["spec"]["selector"] == labels
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert pod["spec"]["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"]
    [config] = container_of(name)["envFrom"]
    assert config["configMapRef"]["name"] == manifest()["ConfigMap"]["metadata"]["name"]


@serving
def test_it_listens_where_probes_come_from(name: str) -> None:
    [host] = [given for given in container_of(name)["env"] if given["name"].endswith("_HOST")]
    assert host["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    [port] = container_of(name)["ports"]
    assert {p["httpGet"]["port"] for p in probes_of(name) if "httpGet" in p} == {port["name"]}
