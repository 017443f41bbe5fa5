"""A run as a repository that ``feast apply`` takes as it is.

Rows stay where they are if Feast can read them there; else they are copied, a part a shard. Definitions come once all
that they name is there, and what only earlier ones named is removed after that: a reader finds the repository before or
the one after, wherever an export ends. Exports into one repository, or into one folder of copies, exclude each other.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from featflow.errors import ConfigurationError
from featflow.export.feast import definitions
from featflow.export.feast.data import copy_view, remove_others
from featflow.export.feast.definitions import Repository, Service
from featflow.export.feast.monitoring import metrics, save_metrics
from featflow.export.feast.source import Source, open_source
from featflow.export.feast.views import View, identifier, views_of
from featflow.option_types import without_credentials
from featflow.storage import lock
from featflow.storage.run import Run, open_run
from featflow.storage.store import Store, is_local, resolve

__all__ = ["Exported", "export_feast"]

STORE = "feature_store.yaml"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    uri: str
    """Where the repository is."""
    repository: Repository
    """What it says."""
    metrics: int
    """Rows of its monitoring table that are of this run."""

    def public(self) -> dict[str, Any]:
        """Return it as JSON values."""
        told = self.repository
        return {
            "repository": self.uri,
            "project": told.project,
            "views": {view.name: path for view, path in zip(told.views, told.paths, strict=True)},
            "services": {service.name: [name for _, name in service.features] for service in told.services},
            "metrics": self.metrics,
            "materialize": f"feast materialize {told.start} {told.end}",
            "notes": list(told.notes),
        }


def export_feast(uri: str, to: str | None = None, data: str | None = None) -> Exported:
    """Write a run for Feast.

    Parameters
    ----------
    uri
        Of the run, or of an output for its latest.
    to
        Where the repository is to be; ``feast`` below the output by default.
    data
        Where rows are copied that Feast cannot read where they are; ``data`` below the repository by default.

    Raises
    ------
    DatasetError
        There is no such run, or what it read is not what it was.
    ConfigurationError
        The run has no join keys, no event time or no profile.
    LockedError
        Another export writes there, or `featflow gc` removes runs.
    InfrastructureError
        Storage failed; another try goes on from there.
    """
    run = open_run(uri)
    if "profile" not in run.tables:
        raise ConfigurationError(f"{run.uri}: it wrote no profile; set analyses.profile and run again")
    for place in filter(None, (to, data)):
        _check_place(place)
    store = Store(to or run.store.uri("feast"), run.store.options)
    copies = Store(data or store.uri("data"), run.store.options)
    with ExitStack() as locks:
        locks.enter_context(lock.reading(run.store))
        source = open_source(run)
        written = {each.absolute(""): each for each in ([store, copies] if data else [store])}
        held = [locks.enter_context(lock.hold(each)) for each in written.values()]
        return _export(run, source, (store, copies), held, relative=data is None)


def _export(
    run: Run, source: Source, stores: tuple[Store, Store], locks: list[lock.Held], *, relative: bool
) -> Exported:
    store, copies = stores
    project = _project(run, store)
    views, reason = views_of(run, source, project)
    notes = [f"`{views[0].name}` reads a copy, as Feast cannot read the dataset as it is: {reason}."] if reason else []
    if source.lost:
        first, count = source.lost[0], len(source.lost)
        said = "is what the run could not read" if count == 1 else f"is the first of {count:,} that it could not read"
        notes.append(f"{first!r} {said}, as its `quarantine` table says; in no view.")
    for number, view in enumerate(views):
        if not view.folder:
            continue
        copied = copy_view(run, source, view, copies)
        views[number] = replace(view, folder=copied.folder)
        if copied.left_out:
            notes.append(f"`{view.name}`: {copied.left_out:,} rows have no key, no event time or no vector; left out.")
    services, absent = _services(run, views, project)
    start, end = _stretch(run, source.time.name)
    repository = Repository(
        project,
        _absolute(run.store.uri("LATEST")),
        tuple(views),
        tuple(_path(view, source, copies, relative=relative) for view in views),
        tuple(services),
        start,
        end,
        (*notes, *absent, *_renamed(views)),
    )
    found = metrics(run, project, views, source.time.name)
    save_metrics(store, found)
    for held in locks:
        held.check()
    if STORE not in store.names(""):
        store.write(STORE, definitions.feature_store(project).encode())
    for name, text in definitions.texts(repository).items():
        store.write(name, text.encode())
    for held in locks:
        held.check()
    for view in views:
        remove_others(view, copies)
    return Exported(store.root, repository, len(found))


def _check_place(place: str) -> None:
    try:
        without_credentials(place)
    except ValueError as error:
        raise ConfigurationError(f"{'--to or --data'}: {error}") from None


def _project(run: Run, store: Store) -> str:
    """Return the project of the repository that is there, else one named after the output."""
    try:
        told = yaml.safe_load(store.read(STORE))
    except FileNotFoundError:
        return identifier(run.store.root.rstrip("/").rpartition("/")[2])
    except yaml.YAMLError:
        told = None
    if not isinstance(told, dict) or not isinstance(told.get("project"), str):
        raise ConfigurationError(
            f"{store.uri(STORE)}: names no project, which is a word, in quotes if YAML takes it for something else "
            "(no, on, null); mend it or export elsewhere"
        )
    return str(told["project"])


def _services(run: Run, views: list[View], project: str) -> tuple[list[Service], list[str]]:
    """Return a service for every target that anything tells about, and what is in none though it is significant."""
    if "ranking" not in run.tables:
        return [], []
    place = {
        feature.column: (view.name, feature.name) for view in views for feature in view.features if not feature.width
    }
    rows = run.arrow("ranking").select(["target", "rank", "feature", "significant"]).to_pylist()
    services, notes = list[Service](), []
    for target in dict.fromkeys(row["target"] for row in rows):
        chosen = sorted((row["rank"], row["feature"]) for row in rows if row["target"] == target and row["significant"])
        features = tuple(place[name] for _, name in chosen if name in place)
        absent = [name for _, name in chosen if name not in place]
        name = identifier(f"{project}_{target}")
        name += f"_{len(services) + 1}" if name in {service.name for service in services} else ""
        if features:
            services.append(Service(name, target, features))
        else:
            notes.append(f"Nothing in these views tells about {target!r}: it has no feature service.")
        if absent:
            notes.append(f"{name}: {', '.join(map(repr, absent))} are made of a model's vectors and in no view.")
    return services, notes


def _renamed(views: list[View]) -> list[str]:
    each = dict.fromkeys((f.column, f.name) for view in views for f in (*view.keys, *view.features) if not f.width)
    return [f"{column!r} is `{name}` here." for column, name in each if column != name]


def _stretch(run: Run, event_time: str) -> tuple[str, str]:
    """Return the first and last second of event time, in UTC."""
    rows = run.arrow("profile").select(["column", "min", "max"]).to_pylist()
    row = next(row for row in rows if row["column"] == event_time)
    if row["min"] is None:
        raise ConfigurationError(f"{run.uri}: event time '{event_time}' is missing in every row")
    ends = math.floor(row["min"] / 1e6), math.ceil(row["max"] / 1e6)
    first, last = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds) for seconds in ends)
    return f"{first:%Y-%m-%dT%H:%M:%S}", f"{last:%Y-%m-%dT%H:%M:%S}"


def _path(view: View, source: Source, copies: Store, *, relative: bool) -> str:
    """Return where Feast finds the rows of a view: copies on the disk of their repository move with it."""
    if view.folder is None:
        return _absolute(source.options.source[0])
    if relative and is_local(resolve(copies.root, copies.options)[0]):
        return f"data/{view.folder}"
    return _absolute(copies.uri(view.folder))


def _absolute(uri: str) -> str:
    filesystem, path = resolve(uri, {})
    if is_local(filesystem):
        return str(Path(path).absolute())
    return f"s3://{uri.partition('://')[2]}".rstrip("/") if uri.startswith("s3a://") else uri.rstrip("/")
