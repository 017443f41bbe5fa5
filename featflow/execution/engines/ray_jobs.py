"""The jobs of a Ray cluster, through its job server."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiohttp import ClientError

from featflow.errors import ConfigurationError, InfrastructureError, first_line
from featflow.execution.engines.base import Job, Submission

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

__all__ = ["RayJobs"]

Answer = TypeVar("Answer")

CONNECT_SECONDS = 10
"""Wait for a connection, as of `featflow.execution.engines.ray`."""
LOST_SECONDS = 60.0
"""A cluster that stops answering for this long is given up; the job may go on, and is found by the next call."""
QUIET_SECONDS = 60.0
"""After this time without output, the job's status is asked for: a quiet job and a dead connection look the same."""
PAUSE_SECONDS = 1.0
"""Wait before the next request to a cluster that did not answer."""
PASSING = (OSError, RuntimeError, ClientError)
"""Errors that the client raises when the cluster does not answer, or answers with an error."""


class _Client(JobSubmissionClient):  # type: ignore[misc]
    """Ray's client with timeouts: without them a request waits for ever for a server that accepts and never answers."""

    def _do_request(self, method: str, endpoint: str, **options: Any) -> Any:
        return super()._do_request(method, endpoint, **{"timeout": (CONNECT_SECONDS, LOST_SECONDS)} | options)


class RayJobs:
    """Asks the job server at a URL.

    Raises
    ------
    ConfigurationError
        The address is not a URL of a job server.
    InfrastructureError
        No server answers there, or it stopped answering.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        url = urlsplit(address)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ConfigurationError(f"--address {address}: write it as http://HEAD:8265, where the dashboard is")
        for module in (
            "dashboard.modules.dashboard_sdk",
            "dashboard.modules.job.sdk",
            "_private.runtime_env.packaging",
        ):
            logging.getLogger(f"ray.{module}").setLevel(logging.WARNING)  # they log every upload and connection
        try:
            place = url.hostname, url.port or {"http": 80, "https": 443}[url.scheme]
        except ValueError as error:
            raise ConfigurationError(f"--address {address}: {error}; write it as http://HEAD:8265") from None
        try:
            socket.create_connection(place, timeout=CONNECT_SECONDS).close()
            self._client = _Client(address)
        except AuthenticationError as error:
            raise ConfigurationError(
                f"--address {address}: {first_line(error)}; give the cluster's token by RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
            ) from error
        except PASSING as error:
            raise InfrastructureError(
                f"--address {address}: no Ray job server answers: {first_line(error)}; check the address, "
                "and that the cluster runs with its dashboard (ray[default])"
            ) from error

    def named(self, name: str) -> list[Job]:
        """Return the jobs whose names begin with a name."""
        listed = self._ask(self._client.list_jobs)
        return [_job(each) for each in listed if (each.submission_id or "").startswith(name)]

    def submit(self, name: str, submission: Submission) -> bool:
        """Submit a job; return False, and submit nothing, if there is one of that name."""
        with tempfile.TemporaryDirectory(prefix="featflow-") as folder:
            for path, text in submission.files.items():
                Path(folder, path).write_text(text, encoding="utf-8")
            environment = {"working_dir": folder}
            try:
                self._client.submit_job(
                    entrypoint=submission.entrypoint,
                    submission_id=name,
                    metadata=submission.metadata,
                    runtime_env=environment,
                )
            except PASSING as error:
                if any(job.name == name for job in self.named(name)):
                    return False  # of another, or of a request of ours whose answer was lost
                raise InfrastructureError(
                    f"{self.address}: cannot submit {name}: {_error_text(error)}; retry"
                ) from error
        return True

    def job(self, name: str) -> Job:
        """Return a job as it is now."""
        return _job(self._ask(lambda: self._client.get_job_info(name)))

    def stop(self, name: str) -> None:
        """Ask a job to end."""
        self._ask(lambda: self._client.stop_job(name))

    def log(self, name: str, seen: int) -> Iterator[str]:
        """Yield what a job writes after the first characters that were seen, until it ends."""
        lost_at = None
        while True:
            skip = seen
            try:
                for text in _iterate(self._client.tail_job_logs(name)):
                    lost_at = None
                    new, skip = text[skip:], max(0, skip - len(text))
                    if new:
                        seen += len(new)
                        yield new
            except TimeoutError:  # nothing new: the job is quiet, or the connection is dead
                lost_at = None
            except PASSING as error:
                now = time.monotonic()
                lost_at = lost_at or now
                if now - lost_at > LOST_SECONDS:
                    raise self._lost(error) from error
                time.sleep(PAUSE_SECONDS)
            if self.job(name).over:
                return

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the answer of the job server, asking again while it may come back."""
        until = time.monotonic() + LOST_SECONDS
        while True:
            try:
                return question()
            except PASSING as error:
                if time.monotonic() > until:
                    raise self._lost(error) from error
                time.sleep(PAUSE_SECONDS)

    def _lost(self, error: Exception) -> InfrastructureError:
        return InfrastructureError(
            f"{self.address} does not answer any more: {_error_text(error)}; the job may go on, "
            "the same command finds it again"
        )


def _iterate(chunks: AsyncIterator[str]) -> Iterator[str]:
    """Yield the items of an asynchronous iterator; raise TimeoutError if the next takes longer than `QUIET_SECONDS`."""

    async def next_chunk() -> str | None:
        return await asyncio.wait_for(anext(chunks, None), QUIET_SECONDS)

    with asyncio.Runner() as runner:
        while (text := runner.run(next_chunk())) is not None:
            yield text


def _job(details: Any) -> Job:
    return Job(details.submission_id, details.status.value, details.driver_exit_code, details.message or "")


def _error_text(error: Exception) -> str:
    """Return the last line of a server's traceback, or the first of another error."""
    lines = str(error).strip().splitlines()
    return first_line(Exception(lines[-1])) if lines else first_line(error)
