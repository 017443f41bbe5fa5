"""Adds derived columns to a dataset; their transforms are fitted to the data, or taken from earlier runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from featflow.columns.column import Column, Role
from featflow.dataset.dataset import Dataset, Quarantined
from featflow.dataset.image_options import ImageOptions
from featflow.dataset.options import DatasetOptions
from featflow.dataset.transform_options import Derivation, Fitting
from featflow.errors import SchemaError
from featflow.execution import passes, state_store
from featflow.execution.derived_columns import stored_layers
from featflow.execution.merge_tree import whole_name
from featflow.execution.workspace import Workspace
from featflow.storage.records.states import frozen_path
from featflow.storage.store import Store
from featflow.summaries import RowCountSummarizer
from featflow.transforms.frozen import Frozen

if TYPE_CHECKING:
    from featflow.transforms.images.embeddings import Embedding  # torch, for those who have images

__all__ = ["Derived", "Earlier", "derive", "derive_from_states", "embeddings_of", "inline_columns", "key_specs"]


@dataclass(frozen=True)
class Earlier:
    """Fits that earlier runs have frozen."""

    frozen: Mapping[str, Frozen] = field(default_factory=dict)
    """Fits by the names that transforms give them."""
    refit: bool = False
    """Whether all transforms are fitted anew; new clusters then get numbers that no earlier one had."""


@dataclass(frozen=True)
class Derived:
    """A dataset with its derived columns."""

    dataset: Dataset
    """Its columns are those of files, then derived ones."""
    embeddings: tuple[Embedding, ...] = ()
    """Transforms of images to vectors, in the order of `dataset.images`."""
    splits: tuple[str | None, ...] = ()
    """Column of train, test, ... of each of `embeddings`."""
    frozen: Mapping[str, Frozen] = field(default_factory=dict)
    """Fits that this run uses and the next one is to be given, by name."""
    computed: frozenset[str] = frozenset()
    """Digests of shards that were read to fit transforms or to make vectors."""
    quarantined: tuple[Quarantined, ...] = ()
    """Images that could not be read; their shards go on without them."""
    notes: tuple[str, ...] = ()
    """Sentences on columns that are not known yet."""

    def save(self, store: Store) -> dict[str, str]:
        """Write the fits; return their digests by name, for the manifest."""
        for frozen in self.frozen.values():
            store.write_arrow(frozen_path(frozen.digest), frozen.to_arrow())
        return {name: frozen.digest for name, frozen in self.frozen.items()}


def derive(workspace: Workspace, dataset: Dataset, options: DatasetOptions, earlier: Earlier) -> Derived:
    """Return the dataset with its derived columns; transforms without a frozen fit are fitted in passes over the data.

    Raises
    ------
    ConfigurationError
        A model cannot be loaded, or has fewer dimensions than are to be kept.
    SchemaError
        A column that the configuration names cannot be made of this data.
    """
    embeddings = embeddings_of(dataset, options, workspace.memory)
    moments = [each.moments for each in embeddings]
    done = passes.summarize_shards(workspace, dataset.shards, moments, "images: vectors") if moments else None
    if done:
        dataset = replace(dataset, shards=done.shards)
    fitting = _FromData(earlier, workspace, dataset)
    derived = _with_derived_columns(dataset, embeddings, fitting)
    computed = frozenset(fitting.computed | (done.computed if done else set()))
    return replace(derived, frozen=fitting.fits, computed=computed, quarantined=done.quarantined if done else ())


def derive_from_states(
    store: Store, dataset: Dataset, options: DatasetOptions, earlier: Earlier, memory: int
) -> Derived:
    """Return the dataset with the derived columns that stored fits and states decide; notes name the others."""
    return _with_derived_columns(dataset, embeddings_of(dataset, options, memory), _FromStates(earlier, store, dataset))


def inline_columns(derivations: Sequence[Derivation], frozen: Mapping[str, Frozen]) -> tuple[Column, ...]:
    """Return the derived columns that a feature store can compute from one row of the files and a run's frozen fits."""
    fitting, columns = _Frozen(Earlier(frozen)), list[Column]()
    for each in derivations:
        if isinstance(each.options, ImageOptions):
            continue
        try:
            built = {column.name: column for column in each.options.build(each.inputs, fitting).outputs}
        except _NotThereError:
            continue
        joined = (column for output in each.outputs for column in _with_transform(output, built))
        columns += [column for column in joined if not stored_layers([column])]
    return tuple(columns)


class _NotThereError(Exception):
    """States that a fit needs do not exist."""


@dataclass
class _Fits:
    """Fits of earlier runs, and those that this one uses; see `Fitting`."""

    previous: Earlier
    fits: dict[str, Frozen] = field(default_factory=dict, init=False)

    def frozen(self, name: str, of: str) -> Mapping[str, np.ndarray] | None:
        fit = self.previous.frozen.get(name)
        if fit is None or fit.of != of or self.previous.refit:
            return None
        self.fits[name] = fit
        return fit.arrays

    def earlier(self, name: str) -> Mapping[str, np.ndarray] | None:
        fit = self.previous.frozen.get(name)
        return fit.arrays if fit else None

    def freeze(self, name: str, of: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.fits[name] = Frozen(of, arrays)


class _Frozen(_Fits):
    """Uses frozen fits alone."""

    def states(self, specs: Sequence[Any]) -> list[Any]:  # noqa: ARG002
        raise _NotThereError


@dataclass
class _FromData(_Fits):
    """Fits to states; missing ones are computed from the data."""

    workspace: Workspace
    dataset: Dataset
    computed: set[str] = field(default_factory=set, init=False)

    def states(self, specs: Sequence[Any]) -> list[Any]:
        done = passes.summarize_shards(self.workspace, self.dataset.shards, specs, "reading: what columns are made by")
        self.computed |= done.computed
        if not done.shards:
            return [spec.empty() for spec in specs]
        names = passes.merge(self.workspace, done.shards, specs, "merging")
        store = self.workspace.store
        return [state_store.load(store, spec, name) for spec, name in zip(specs, names, strict=True)]


@dataclass
class _FromStates(_Fits):
    """Fits to states that an earlier run has stored."""

    store: Store
    dataset: Dataset

    def states(self, specs: Sequence[Any]) -> list[Any]:
        shards = passes.readable(self.store, self.dataset.shards, specs)
        try:
            name = whole_name(shards)
            return [state_store.load(self.store, spec, name) for spec in specs]
        except (FileNotFoundError, IndexError):
            raise _NotThereError from None


def key_specs(dataset: Dataset) -> tuple[state_store.AnySummarizer, ...]:
    """Return a spec that reads join keys in pass 1: row groups where they are unreadable are quarantined then."""
    return (RowCountSummarizer(dataset.entity),) if dataset.images and dataset.entity else ()


def embeddings_of(dataset: Dataset, options: DatasetOptions, memory: int) -> tuple[Embedding, ...]:
    """Return the transforms of a dataset's images to vectors, in the order of `dataset.images`.

    Parameters
    ----------
    memory
        Bytes of the whole run.
    """
    images = [(each, each.options) for each in dataset.derivations if isinstance(each.options, ImageOptions)]
    if not images:
        return ()
    from featflow.transforms.images.columns import embedding  # noqa: PLC0415  torch, for those who have images

    return tuple(embedding(each, image, options, memory) for each, image in images)


def _with_derived_columns(dataset: Dataset, embeddings: tuple[Embedding, ...], fitting: Fitting) -> Derived:
    built: dict[str, Column] = {}
    notes, missing, image_embeddings = list[str](), set[str](), iter(embeddings)
    for each in dataset.derivations:
        # Inputs may be outputs of the derivations before.
        each = replace(each, inputs=tuple(built.get(column.name, column) for column in each.inputs))  # noqa: PLW2901
        try:
            if isinstance(each.options, ImageOptions):
                from featflow.transforms.images.columns import vector_columns  # noqa: PLC0415  torch

                outputs = vector_columns(next(image_embeddings), each.options, fitting)
            else:
                outputs = each.options.build(each.inputs, fitting).outputs
            built |= {column.name: column for column in outputs}
        except _NotThereError:
            notes.append(f"columns made of '{', '.join(each.options.inputs)}' are known once a run has read it")
            missing |= {column.name for column in each.outputs}
    requested = [column for each in dataset.derivations for column in each.outputs if column.name not in missing]
    columns = (*dataset.columns, *(derived for column in requested for derived in _with_transform(column, built)))
    weight = dataset.weight
    if weight and weight.name in built:
        weight = replace(weight, derived=built[weight.name].derived)
    with_columns = replace(dataset, columns=columns, weight=weight, derivations=())
    splits = (each.options.split for each in dataset.derivations if isinstance(each.options, ImageOptions))
    return Derived(with_columns, embeddings, tuple(splits), notes=tuple(notes))


def _with_transform(column: Column, built: Mapping[str, Column]) -> Iterator[Column]:
    """Yield a column with its transform; nothing for a feature that no transform makes of this data.

    Raises
    ------
    SchemaError
        The column has a role beside that of a feature, such as target.
    """
    if column.name in built:
        yield replace(column, derived=built[column.name].derived)
    elif column.role is not Role.FEATURE:
        raise SchemaError(
            f"column '{column.name}' is {column.role}, and vectors vary in fewer directions; name another"
        )
