"""`featflow.select`: the features to use for a target, as a list of names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from featflow.errors import ConfigurationError
from featflow.pipeline import python

__all__ = ["Selected", "select"]


class Selected(list[str]):
    """Names of the features to use, the one that says most first.

    Parameters
    ----------
    names
        Names of columns.
    table
        The selection table: gains, p-values, probabilities, and what is left out and why.
    """

    def __init__(self, names: list[str], table: pl.DataFrame) -> None:
        super().__init__(names)
        self.table = table


def select(data: Any, target: str, k: int | None, method: str, given: Mapping[str, Any]) -> Selected:
    """Return the features to use; see `featflow.select`."""
    if k is not None and k < 1:
        raise ConfigurationError(f"k is {k}; it is a number of features, 1 or more")
    selection = {"methods": [method], "crosses": 0} | ({} if k is None else {"most": k})
    # Error bars of the interactions and correlations take longer than all else, and nothing here reads them.
    analyses = {"correlation": False, "interaction": False, "selection": selection, **given.get("analyses", {})}
    options = {key: value for key, value in given.items() if key not in {"output", "analyses"}}
    if isinstance(data, Mapping):
        data = {**data, "dataset": {**data.get("dataset", {}), "targets": [target]}}
    else:
        options["targets"] = [target]
    run = python.run(data, given.get("output"), options | {"analyses": analyses})
    if "selection" not in run.tables:
        said = (text for text in run.manifest["warnings"] if "analyses.selection" in text)
        raise ConfigurationError(next(said, f"no feature can be selected for '{target}': the data hold none"))
    table = run.table("selection")
    return Selected(table.filter(pl.col("kept"))["feature"].to_list()[:k], table)
