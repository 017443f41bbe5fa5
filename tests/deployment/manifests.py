"""The manifests of deploy/, and what KubeRay's published schemas say of them."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CRDS = ROOT.parent / "shared" / "kuberay-crds"


def documents(name: str) -> list[dict[str, Any]]:
    """Return the objects in a file of deploy/."""
    return [each for each in yaml.safe_load_all((DEPLOY / name).read_text(encoding="utf-8")) if each]


def manifest(name: str) -> dict[str, Any]:
    """Return the only object in a file, for the caller to change."""
    (found,) = documents(name)
    return copy.deepcopy(found)  # anchors make parts of it one object


def unshared(value: Any) -> Any:
    """Return a copy in which nothing is there twice as one object, as anchors leave it."""
    return json.loads(json.dumps(value))


@cache
def _validator(kind: str, version: str) -> Draft202012Validator:
    path = CRDS / f"ray.io_{kind.lower()}s.yaml"
    definition = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    (found,) = [each for each in definition["spec"]["versions"] if each["name"] == version]
    schema = found["schema"]["openAPIV3Schema"]
    properties = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    closed = _closed(schema)
    # The API server knows these three of every object; what schemas say of them is less than it checks.
    return Draft202012Validator(closed | {"properties": closed["properties"] | properties})


def _closed(schema: Any) -> Any:
    """Return a structural schema that refuses what an API server would prune."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string", "pattern": schema.get("pattern", "")}]}
    kept = {key: value for key, value in schema.items() if key not in {"properties", "default", "format"}}
    result = {key: _closed(value) for key, value in kept.items()}
    if "properties" in schema:
        result["properties"] = {name: _closed(value) for name, value in schema["properties"].items()}
    if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    return result


def schema_problems(manifest: dict[str, Any]) -> list[str]:
    """Return what KubeRay's schema of the object's kind refuses, unknown fields included; skip without it."""
    if not CRDS.is_dir():
        pytest.skip("KubeRay's schemas are not beside this checkout (../shared/kuberay-crds)")
    version = manifest["apiVersion"].removeprefix("ray.io/")
    errors = _validator(manifest["kind"], version).iter_errors(unshared(manifest))
    return sorted(f"{error.json_path}: {error.message}" for error in errors)
