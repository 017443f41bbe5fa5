"""A run over unchanged inputs with an unchanged configuration measures nothing again.

It is a run of its own, with its own id, manifest and place as the latest; its tables are the files of the run that
measured them (``unchanged_since``), and its states that run's. So readers that follow LATEST see that the night was
done, and nobody reads a second copy of the same numbers. Tables that say how runs differ are written anew: against the
run before nothing moved, against a pinned one all is as it was, for one run more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.dataset.passed_over import told
from featflow.errors import DamagedError, DatasetError
from featflow.execution import quarantine_notes
from featflow.execution.telemetry import Telemetry
from featflow.pipeline.software import software
from featflow.storage.records.states import codebook_path
from featflow.storage.records.tables import digest_of_parts
from featflow.storage.run import Run
from featflow.storage.run_before import WARNING
from featflow.storage.run_writer import RunWriter
from featflow.storage.store import Store

__all__ = ["publish_again", "unchanged_run"]

WITHOUT_INFLUENCE = ("engine", "lineage", "latest")
"""Keys of a configuration that decide no number."""
CHECKED_BYTES = 32 * 2**20
"""Bytes of tables up to which they are read for their digests; of more, sizes must do."""


def unchanged_run(config: Config, dataset: Dataset, writer: RunWriter) -> Run | None:
    """Return the last run at an output if another would publish what it did, None if anything may differ.

    A codebook that is made anew (``--rebin``) and a model without ``sha256``, whose files may change where they lie,
    are measured every time. Row groups that the run could not read are looked at again.
    """
    if not config.codebook.frozen or any(image.model and not image.sha256 for image in config.dataset.images):
        return None
    latest = writer.before.run
    if latest is None:
        return None
    manifest = latest.manifest
    same = (
        _deciding(manifest["config"]) == _deciding(config.public())
        and manifest.get("software") == software()
        and _columns(manifest.get("sources", ())) == _columns(dataset.tables)
        and [_as_listed(entry) for entry in manifest["inputs"]] == [_as_listed(entry) for entry in dataset.listed()]
    )
    same = same and _files_are_there(latest) and _codebook_is_there(latest) and _same_unreadable(latest, dataset)
    return latest if same and not _may_be_read(latest, config, dataset, writer.store) else None


def publish_again(
    before: Run, config: Config, dataset: Dataset, writer: RunWriter, telemetry: Telemetry
) -> dict[str, Any]:
    """Write what says how runs differ; return the manifest of a run that changes nothing. Nothing is visible yet."""
    shards = before.manifest["shards"]["total"]
    manifest = before.manifest | {
        "run": writer.run_id,
        "unchanged_since": before.measured_by,
        "engine_reason": f"nothing changed since run {before.measured_by}",
        "config": config.public(),
        "shards": {"total": shards, "computed": 0, "reused": shards},
        "passes": [],
        "sources": list(dataset.tables),
        "passed_over": dataset.left_out(),
        "warnings": [
            *told(dataset.passed_over),
            *writer.before.warnings,
            *(text for text in before.manifest["warnings"] if not _is_new(text)),
        ],
        "figures": telemetry.public(),
    }
    return _compared(manifest, config, dataset, writer) if config.analyses.of_runs else manifest


def _is_new(warning: str) -> bool:
    """Whether a warning is about the run itself, which says it anew: its lineage, what it passed over and followed."""
    return warning.startswith(("lineage: ", "passed over ", WARNING))


def _compared(manifest: dict[str, Any], config: Config, dataset: Dataset, writer: RunWriter) -> dict[str, Any]:
    """Write the tables that say how runs differ, and return the manifest with what it says of them."""
    from featflow.pipeline.rounds import begin  # noqa: PLC0415  all analyses: half a second

    context, analyses = begin(config, dataset, writer)
    context.run_so_far = lambda: Run(writer.store, writer.run_id, manifest)
    comparing = [analysis for analysis in analyses if analysis.options.of_runs]
    for analysis in comparing:
        analysis.profile(context)
        analysis.write(context)
    of_before = tuple(f"{analysis.name}: " for analysis in comparing)
    return manifest | {
        "tables": manifest["tables"] | writer.tables,
        "analyses": manifest.get("analyses", {}) | context.notes,
        "compared_with": context.compared_with,
        "warnings": [
            *(text for text in manifest["warnings"] if not text.startswith(of_before)),
            *context.warnings,
        ],
    }


def _deciding(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in WITHOUT_INFLUENCE}


def _columns(tables: Iterable[dict[str, Any]]) -> list[dict[str, str]]:
    """Return the columns of tables: a new one changes no file."""
    return [table["columns"] for table in tables]


def _as_listed(entry: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in ("uri", "size", "version", "row_groups", "part", "rows", "images"))


def _same_unreadable(run: Run, dataset: Dataset) -> bool:
    """Whether the files without a readable footer are those that the run put into quarantine."""
    try:
        rows = run.arrow("quarantine", ["uri", "row_group", "detail"]).to_pylist()
    except DatasetError:  # damaged: this night writes it again
        return False
    known = {(row["uri"], row["detail"]) for row in rows if row["row_group"] is None}
    return known == {(entry.uri, entry.detail) for entry in dataset.quarantined}


def _may_be_read(run: Run, config: Config, dataset: Dataset, store: Store) -> bool:
    """Whether a row group that the run could not read is readable now, or is to be read again as notes are gone."""
    rows = run.arrow("quarantine", ["uri", "row_group"]).to_pylist()
    lost = {(row["uri"], row["row_group"]) for row in rows if row["row_group"] is not None}
    if not lost:
        return False
    pairs = ((shard, group) for shard in dataset.shards for group in shard.row_groups)
    # One that is read in parts is lost whole, and is looked at as a whole.
    whole = {
        (shard.file.uri, group): replace(shard.only({group}), part=None)
        for shard, group in pairs
        if (shard.file.uri, group) in lost
    }
    options = config.dataset.storage_options
    return not quarantine_notes.notes(store) or quarantine_notes.any_readable(
        [*whole.values()], dataset.file_columns, options
    )


def _codebook_is_there(run: Run) -> bool:
    """Whether the codings of the run can be read: else no night after it could be compared, and none would mend it."""
    digest = run.manifest["codebook"]
    try:
        if digest is not None:
            run.store.read_arrow(codebook_path(digest))
    except (FileNotFoundError, DamagedError):
        return False
    return True


def _files_are_there(run: Run) -> bool:
    """Whether the run's tables and matrices are those that it wrote: by size, and by digest while they are small."""
    tables = run.manifest["tables"]
    folders = {entry["path"].rpartition("/")[0] for entry in tables.values()}
    sizes = {path: size for folder in folders for path, size in run.store.sizes(folder).items()}
    for name, entry in tables.items():
        if sum(sizes.get(path, -1) for path in run.paths(name)) != entry.get("bytes"):
            return False
    if run.manifest.get("tensor_bytes", 0) != sum(run.store.sizes(f"runs/{run.measured_by}/tensors").values()):
        return False
    if sum(entry["bytes"] for entry in tables.values()) > CHECKED_BYTES:
        return True
    return all(
        digest_of_parts([hashlib.sha256(run.store.read(path)).hexdigest() for path in run.paths(name)])
        == entry["sha256"]
        for name, entry in tables.items()
    )
