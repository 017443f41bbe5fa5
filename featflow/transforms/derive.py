"""Columns made of columns join the dataset: what decides them is fitted to the data, or taken from earlier runs."""

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
from featflow.execution.passes import Workspace
from featflow.storage.store import Store
from featflow.summaries import RowCountSummarizer
from featflow.transforms.frozen import Frozen

if TYPE_CHECKING:
    from featflow.transforms.images.embeddings import Embedding  # torch, for those who have images

__all__ = ["Derived", "Earlier", "derive", "derive_from_states", "embeddings_of", "inline_columns", "key_specs"]


@dataclass(frozen=True)
class Earlier:
    """What earlier runs have frozen."""

    frozen: Mapping[str, Frozen] = field(default_factory=dict)
    """By the name that a transform gives it."""
    refit: bool = False
    """Whether all is to be fitted anew; numbers of clusters then go on from those of before."""


@dataclass(frozen=True)
class Derived:
    """A dataset with the columns that are made of others."""

    dataset: Dataset
    """Its columns are those of files, then those that are made."""
    embeddings: tuple[Embedding, ...] = ()
    """What makes vectors of images, in the order of `dataset.images`."""
    splits: tuple[str | None, ...] = ()
    """Column of train, test, ... of each of `embeddings`."""
    frozen: Mapping[str, Frozen] = field(default_factory=dict)
    """What this run rests on and the next one is to be given, by name."""
    computed: frozenset[str] = frozenset()
    """Digests of shards that were read for it."""
    quarantined: tuple[Quarantined, ...] = ()
    """What could not be read of images; shards go on without it."""
    notes: tuple[str, ...] = ()
    """Columns that are not known yet."""

    def save(self, store: Store) -> dict[str, str]:
        """Write what was frozen; return what a manifest says of it: digests by name."""
        for frozen in self.frozen.values():
            store.write_arrow(state_store.frozen_path(frozen.digest), frozen.to_arrow())
        return {name: frozen.digest for name, frozen in self.frozen.items()}


def derive(workspace: Workspace, dataset: Dataset, options: DatasetOptions, earlier: Earlier) -> Derived:
    """Return the dataset with its made columns; what is not frozen yet is fitted in passes over the data.

    Raises
    ------
    ConfigurationError
        A model cannot be loaded, or has fewer dimensions than are to be kept.
    SchemaError
        A column that is named somewhere cannot be made of this data.
    """
    embeddings = embeddings_of(dataset, options)
    moments = [each.moments for each in embeddings]
    done = passes.summarize_shards(workspace, dataset.shards, moments, "images: vectors") if moments else None
    if done:
        dataset = replace(dataset, shards=done.shards)
    fitting = _FromData(earlier, workspace, dataset)
    derived = _derived(dataset, embeddings, fitting)
    computed = frozenset(fitting.computed | (done.computed if done else set()))
    return replace(derived, frozen=fitting.kept, computed=computed, quarantined=done.quarantined if done else ())


def derive_from_states(store: Store, dataset: Dataset, options: DatasetOptions, earlier: Earlier) -> Derived:
    """Return the same as far as it is known without reading data; a note for what is not."""
    return _derived(dataset, embeddings_of(dataset, options), _FromStates(earlier, store, dataset))


def inline_columns(derivations: Sequence[Derivation], frozen: Mapping[str, Frozen]) -> tuple[Column, ...]:
    """Return the made columns that a row of files says alone, by what a run has frozen: a feature store's."""
    fitting, found = _Frozen(Earlier(frozen)), list[Column]()
    for each in derivations:
        if isinstance(each.options, ImageOptions):
            continue
        try:
            built = {column.name: column for column in each.options.build(each.inputs, fitting).outputs}
        except _NotThereError:
            continue
        columns = (column for wanted in each.outputs for column in _joined(wanted, built))
        found += [column for column in columns if not stored_layers([column])]
    return tuple(found)


class _NotThereError(Exception):
    """States that a fit needs have not been made."""


@dataclass
class _Fits:
    """Fits of earlier runs, and of this one; see `Fitting`."""

    given: Earlier
    kept: dict[str, Frozen] = field(default_factory=dict, init=False)

    def frozen(self, name: str, of: str) -> Mapping[str, np.ndarray] | None:
        found = self.given.frozen.get(name)
        if found is None or found.of != of or self.given.refit:
            return None
        self.kept[name] = found
        return found.arrays

    def earlier(self, name: str) -> Mapping[str, np.ndarray] | None:
        found = self.given.frozen.get(name)
        return found.arrays if found else None

    def freeze(self, name: str, of: str, arrays: Mapping[str, np.ndarray]) -> None:
        self.kept[name] = Frozen(of, arrays)


class _Frozen(_Fits):
    """Nothing is fitted."""

    def states(self, specs: Sequence[Any]) -> list[Any]:  # noqa: ARG002
        raise _NotThereError


@dataclass
class _FromData(_Fits):
    """Fits to states that are made where they lack."""

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
    """Fits to states that a run has left."""

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
    """Return what pass 1 makes of join keys: a row group that cannot be read then joins the others in quarantine."""
    return (RowCountSummarizer(dataset.entity),) if dataset.images and dataset.entity else ()


def embeddings_of(dataset: Dataset, options: DatasetOptions) -> tuple[Embedding, ...]:
    """Return what makes vectors of a dataset's images, in the order of `dataset.images`."""
    images = [(each, each.options) for each in dataset.derivations if isinstance(each.options, ImageOptions)]
    if not images:
        return ()
    from featflow.transforms.images.columns import embedding  # noqa: PLC0415  torch, for those who have images

    return tuple(embedding(each, image, options) for each, image in images)


def _derived(dataset: Dataset, embeddings: tuple[Embedding, ...], fitting: Fitting) -> Derived:
    built: dict[str, Column] = {}
    notes, missing, coming = list[str](), set[str](), iter(embeddings)
    for each in dataset.derivations:
        each = replace(each, inputs=tuple(built.get(column.name, column) for column in each.inputs))  # noqa: PLW2901
        try:
            if isinstance(each.options, ImageOptions):
                from featflow.transforms.images.columns import made_of_vectors  # noqa: PLC0415  torch

                outputs = made_of_vectors(next(coming), each.options, fitting)
            else:
                outputs = each.options.build(each.inputs, fitting).outputs
            built |= {column.name: column for column in outputs}
        except _NotThereError:
            notes.append(f"columns made of '{', '.join(each.options.inputs)}' are known once a run has read it")
            missing |= {column.name for column in each.outputs}
    wanted = [column for each in dataset.derivations for column in each.outputs if column.name not in missing]
    columns = (*dataset.columns, *(found for column in wanted for found in _joined(column, built)))
    weight = dataset.weight
    if weight and weight.name in built:
        weight = replace(weight, derived=built[weight.name].derived)
    found = replace(dataset, columns=columns, weight=weight, derivations=())
    splits = (each.options.split for each in dataset.derivations if isinstance(each.options, ImageOptions))
    return Derived(found, embeddings, tuple(splits), notes=tuple(notes))


def _joined(column: Column, built: Mapping[str, Column]) -> Iterator[Column]:
    """Yield a column with what makes it; nothing for a feature that this data does not have.

    Raises
    ------
    SchemaError
        It is more than a feature.
    """
    if column.name in built:
        yield replace(column, derived=built[column.name].derived)
    elif column.role is not Role.FEATURE:
        raise SchemaError(
            f"column '{column.name}' is {column.role}, and vectors vary in fewer directions; name another"
        )
