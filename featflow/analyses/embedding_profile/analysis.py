"""What the vectors of images are like, what they say of targets, and which images are there twice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import pyarrow as pa

from featflow.analyses.embedding_profile.classifier import classifier
from featflow.analyses.embedding_profile.duplicates import Duplicates, duplicates
from featflow.analyses.embedding_profile.table import ImageStates, TargetStates, embedding_profile
from featflow.columns.codebook import CategoryCoding, Codebook, Coding
from featflow.columns.column import Role
from featflow.config import Config
from featflow.dataset.dataset import Dataset, Shard
from featflow.errors import InfrastructureError
from featflow.execution import passes, state_store
from featflow.execution.passes import Workspace
from featflow.execution.state_store import AnySummarizer, folder
from featflow.summaries import ClassificationSummarizer, ClassMoments, ClassMomentsSummarizer
from featflow.transforms.images.columns import Images, vector_moments
from featflow.transforms.images.embeddings import EmbeddingsSummarizer
from featflow.transforms.images.made import kept

__all__ = ["profile_images"]

FOLDS = 5
"""Parts of the shards, each classified by what the others say."""


def profile_images(
    workspace: Workspace, dataset: Dataset, config: Config, images: Images, codebook: Codebook, warnings: list[str]
) -> pa.Table:
    """Return the embedding_profile table.

    Parameters
    ----------
    dataset
        With the shards that were read.
    warnings
        Gets what readers of the table should know.
    """
    by_name = {column.name: column for column in (*dataset.columns, *dataset.entity)}
    targets = [
        coding
        for coding in codebook.codings
        if coding.column.role is Role.TARGET and isinstance(coding, CategoryCoding)
    ]
    if targets and len(dataset.shards) < 2:
        warnings.append("embedding_profile: accuracies are of shards held out; there is one, lower dataset.shard_bytes")
    found = []
    for spec, options in zip(images.embeddings, config.dataset.images, strict=True):
        moments = _whole(workspace, dataset.shards, vector_moments(spec), images)
        of_targets = tuple(_target(workspace, dataset.shards, spec, target, images) for target in targets)
        split = by_name[options.split] if options.split else None
        twins = duplicates(workspace, dataset.shards, spec, split)
        if twins.crowded:
            warnings.append(
                f"{spec.column.name}: {twins.crowded} images look like so many others that they were not compared with "
                "all of them; near_duplicates and leakage are lower bounds"
            )
        found.append(ImageStates(spec.column.name, spec.encoder_id, moments, of_targets, _twins(twins)))
    return embedding_profile(found)


def _twins(found: Duplicates) -> dict[str, Any]:
    leakage = [{name: getattr(leak, name) for name in ("first", "second", "exact", "near")} for leak in found.leakage]
    return {"exact_duplicates": found.exact, "near_duplicates": found.near, "leakage": leakage or None}


def _target(
    workspace: Workspace, shards: Sequence[Shard], spec: EmbeddingsSummarizer, target: Coding, images: Images
) -> TargetStates:
    vector, _ = kept(spec.column.name, folder(spec))
    of_classes = ClassMomentsSummarizer(vector, spec.width, target)
    folds = [shards[start::FOLDS] for start in range(min(FOLDS, len(shards)))]
    moments = [_whole(workspace, fold, of_classes, images) for fold in folds]
    held_out = ClassificationSummarizer(vector, spec.width, target, classifier(of_classes.empty())).empty()
    for index, fold in enumerate(folds if len(folds) > 1 else ()):
        others = reduce(_merged, (each for place, each in enumerate(moments) if place != index))
        answers = ClassificationSummarizer(vector, spec.width, target, classifier(others))
        held_out = held_out.merge(_whole(workspace, fold, answers, images))
    return TargetStates(target, reduce(_merged, moments), held_out)


def _merged(left: ClassMoments, right: ClassMoments) -> ClassMoments:
    return left.merge(right)


def _whole(workspace: Workspace, shards: Sequence[Shard], spec: AnySummarizer, images: Images) -> Any:
    """Return the state of all shards."""
    done = passes.compute(workspace, shards, [spec], f"images: {spec.name}", images.layers[:1])
    if done.quarantined:
        raise InfrastructureError(f"{done.quarantined[0].uri}: became unreadable during the run; run again")
    (name,) = passes.merge(workspace, shards, [spec], "merging")
    return state_store.load(workspace.store, spec, name)
