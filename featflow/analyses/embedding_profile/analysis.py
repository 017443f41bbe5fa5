"""What the vectors of images are like, what they say of targets, and which images are there twice."""

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
"""Parts of the shards, each classified by what the others say."""


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
        found, vectors, folds = [], [], folds_of(dataset.shards)
        for made, split_name in zip(embeddings, context.derived.splits, strict=True):
            of_vectors = made.moments
            moments = _whole(context, of_vectors)
            vectors.append({"column": made.column.name, "encoder": made.encoder_id, "path": context.path(of_vectors)})
            sample = VectorSampleSummarizer(made.named("vector"), made.named("content"), made.width, tuple(targets))
            of_targets = tuple(_target(context, folds, sample, place) for place in range(len(targets)))
            split = by_name[split_name] if split_name else None
            twins = duplicates(context, dataset.shards, made, split)
            if twins.saturated:
                context.warn(
                    f"{made.column.name}: {twins.saturated} images look like so many others that they were not "
                    "compared with all of them; near_duplicates and leakage are lower bounds"
                )
            found.append(ImageStates(made.column.name, made.encoder_id, moments, of_targets, _twins(twins)))
        context.note(self.name, vectors=vectors)
        context.write(EMBEDDING_PROFILE, [embedding_profile(found)])

    def drift(self, before: RunStates, now: RunStates) -> Iterator[Row]:
        """Yield the distance of vectors, of columns that both runs encoded alike."""
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
        """Return nothing: the images' own section says what is here."""
        return None


def _twins(found: Duplicates) -> dict[str, Any]:
    leakage = [{name: getattr(leak, name) for name in ("first", "second", "exact", "near")} for leak in found.leakage]
    return {"exact_duplicates": found.exact, "near_duplicates": found.near, "leakage": leakage or None}


def _target(context: Context, folds: list[list[Shard]], spec: VectorSampleSummarizer, place: int) -> TargetStates:
    """Return what vectors say of a target, by its place among those of the sample.

    The classifier of a fold is made of all rows of the others, and asked about a sample of the fold's: a night then
    reads the vectors of its new shards, and its accuracies have an error of about half a point at most.
    """
    target = spec.targets[place]
    of_classes = ClassMomentsSummarizer(spec.vector, spec.width, target)
    moments = [_whole(context, of_classes, fold) for fold in folds]
    none = np.zeros(class_count(target), np.int64)
    held_out = Classification(none, np.zeros((len(prefix_lengths(spec.width)), len(none)), np.int64), none)
    for index, fold in enumerate(folds if len(folds) > 1 else ()):
        others = reduce(_merged, (each for other, each in enumerate(moments) if other != index))
        sample = _whole(context, spec, fold)
        known = np.flatnonzero(sample.classes(place))
        vectors, classes = sample.vectors[known].astype(np.float64), sample.classes(place)[known].astype(np.int64) - 1
        held_out = held_out.merge(classified(classifier(others), vectors, classes, sample.counts[known]))
    return TargetStates(target, reduce(_merged, moments), held_out)


def folds_of(shards: Sequence[Shard]) -> list[list[Shard]]:
    """Return a fold for each shard by its place, whatever others come or go; in turn where that leaves one empty."""
    by_place = [[shard for shard in shards if int(shard.place, 16) % FOLDS == fold] for fold in range(FOLDS)]
    in_turn = [list(shards[start::FOLDS]) for start in range(min(FOLDS, len(shards)))]
    return by_place if all(by_place) else in_turn


def _merged(left: ClassMoments, right: ClassMoments) -> ClassMoments:
    return left.merge(right)


def _whole(context: Context, spec: AnySummarizer, shards: Sequence[Shard] | None = None) -> Any:
    """Return the state of some shards, or of all."""
    ((_, state),) = context.states(OneSpec(spec), shards=shards)
    return state
