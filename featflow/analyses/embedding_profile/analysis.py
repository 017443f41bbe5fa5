"""What the vectors of images are like, what they say of targets, and which images are there twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

from featflow.analyses.change import Row
from featflow.analyses.embedding_profile.classifier import classifier
from featflow.analyses.embedding_profile.duplicates import Duplicates, duplicates
from featflow.analyses.embedding_profile.options import EmbeddingProfileOptions
from featflow.analyses.embedding_profile.table import ImageStates, TargetStates, embedding_profile
from featflow.analyses.embedding_profile.tables import EMBEDDING_PROFILE
from featflow.analyses.protocol import Analysis
from featflow.analyses.run_states import RunStates
from featflow.columns.codebook import CategoryCoding, Coding
from featflow.columns.column import Role
from featflow.dataset.dataset import Shard
from featflow.execution.context import Context
from featflow.execution.requests import OneSpec
from featflow.execution.state_store import AnySummarizer, folder
from featflow.measures.frechet import frechet
from featflow.summaries import ClassificationSummarizer, ClassMoments, ClassMomentsSummarizer
from featflow.transforms.images.columns import vector_moments
from featflow.transforms.images.embeddings import EmbeddingsSummarizer
from featflow.transforms.images.made import kept

__all__ = ["EmbeddingProfile", "folds_of"]

FOLDS = 5
"""Parts of the shards, each classified by what the others say."""


class EmbeddingProfile(Analysis[EmbeddingProfileOptions]):
    """The embedding_profile table."""

    name = "embedding_profile"
    tables = (EMBEDDING_PROFILE,)

    def write(self, context: Context) -> None:
        """Write a row an image column and encoder, and note where the moments of its vectors lie."""
        specs, dataset = context.images.embeddings, context.dataset
        if not specs:
            return
        by_name = {column.name: column for column in (*dataset.columns, *dataset.entity)}
        targets = [each for each in context.codings_of(Role.TARGET) if isinstance(each, CategoryCoding)]
        if targets and len(dataset.shards) < 2:
            context.warn(
                "embedding_profile: accuracies are of shards held out; there is one, lower dataset.shard_bytes"
            )
        found, vectors = [], []
        for spec, split_name in zip(specs, context.images.splits, strict=True):
            of_vectors = vector_moments(spec)
            moments = _whole(context, of_vectors)
            vectors.append({"column": spec.column.name, "encoder": spec.encoder_id, "path": context.path(of_vectors)})
            of_targets = tuple(_target(context, spec, target) for target in targets)
            split = by_name[split_name] if split_name else None
            twins = duplicates(context, dataset.shards, spec, split)
            if twins.crowded:
                context.warn(
                    f"{spec.column.name}: {twins.crowded} images look like so many others that they were not compared "
                    "with all of them; near_duplicates and leakage are lower bounds"
                )
            found.append(ImageStates(spec.column.name, spec.encoder_id, moments, of_targets, _twins(twins)))
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


def _twins(found: Duplicates) -> dict[str, Any]:
    leakage = [{name: getattr(leak, name) for name in ("first", "second", "exact", "near")} for leak in found.leakage]
    return {"exact_duplicates": found.exact, "near_duplicates": found.near, "leakage": leakage or None}


def _target(context: Context, spec: EmbeddingsSummarizer, target: Coding) -> TargetStates:
    vector, _ = kept(spec.column.name, folder(spec))
    of_classes, shards = ClassMomentsSummarizer(vector, spec.width, target), context.dataset.shards
    folds = folds_of(shards)
    moments = [_whole(context, of_classes, fold) for fold in folds]
    held_out = ClassificationSummarizer(vector, spec.width, target, classifier(of_classes.empty())).empty()
    for index, fold in enumerate(folds if len(folds) > 1 else ()):
        others = reduce(_merged, (each for place, each in enumerate(moments) if place != index))
        answers = ClassificationSummarizer(vector, spec.width, target, classifier(others))
        held_out = held_out.merge(_whole(context, answers, fold))
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
