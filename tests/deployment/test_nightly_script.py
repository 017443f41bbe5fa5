"""nightly.sh with the real kubectl against an API server on loopback that plays what KubeRay says of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from deployment.api_server import Cluster, api_server
from deployment.manifests import DEPLOY, documents, manifest, unshared

BINARIES = Path(sys.executable).parent
NAME = "featflow-nightly-29405880"
RUNNING = {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
DONE = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}


def failed(message="", reason="AppFailed", status="FAILED"):
    return {"jobDeploymentStatus": "Failed", "jobStatus": status, "reason": reason, "message": message}


def ended(code):
    """What Ray says of a driver that ended, as in its job supervisor."""
    said = f"Job entrypoint command failed with exit code {code}, last available logs (truncated to 20,000 chars):"
    return failed(f"{said}\nline 1\nit failed with exit code 3")


def night(cluster, tmp_path):
    """Run the script as the CronJob's pod does and return how it ended."""
    configuration = tmp_path / "kubeconfig"
    configuration.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": {"server": cluster.address}}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "featflow"}}],
                "users": [{"name": "test", "user": {}}],
                "current-context": "test",
            }
        )
    )
    environment = {
        "PATH": f"{BINARIES}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(configuration),
        "JOB_NAME": NAME,
        "JOB_UID": "6f1c",
        "WAIT_SECONDS": "0",
        "MOST_FAILURES": "3",
    }
    command = ["sh", str(DEPLOY / "nightly.sh"), str(DEPLOY / "rayjob.yaml")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("story", "code"),
    [
        ([{}, RUNNING, DONE], 0),
        ([RUNNING, ended(2)], 2),
        ([RUNNING, ended(3)], 3),
        ([RUNNING, ended(4)], 4),
        ([RUNNING, ended(5)], 5),
        ([RUNNING, ended(1)], 1),
        ([ended(137)], 4),  # killed: featflow had no say
        ([failed(reason="DeadlineExceeded")], 4),
        ([{"jobDeploymentStatus": "Retrying", "jobStatus": "FAILED"}, RUNNING, DONE], 0),
        ([{"jobDeploymentStatus": "ValidationFailed"}], 2),
        ([{"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}], 1),
        ([RUNNING, 404], 1),
        ([RUNNING, 500, 500, DONE], 0),
        ([500], 75),
    ],
)
def test_the_night_ends_as_the_run_did(tmp_path, story, code):
    with api_server(Cluster(story=story)) as cluster:
        done = night(cluster, tmp_path)
    assert done.returncode == code, done.stderr
    assert f"rayjob.ray.io/{NAME} created" in done.stdout


def test_the_ray_job_is_the_file_under_the_name_of_the_night(tmp_path):
    with api_server(Cluster(story=[DONE])) as cluster:
        night(cluster, tmp_path)
    created = cluster.jobs[NAME]
    assert created["spec"] == unshared(manifest("rayjob.yaml")["spec"])
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": "6f1c"}
    assert created["metadata"]["ownerReferences"] == [owner]


def test_a_pod_that_is_made_again_finds_its_night(tmp_path):
    before = {NAME: {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": NAME}}}
    with api_server(Cluster(story=[RUNNING, DONE], jobs=dict(before))) as cluster:
        done = night(cluster, tmp_path)
    assert done.returncode == 0
    assert "is there already" in done.stdout
    assert cluster.jobs == before


@pytest.mark.parametrize(("reason", "status", "code"), [("Invalid", 422, 2), ("Forbidden", 403, 2)])
def test_what_cannot_be_created_says_so(tmp_path, reason, status, code):
    with api_server(Cluster(refuse=(status, reason))) as cluster:
        done = night(cluster, tmp_path)
    assert done.returncode == code
    assert reason.lower() in done.stderr.lower()


def test_an_api_that_does_not_answer_is_asked_by_another_pod(tmp_path, free_port):
    assert night(Cluster(address=f"http://127.0.0.1:{free_port}"), tmp_path).returncode == 75


def test_the_role_allows_just_what_the_script_does(tmp_path):
    with api_server(Cluster(story=[RUNNING, failed("x")])) as cluster:
        night(cluster, tmp_path)
    (role,) = [each for each in documents("access.yaml") if each["kind"] == "Role"]
    allowed = {(kind, verb) for rule in role["rules"] for kind in rule["resources"] for verb in rule["verbs"]}
    assert cluster.verbs == allowed
    assert [rule["apiGroups"] for rule in role["rules"]] == [["ray.io"]]


def test_shellcheck_finds_nothing():
    subprocess.run([str(BINARIES / "shellcheck"), str(DEPLOY / "nightly.sh")], check=True)


def test_hadolint_finds_nothing():
    subprocess.run([str(BINARIES / "hadolint"), str(DEPLOY / "Dockerfile")], check=True)


def test_the_image_ends_as_an_unprivileged_user_and_keeps_no_caches():
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    user = [line for line in lines if line.startswith("USER ")][-1]
    context = manifest("rayjob.yaml")["spec"]["submitterPodTemplate"]["spec"]["securityContext"]
    assert user == f"USER {context['runAsUser']}:{context['runAsGroup']}"
    assert all("--no-cache-dir" in line for line in lines if "pip install" in line or "pip wheel" in line)
    arguments = {line.split()[1].partition("=")[0] for line in lines if line.startswith("ARG ")}
    assert arguments >= {"RAY_VERSION", "ACCELERATOR", "EXTRAS", "PIP_EXTRA_INDEX_URL"}
