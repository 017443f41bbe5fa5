"""What KubeRay 1.7's operator refuses though its schemas do not, and what featflow's clusters need to scale.

Each rule is a function of a manifest that returns its violations in words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Manifest = dict[str, Any]

LONGEST_NAME = 47
CRON_DIGITS = len("-29405880")
"""What Kubernetes adds to the name of a CronJob: the scheduled minute since 1970."""
MODES = {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"}
CRON_KEYS = {"jobTemplate", "schedule", "timeZone", "suspend"}


def spec_of(manifest: Manifest) -> Manifest:
    """Return the specification of a RayJob: of the object itself, or of those that a RayCronJob makes."""
    spec = manifest["spec"]
    return spec["jobTemplate"] if manifest["kind"] == "RayCronJob" else spec


def one_cluster(manifest: Manifest) -> list[str]:
    found = {"rayClusterSpec", "clusterSelector"} & {key for key, value in spec_of(manifest).items() if value}
    return [] if len(found) == 1 else [f"exactly one of rayClusterSpec and clusterSelector, found {sorted(found)}"]


def short_name(manifest: Manifest) -> list[str]:
    added = CRON_DIGITS if manifest["kind"] != "RayJob" else 0
    length = len(manifest["metadata"]["name"]) + added
    return [f"the name of a RayJob has {length} characters"] if length > LONGEST_NAME else []


def retries_make_clusters(manifest: Manifest) -> list[str]:
    spec = spec_of(manifest)
    limit = spec.get("backoffLimit", 0)
    if limit < 0:
        return [f"backoffLimit is {limit}"]
    return ["backoffLimit makes new clusters, clusterSelector has one"] if limit and "clusterSelector" in spec else []


def time_to_live_needs_shutdown(manifest: Manifest) -> list[str]:
    spec = spec_of(manifest)
    life = spec.get("ttlSecondsAfterFinished", 0)
    if life < 0:
        return [f"ttlSecondsAfterFinished is {life}"]
    return [] if not life or spec.get("shutdownAfterJobFinishes") else ["ttlSecondsAfterFinished without shutdown"]


def shutdown_excludes_deletion_rules(manifest: Manifest) -> list[str]:
    spec = spec_of(manifest)
    rules = spec.get("deletionStrategy", {}).get("deletionRules")
    return ["shutdownAfterJobFinishes and deletionRules"] if rules and spec.get("shutdownAfterJobFinishes") else []


def no_deletion_of_scaled_workers(manifest: Manifest) -> list[str]:
    spec = spec_of(manifest)
    scaled = spec.get("rayClusterSpec", {}).get("enableInTreeAutoscaling")
    deletes = "DeleteWorkers" in _values(spec.get("deletionStrategy", {}))
    return ["DeleteWorkers of a cluster that scales itself"] if scaled and deletes else []


def positive_deadline(manifest: Manifest) -> list[str]:
    deadline = spec_of(manifest).get("activeDeadlineSeconds")
    return [] if deadline is None or deadline > 0 else [f"activeDeadlineSeconds is {deadline}"]


def suspension_needs_shutdown(manifest: Manifest) -> list[str]:
    spec = spec_of(manifest)
    return ["suspend without shutdown"] if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes") else []


def known_submission_mode(manifest: Manifest) -> list[str]:
    mode = spec_of(manifest).get("submissionMode", "K8sJobMode")
    return [] if mode in MODES else [f"submissionMode {mode} is none of {sorted(MODES)}"]


def sidecar_head_never_restarts(manifest: Manifest) -> list[str]:
    spec = spec_of(manifest)
    if spec.get("submissionMode") != "SidecarMode":
        return []
    policy = _head_pod(spec).get("restartPolicy", "Always")
    return [] if policy == "Never" else [f"SidecarMode with a head whose restartPolicy is {policy}"]


def cron_has_four_keys(manifest: Manifest) -> list[str]:
    unknown = set(manifest["spec"]) - CRON_KEYS if manifest["kind"] == "RayCronJob" else set()
    return [f"RayCronJob has no {', '.join(sorted(unknown))}"] if unknown else []


def scales_by_version_two(manifest: Manifest) -> list[str]:
    cluster = spec_of(manifest).get("rayClusterSpec", {})
    scaled, version = cluster.get("enableInTreeAutoscaling"), cluster.get("autoscalerOptions", {}).get("version")
    return [] if not cluster or (scaled and version == "v2") else [f"autoscaling is {scaled}, its version {version}"]


def head_takes_no_tasks(manifest: Manifest) -> list[str]:
    cluster = spec_of(manifest).get("rayClusterSpec")
    cpus = cluster["headGroupSpec"].get("rayStartParams", {}).get("num-cpus") if cluster else "0"
    return [] if cpus == "0" else [f"the head's num-cpus is {cpus!r}, not '0'"]


def driver_asks_for_no_cores(manifest: Manifest) -> list[str]:
    asked = spec_of(manifest).get("entrypointNumCpus")
    return [f"entrypointNumCpus {asked} keeps the driver off a head without cores"] if asked else []


def nights_do_not_overlap(manifest: Manifest) -> list[str]:
    policy = manifest["spec"].get("concurrencyPolicy", "Allow") if manifest["kind"] == "CronJob" else "Forbid"
    return [] if policy == "Forbid" else [f"concurrencyPolicy is {policy}"]


RAY_RULES: tuple[Callable[[Manifest], list[str]], ...] = (
    one_cluster,
    short_name,
    retries_make_clusters,
    time_to_live_needs_shutdown,
    shutdown_excludes_deletion_rules,
    no_deletion_of_scaled_workers,
    positive_deadline,
    suspension_needs_shutdown,
    known_submission_mode,
    sidecar_head_never_restarts,
    cron_has_four_keys,
    scales_by_version_two,
    head_takes_no_tasks,
    driver_asks_for_no_cores,
)
CRON_RULES = (short_name, nights_do_not_overlap)


def violations(manifest: Manifest) -> dict[str, list[str]]:
    """Return what each rule finds, of those that find something."""
    rules = CRON_RULES if manifest["kind"] == "CronJob" else RAY_RULES
    found = {rule.__name__: rule(manifest) for rule in rules}
    return {name: said for name, said in found.items() if said}


def _head_pod(spec: Manifest) -> Manifest:
    return spec.get("rayClusterSpec", {}).get("headGroupSpec", {}).get("template", {}).get("spec", {})


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _values(each)
    else:
        yield value
