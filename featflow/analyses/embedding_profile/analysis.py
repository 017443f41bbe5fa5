"""Profile of image vectors: their spectrum, how well they tell target classes apart, and duplicate images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np

from featflow.analyses.change import Row
from featflow.analyses.embedding_profile.classifier import classifier
from featflow.analyses.embedding_profile.duplicates import Duplicates, duplicates
from featflow.analyses.embedding_profile.options import EmbeddingProfileOptions
from featflow.analyses.embedding_profile.table import ImageStates, TargetStates, embedding_profile
from featflow.analyses.embedding_profile.tables import EMBEDDING_PROFILE
from featflow.analyses.protocol import Analysis
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section
from featflow.analyses.run_states import RunStates
from featflow.columns.codebook import CategoryCoding
from featflow.columns.column import Role
from featflow.dataset.dataset import Shard
from featflow.execution.context import Context
from featflow.execution.requests import OneSpec
from featflow.execution.state_store import AnySummarizer
from featflow.measures.classification import Classification, classified, prefix_lengths
from featflow.measures.frechet import frechet
from featflow.storage.run import Run
from featflow.summaries import ClassMoments, ClassMomentsSummarizer, VectorSampleSummarizer
from featflow.summaries.class_moments import class_count

__all__ = ["EmbeddingProfile", "folds_of"]

FOLDS = 5
"""Folds of shards, each classified by classifiers made from the other folds: from four fifths of the shards, with five
solves a target. More folds would use more of the rows and take more solves."""


class EmbeddingProfile(Analysis[EmbeddingProfileOptions]):
    """The embedding_profile table."""

    name = "embedding_profile"
    tables = (EMBEDDING_PROFILE,)

    def write(self, context: Context) -> None:
        """Write a row an image column and encoder, and note where the moments of its vectors lie."""
        embeddings, dataset = context.derived.embeddings, context.dataset
        if not embeddings:
            return
        by_name = {column.name: column for column in (*dataset.columns, *dataset.entity)}
        targets = [each for each in context.codings_of(Role.TARGET) if isinstance(each, CategoryCoding)]
        if targets and len(dataset.shards) < 2:
            context.warn(
                "embedding_profile: accuracies are of shards held out; there is one, lower dataset.shard_bytes"
            )
        image_states, vectors, folds = [], [], folds_of(dataset.shards)
        for embedding, split_name in zip(embeddings, context.derived.splits, strict=True):
            moments_spec = embedding.moments
            moments = _merged_state(context, moments_spec)
            vectors.append(
                {"column": embedding.column.name, "encoder": embedding.encoder_id, "path": context.path(moments_spec)}
            )
            sample = VectorSampleSummarizer(
                embedding.named("vector"), embedding.named("content"), embedding.width, tuple(targets)
            )
            target_states = tuple(_target_states(context, folds, sample, place) for place in range(len(targets)))
            split = by_name[split_name] if split_name else None
            counts = duplicates(context, dataset.shards, embedding, split)
            if counts.saturated:
                context.warn(
                    f"{embedding.column.name}: {counts.saturated} images look like so many others that they were not "
                    "compared with all of them; near_duplicates and leakage are lower bounds"
                )
            image_states.append(
                ImageStates(
                    embedding.column.name, embedding.encoder_id, moments, target_states, _duplicate_columns(counts)
                )
            )
        context.note(self.name, vectors=vectors)
        context.write(EMBEDDING_PROFILE, [embedding_profile(image_states)])

    def drift(self, before: RunStates, now: RunStates) -> Iterator[Row]:
        """Yield the distance of vectors between runs, of columns that both runs have with one encoder."""
        there, here = (
            {(each["column"], each["encoder"]): each["path"] for each in states.noted(self.name).get("vectors", [])}
            for states in (before, now)
        )
        for (column, encoder), path in here.items():
            if (column, encoder) not in there:
                continue
            old, new = before.read("vector_moments", there[column, encoder]), now.read("vector_moments", path)
            if len(old.mean) == len(new.mean):
                value, p_value = frechet(old, new)
                yield {"feature": column, "method": encoder, "metric": "frechet", "value": value, "p_value": p_value}

    @classmethod
    def section(cls, run: Run, limits: PageLimits) -> Section | None:  # noqa: ARG003
        """Return None: the images section, which `embedding` returns, shows this table's rows."""
        return None


def _duplicate_columns(counts: Duplicates) -> dict[str, Any]:
    leakage = [{name: getattr(leak, name) for name in ("first", "second", "exact", "near")} for leak in counts.leakage]
    return {"exact_duplicates": counts.exact, "near_duplicates": counts.near, "leakage": leakage or None}


def _target_states(
    context: Context, folds: list[list[Shard]], spec: VectorSampleSummarizer, place: int
) -> TargetStates:
    """Return the states of a target, by its index among those of the sample.

    The classifier of a fold is made from all rows of the others and tested on a sample of the fold's rows. So a run
    reads vectors of new shards only, and accuracies have a standard error of about half a percentage point at most.
    """
    target = spec.targets[place]
    class_spec = ClassMomentsSummarizer(spec.vector, spec.width, target)
    moments = [_merged_state(context, class_spec, fold) for fold in folds]
    no_rows = np.zeros(class_count(target), np.int64)
    held_out = Classification(no_rows, np.zeros((len(prefix_lengths(spec.width)), len(no_rows)), np.int64), no_rows)
    for index, fold in enumerate(folds if len(folds) > 1 else ()):
        others = reduce(_merge, (each for other, each in enumerate(moments) if other != index))
        sample = _merged_state(context, spec, fold)
        known = np.flatnonzero(sample.classes(place))
        vectors, classes = sample.vectors[known].astype(np.float64), sample.classes(place)[known].astype(np.int64) - 1
        held_out = held_out.merge(classified(classifier(others), vectors, classes, sample.counts[known]))
    return TargetStates(target, reduce(_merge, moments), held_out)


def folds_of(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Return folds of shards: by each shard's place, so that other shards do not change it; in turn if one is empty."""
    by_place = [[shard for shard in shards if int(shard.place, 16) % FOLDS == fold] for fold in range(FOLDS)]
    in_turn = [list(shards[start::FOLDS]) for start in range(min(FOLDS, len(shards)))]
    return by_place if all(by_place) else in_turn


def _merge(left: ClassMoments, right: ClassMoments) -> ClassMoments:
    return left.merge(right)


def _merged_state(context: Context, spec: AnySummarizer, shards: Sequence[Shard] | None = None) -> Any:
    """Return the merged state of some shards, or of all."""
    ((_, state),) = context.states(OneSpec(spec), shards=shards)
    return state
