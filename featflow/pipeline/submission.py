"""A night as one job of a cluster: its submission, its name, and its outcome.

The name is a digest of the configuration and the night, so a night that is submitted twice is one job: it is followed
if it runs, its result is shown if it succeeded. If it failed, a new attempt has the same name and a number: a job runs
once, and the submitter decides whether to try again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

import yaml

from featflow.config import Config, parse
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.execution.engines.base import Job, Submission
from featflow.storage.references import plain_secrets

__all__ = ["Jobs", "Outcome", "explained", "follow", "place", "submission"]

CONFIG_FILE = "featflow.yaml"
"""Configuration of the job, in its working directory."""
ENTRYPOINT = f"python -m featflow run {CONFIG_FILE} --json"


class Jobs(Protocol):
    """The jobs of a cluster."""

    def named(self, name: str) -> list[Job]:
        """Return the jobs whose names begin with a name."""
        ...

    def submit(self, name: str, submission: Submission) -> bool:
        """Submit a job; return False, and submit nothing, if there is one of that name."""
        ...

    def log(self, name: str, seen: int) -> Iterator[str]:
        """Yield what a job writes after the first characters that were seen, until it ends."""
        ...

    def job(self, name: str) -> Job:
        """Return a job as it is now."""
        ...

    def stop(self, name: str) -> None:
        """Ask a job to end."""
        ...


@dataclass
class Outcome:
    """Outcome of a submission."""

    job: Job
    attached: bool
    """Whether the job existed before."""
    result: dict[str, Any] = field(default_factory=dict)
    """The run's own last line: an exit code alone may come from what killed the process."""

    @property
    def exit_code(self) -> int:
        """The run's own exit code; 4 if the job ended and the run wrote no result."""
        if not self.job.over or self.job.status == "SUCCEEDED":
            return 0
        return int(self.result.get("exit_code", InfrastructureError.exit_code))

    def public(self) -> dict[str, Any]:
        """Return the outcome as JSON values."""
        status = {"SUCCEEDED": "done"}.get(self.job.status, self.job.status.lower())
        job_fields = {"job": self.job.name, "attached": self.attached, "exit_code": self.exit_code}
        return {"status": status} | self.result | job_fields


def submission(config: Config, night: str | None = None) -> Submission:
    """Return the submission of a night, by default of the window's last day or today (UTC).

    Raises
    ------
    ConfigurationError
        Credentials would travel, or the night's name cannot be part of a job's.

    Examples
    --------
    >>> config = parse({"dataset": {"source": "s3://lake/flights"}, "output": "s3://lake/out/flights"})
    >>> submission(config, "2026-01-02").name[:28]
    'featflow-flights-2026-01-02-'
    """
    if plain_secrets(config.dataset.storage_options):
        raise ConfigurationError(
            "dataset.storage_options: a job's configuration can be read in the cluster's dashboard; take it out, or "
            "write ${env:NAME} or ${file:PATH} in place of its values, and give the cluster's nodes what it says: a "
            "service account, a mounted secret, or the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY)"
        )
    if config.dataset.catalog:
        raise ConfigurationError(
            "dataset.catalog: a job's configuration can be read in the cluster's dashboard; take it out and set "
            "PYICEBERG_CATALOG__<NAME>__URI and what else the catalog needs in the environment of the cluster's nodes"
        )
    night = night or str(config.dataset.as_of or datetime.now(UTC).date())
    if not re.fullmatch(r"[\w.:+ -]{1,40}", night, re.ASCII):
        raise ConfigurationError(f"--night {night}: name it by letters, digits, '-', '.' and '_', a date for example")
    values = config.model_dump(mode="json", exclude_unset=True)
    values["engine"] = values.get("engine", {}) | {"kind": "ray", "address": "auto"}
    identity = json.dumps([parse(values).public(), night], sort_keys=True)
    digest = hashlib.sha256(identity.encode()).hexdigest()[:10]
    output, night = (_slug(text) for text in (config.output.rstrip("/").rpartition("/")[2], night))
    metadata = {"featflow": "run", "output": config.output, "night": night}
    files = {CONFIG_FILE: yaml.safe_dump(values, allow_unicode=True, sort_keys=False)}
    return Submission(f"featflow-{output}-{night}-{digest}", ENTRYPOINT, files, metadata)


def place(jobs: Jobs, submitted: Submission) -> tuple[Job, bool]:
    """Return the job of a submission, and whether it existed before; start one if none runs or succeeded."""
    while True:
        attempts = {_attempt(submitted.name, job.name): job for job in jobs.named(submitted.name)}
        attempts.pop(0, None)
        last = max(attempts, default=0)
        if last and (not attempts[last].over or attempts[last].status == "SUCCEEDED"):
            return attempts[last], True
        name = submitted.name if last == 0 else f"{submitted.name}-{last + 1}"
        if jobs.submit(name, submitted):
            return jobs.job(name), False  # otherwise another submitter was quicker: look again


def follow(jobs: Jobs, outcome: Outcome, show: Callable[[str], None], asked: Callable[[], bool]) -> Outcome:
    """Show a job's log line by line until the job ends; return how.

    Parameters
    ----------
    asked
        Called after an interrupt: True stops the job, False goes on, another interrupt ends following.
    """
    name, seen, line = outcome.job.name, 0, ""
    while True:
        try:
            for text in jobs.log(name, seen):
                seen += len(text)
                *lines, line = (line + text).split("\n")
                for each in lines:
                    _handle_line(outcome, each, show)
            outcome.job = jobs.job(name)
            if outcome.job.over:
                break
        except KeyboardInterrupt:
            if asked():
                jobs.stop(name)
    if line:
        _handle_line(outcome, line, show)
    return outcome


def explained(outcome: Outcome) -> str:
    """Return why a job failed if its run wrote no result; else an empty text.

    Examples
    --------
    >>> explained(Outcome(Job("a", "FAILED", -9, "killed"), attached=False))
    'a failed, its driver ended with -9: killed; submitting it again makes a new attempt'
    """
    job = outcome.job
    if job.status == "STOPPED":
        return f"{job.name} was stopped; nothing was published, submitting it again continues where it was"
    if job.status == "SUCCEEDED" or outcome.result:
        return ""
    how = f"its driver ended with {job.exit_code}" if job.exit_code is not None else "it did not start, or was lost"
    lines = job.message.strip().splitlines() or ["the cluster does not say why"]
    return f"{job.name} failed, {how}: {lines[-1][:300]}; submitting it again makes a new attempt"


def _handle_line(outcome: Outcome, line: str, show: Callable[[str], None]) -> None:
    """Keep the line that holds a run's result, show all others."""
    if line.startswith('{"status"'):
        try:
            outcome.result = json.loads(line)
        except ValueError:
            show(line)
    elif line:
        show(line)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:32] or "run"


def _attempt(name: str, job: str) -> int:
    """Return the number of an attempt by its job's name, 0 if the job is of another submission."""
    suffix = job.removeprefix(name)
    return 1 if not suffix else int(suffix[1:]) if re.fullmatch(r"-\d+", suffix) else 0
