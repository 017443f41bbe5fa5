"""An API server of Kubernetes as far as RayJobs go, over HTTP on loopback, and an operator that plays a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

GROUP = {"name": "ray.io", "versions": [{"groupVersion": "ray.io/v1", "version": "v1"}]}
GROUP |= {"preferredVersion": GROUP["versions"][0]}
RAYJOBS = {
    "name": "rayjobs", "singularName": "rayjob", "kind": "RayJob", "namespaced": True, "verbs": ["create", "get"],
}  # fmt: skip
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [GROUP]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis/ray.io/v1": {
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "ray.io/v1", "resources": [RAYJOBS],
    },
    "/openapi/v3": {"paths": {"apis/ray.io/v1": {"serverRelativeURL": "/openapi/v3/apis/ray.io/v1"}}},
    "/openapi/v3/apis/ray.io/v1": {  # this server checks fields itself, so kubectl need not
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.34.1"},
        "paths": {
            "/apis/ray.io/v1/namespaces/{namespace}/rayjobs/{name}": {
                "patch": {
                    "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                    "responses": {},
                    "x-kubernetes-group-version-kind": {"group": "ray.io", "version": "v1", "kind": "RayJob"},
                }
            }
        },
    },
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.1"},
}  # fmt: skip
VERBS = {"POST": "create", "GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass
class Cluster:
    """What the API server holds, and what was asked of it."""

    story: list[Any] = field(default_factory=list)
    """Statuses of the RayJob, one a look, the last one for ever; an HTTP code is what that look gets instead."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """RayJobs by name."""
    verbs: set[tuple[str, str]] = field(default_factory=set)
    """What was done to which resource, as roles name it."""
    refuse: tuple[int, str] | None = None
    """Code and reason with which creation is refused."""
    address: str = ""

    def create(self, job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        name = job["metadata"]["name"]
        if self.refuse:
            return _failure(*self.refuse)
        if name in self.jobs:
            return _failure(409, "AlreadyExists")
        self.jobs[name] = job
        return 201, job

    def get(self, name: str) -> tuple[int, dict[str, Any]]:
        status = self.story.pop(0) if len(self.story) > 1 else self.story[0]
        if isinstance(status, int):
            return _failure(status, {404: "NotFound"}.get(status, "InternalError"))
        if name not in self.jobs:
            return _failure(404, "NotFound")
        return 200, self.jobs[name] | {"status": status}


def _failure(code: int, reason: str) -> tuple[int, dict[str, Any]]:
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    if reason == "Invalid":  # kubectl words it from the causes, and leaves the reason out
        causes = [{"reason": "FieldValueRequired", "message": "Required value", "field": "spec.rayClusterSpec"}]
        said["details"] = {"name": "night", "group": "ray.io", "kind": "RayJob", "causes": causes}
    return code, said | {"message": f"rayjobs.ray.io: {reason}"}


@contextmanager
def api_server(cluster: Cluster) -> Iterator[Cluster]:
    """Serve a cluster until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0].rstrip("/")
            if path in DISCOVERY:
                self._answer(200, DISCOVERY[path])
            elif "/rayjobs/" in path:
                cluster.verbs.add((path.split("/")[-2], VERBS[self.command]))
                self._answer(*cluster.get(path.rpartition("/")[2]))
            elif path.endswith("/rayjobs"):
                cluster.verbs.add(("rayjobs", "list"))
                self._answer(200, {"kind": "RayJobList", "apiVersion": "ray.io/v1", "items": []})
            else:
                self._answer(*_failure(404, "NotFound"))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            cluster.verbs.add((self.path.partition("?")[0].rpartition("/")[2], VERBS[self.command]))
            self._answer(*cluster.create(body))

        def do_PATCH(self) -> None:
            cluster.verbs.add((self.path.partition("?")[0].split("/")[-2], VERBS[self.command]))
            self._answer(*_failure(405, "MethodNotAllowed"))

        do_PUT = do_DELETE = do_PATCH  # noqa: N815  names that the base class calls

        def _answer(self, code: int, value: dict[str, Any]) -> None:
            data = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    cluster.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
