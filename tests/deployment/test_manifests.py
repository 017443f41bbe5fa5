"""Every manifest is valid: by KubeRay's schemas, the operator's rules, Kubernetes' schemas; broken copies are not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from deployment.kuberay_rules import CRON_RULES, RAY_RULES, violations
from deployment.manifests import DEPLOY, ROOT, documents, manifest, schema_problems, unshared

from featflow.config import load

KUBERNETES = "1.34"
RAY_FILES = ("rayjob.yaml", "raycronjob.yaml")
CORE_FILES = ("access.yaml", "cronjob.yaml")
NO_SCHEMA = {"podmonitor.yaml", "kustomization.yaml", "featflow.yaml"}
"""Files whose kinds have no schema in the packages of the tests; each has tests of its own here."""


def test_every_file_is_checked_by_something():
    assert {path.name for path in DEPLOY.glob("*.yaml")} == {*RAY_FILES, *CORE_FILES, *NO_SCHEMA}


@pytest.mark.parametrize("name", RAY_FILES)
def test_ray_manifests_are_valid(name):
    assert violations(manifest(name)) == {}
    assert schema_problems(manifest(name)) == []


@pytest.mark.parametrize("name", CORE_FILES)
def test_core_manifests_are_valid(name):
    for each in documents(name):
        kubernetes_validate.validate(unshared(each), KUBERNETES, strict=True)
    assert all(violations(each) == {} for each in documents(name) if each["kind"] == "CronJob")


def put(*path, value):
    """Return a change that puts a value at a path below spec; None removes what is there."""

    def change(broken):
        place = broken["metadata"] if path == ("name",) else broken["spec"]
        for key in path[:-1]:
            place = place[key] if isinstance(place, list) else place.setdefault(key, {})
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def changes(*several):
    def change(broken):
        for each in several:
            each(broken)

    return change


HEAD = ("rayClusterSpec", "headGroupSpec")
RULE = {"condition": {"jobStatus": "FAILED", "ttlSeconds": 60}, "policy": "DeleteCluster"}
DELETE_WORKERS = {"onSuccess": {"policy": "DeleteWorkers"}, "onFailure": {"policy": "DeleteCluster"}}
NO_SHUTDOWN = put("shutdownAfterJobFinishes", value=None)
BREAKS = [
    ("one_cluster", put("clusterSelector", value={"ray.io/cluster": "theirs"}), put("backoffLimit", value=0)),
    ("one_cluster", put("rayClusterSpec", value=None)),
    ("short_name", put("name", value="n" * 48)),
    ("retries_make_clusters", put("backoffLimit", value=-1)),
    (
        "retries_make_clusters",
        changes(put("rayClusterSpec", value=None), put("clusterSelector", value={"ray.io/cluster": "theirs"})),
    ),
    ("time_to_live_needs_shutdown", NO_SHUTDOWN),
    ("shutdown_excludes_deletion_rules", put("deletionStrategy", value={"deletionRules": [RULE]})),
    ("no_deletion_of_scaled_workers", put("deletionStrategy", value=DELETE_WORKERS)),
    ("positive_deadline", put("activeDeadlineSeconds", value=0)),
    (
        "suspension_needs_shutdown",
        changes(put("suspend", value=True), NO_SHUTDOWN, put("ttlSecondsAfterFinished", value=0)),
    ),
    ("known_submission_mode", put("submissionMode", value="SSHMode")),
    (
        "sidecar_head_never_restarts",
        changes(
            put("submissionMode", value="SidecarMode"), put(*HEAD, "template", "spec", "restartPolicy", value="Always")
        ),
    ),
    ("scales_by_version_two", put("rayClusterSpec", "autoscalerOptions", "version", value="v1")),
    ("scales_by_version_two", put("rayClusterSpec", "enableInTreeAutoscaling", value=False)),
    ("head_takes_no_tasks", put(*HEAD, "rayStartParams", "num-cpus", value=None)),
    ("driver_asks_for_no_cores", put("entrypointNumCpus", value=1)),
]


@pytest.mark.parametrize(("rule", "change"), [(name, changes(*made)) for name, *made in BREAKS])
def test_a_copy_that_breaks_a_rule_breaks_that_one_alone(rule, change):
    broken = unshared(manifest("rayjob.yaml"))
    change(broken)
    assert list(violations(broken)) == [rule]
    assert schema_problems(broken) == []  # that is why there is a rule


def test_copies_of_cron_jobs_break_theirs():
    for name, key, rule in (
        ("raycronjob.yaml", "concurrencyPolicy", "cron_has_four_keys"),
        ("cronjob.yaml", "concurrencyPolicy", "nights_do_not_overlap"),
    ):
        broken = unshared(manifest(name))
        broken["spec"][key] = "Allow"
        assert list(violations(broken)) == [rule]
    for name in ("raycronjob.yaml", "cronjob.yaml"):
        broken = unshared(manifest(name))
        broken["metadata"]["name"] = "n" * 39  # with the minute, 48
        assert list(violations(broken)) == ["short_name"]


def test_every_rule_is_broken_by_some_copy():
    broken = {name for name, *_ in BREAKS} | {"cron_has_four_keys", "nights_do_not_overlap"}
    assert broken == {rule.__name__ for rule in (*RAY_RULES, *CRON_RULES)}


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("ttlSecondsAfterFinish",), 60, "ttlSecondsAfterFinish"),
        (("backoffLimit",), "one", "'one' is not of type 'integer'"),
        (("rayClusterSpec", "autoscalerOptions", "version"), "v3", "'v3' is not one of"),
        (("rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "serviceAcountName"), "x", "serviceAcountName"),
        ((*HEAD, "template", "spec", "containers", 0, "resources", "limits", "cpu"), [2], "[2] is not valid"),
    ],
)
def test_schemas_refuse_unknown_fields_and_wrong_types(path, value, said):
    broken = unshared(manifest("rayjob.yaml"))
    put(*path, value=value)(broken)
    (problem,) = schema_problems(broken)
    assert said in problem


def test_kubernetes_schemas_refuse_unknown_fields():
    broken = unshared(manifest("cronjob.yaml"))
    broken["spec"]["concurencyPolicy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError, match="concurencyPolicy"):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


def test_the_cron_job_of_kuberay_makes_the_same_run():
    ours = manifest("cronjob.yaml")["spec"]
    theirs = manifest("raycronjob.yaml")["spec"]
    assert theirs["jobTemplate"] == manifest("rayjob.yaml")["spec"]
    assert (theirs["schedule"], theirs["timeZone"]) == (ours["schedule"], ours["timeZone"])


def pods():
    """Yield every pod template of the manifests, with where it is."""
    job = manifest("rayjob.yaml")["spec"]
    yield "submitter", job["submitterPodTemplate"]
    yield "head", job["rayClusterSpec"]["headGroupSpec"]["template"]
    for group in job["rayClusterSpec"]["workerGroupSpecs"]:
        yield group["groupName"], group["template"]
    yield "launcher", manifest("cronjob.yaml")["spec"]["jobTemplate"]["spec"]["template"]


@pytest.mark.parametrize("name", ["submitter", "head", "cpu", "gpu", "launcher"])
def test_pods_meet_the_restricted_standard(name):
    pod = dict(pods())[name]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    scaler = manifest("rayjob.yaml")["spec"]["rayClusterSpec"]["autoscalerOptions"]
    for container in [*pod["containers"], *([scaler] if name == "head" else [])]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"name": "scratch", "mountPath": "/tmp"} in container["volumeMounts"]
        assert container["resources"]["limits"].keys() >= {"cpu", "memory"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert not any("hostPath" in volume for volume in pod["volumes"])


def test_only_what_talks_to_kubernetes_holds_a_token():
    with_token = {name for name, pod in pods() if pod["spec"].get("automountServiceAccountToken", True)}
    assert with_token == {"head", "launcher"}  # the head for its autoscaler
    accounts = {each["metadata"]["name"] for each in documents("access.yaml") if each["kind"] == "ServiceAccount"}
    assert {pod["spec"].get("serviceAccountName") for _, pod in pods()} - {None} == accounts


def test_versions_are_those_of_the_project():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f"ARG RAY_VERSION={pinned['ray']}\n" in text
    assert manifest("rayjob.yaml")["spec"]["rayClusterSpec"]["rayVersion"] == pinned["ray"]
    version = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE).group(1)
    assert f"ARG VERSION={version}\n" in text
    images = {name: pod["spec"]["containers"][0]["image"] for name, pod in pods()}
    gpu = images.pop("gpu")
    assert set(images.values()) == {f"registry.example.com/featflow:{version}"}
    assert gpu == f"registry.example.com/featflow:{version}-gpu"


def test_the_configuration_is_one_that_featflow_takes():
    config = load(str(DEPLOY / "featflow.yaml"))
    assert (config.engine.kind, config.engine.address) == ("ray", "auto")
    assert config.dataset.storage_options == {}  # credentials come from the pod
    assert manifest("rayjob.yaml")["spec"]["entrypoint"].startswith("featflow run /etc/featflow/featflow.yaml ")


def test_kustomize_renders_what_the_pods_mount():
    kubectl = str(Path(sys.executable).parent / "kubectl")
    done = subprocess.run([kubectl, "kustomize", str(DEPLOY)], capture_output=True, text=True, check=True)
    rendered = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(done.stdout)}
    assert {each["metadata"]["namespace"] for each in rendered.values()} == {"featflow"}
    for each in rendered.values():
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    assert set(rendered["ConfigMap", "featflow"]["data"]) == {"featflow.yaml"}
    assert set(rendered["ConfigMap", "featflow-nightly"]["data"]) == {"nightly.sh", "rayjob.yaml"}
    for _, pod in pods():
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in rendered
    bound = rendered["RoleBinding", "featflow-nightly"]
    assert bound["subjects"][0] == {"kind": "ServiceAccount", "name": "featflow-nightly", "namespace": "featflow"}


def test_the_monitor_selects_ray_pods_by_what_they_carry():
    spec = manifest("podmonitor.yaml")["spec"]
    assert set(spec) == {"selector", "podMetricsEndpoints"}
    (endpoint,) = spec["podMetricsEndpoints"]
    for name, pod in pods():
        assert spec["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        ports = [port["name"] for port in pod["spec"]["containers"][0].get("ports", [])]
        assert (endpoint["port"] in ports) == (name in {"head", "cpu", "gpu"})


def test_deadlines_of_a_night_leave_room_for_its_retry():
    job, night = manifest("rayjob.yaml")["spec"], manifest("cronjob.yaml")["spec"]["jobTemplate"]["spec"]
    assert night["activeDeadlineSeconds"] > job["activeDeadlineSeconds"] * (1 + job["backoffLimit"])
    (codes,) = [rule["onExitCodes"] for rule in night["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert (codes["operator"], codes["values"]) == ("In", [1, 2, 3, 4, 5])


def test_json_files_are_json():
    assert all(json.loads(path.read_text(encoding="utf-8")) for path in DEPLOY.glob("*.json"))
