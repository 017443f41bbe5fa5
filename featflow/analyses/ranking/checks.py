"""What a configuration asks of its dataset, checked before anything is started or read."""

from __future__ import annotations

import difflib

from featflow.columns.column import Kind, Role
from featflow.config import Config
from featflow.dataset.dataset import Dataset
from featflow.errors import SchemaError

__all__ = ["check"]


def check(config: Config, dataset: Dataset) -> None:
    """Raise if an analysis names a column that is not there, or that cannot serve."""
    names = [column.name for column in (*dataset.columns, *dataset.entity)]
    ranking, group_by = config.analyses.ranking, config.analyses.uncertainty.group_by
    wanted = {"strata": ranking.strata, "clusters": [ranking.clusters] if ranking.clusters else []} if ranking else {}
    for key, columns in wanted.items():
        for name in columns:
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"the nearest is '{near[0]}'" if near else "it may be excluded, or no column of the dataset"
                raise SchemaError(f"analyses.ranking.{key}: no column '{name}'; {hint}")
    if group_by and ranking and ranking.clusters:
        raise SchemaError(
            f"analyses.uncertainty.group_by is {group_by} and analyses.ranking.clusters groups rows, too; leave one out"
        )
    by_name = {column.name: column for column in dataset.columns}
    for name in wanted.get("strata", []):
        if name not in by_name or by_name[name].kind is Kind.TEXT or by_name[name].role is Role.TARGET:
            what = "a join key" if name not in by_name else "text" if by_name[name].kind is Kind.TEXT else "a target"
            raise SchemaError(f"analyses.ranking.strata: '{name}' is {what}, which has no levels to stay within")
    if ranking and ranking.clusters in {column.name for column in dataset.with_role(Role.TARGET)}:
        raise SchemaError(
            f"analyses.ranking.clusters: '{ranking.clusters}' is a target; clusters are of rows alike in other ways"
        )
    if group_by == "entity" and config.dataset.entity and not dataset.entity:
        raise SchemaError(
            "analyses.uncertainty.group_by is entity and no column of dataset.entity is of a type that is analysed"
        )
    if (group_by == "event_time" and not dataset.with_role(Role.EVENT_TIME)) or (
        group_by == "entity" and not dataset.entity
    ):
        raise SchemaError(f"analyses.uncertainty.group_by is {group_by} and dataset.{group_by} is not set; set it")
