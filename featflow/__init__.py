"""featflow: mergeable feature statistics of large Parquet datasets.

What is named here is loaded once it is used: the command line's help waits for none of it.

>>> import featflow
>>> featflow.run  # doctest: +ELLIPSIS
<function run at ...>
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from featflow.errors import FeatflowError

if TYPE_CHECKING:
    from featflow.storage.run import Run, list_runs

__all__ = ["FeatflowError", "Run", "list_runs", "run"]


def run(config: dict[str, Any] | str | PurePath) -> Run:
    """Run the job of a configuration, given as a mapping or as the path of a YAML file.

    Raises
    ------
    FeatflowError
        See `featflow.errors` for its kinds.
    """
    from featflow import config as options
    from featflow.pipeline import job

    return job.run(options.parse(config) if isinstance(config, dict) else options.load(str(config)))


def __getattr__(name: str) -> Any:
    if name not in {"Run", "list_runs"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from featflow.storage import run as runs

    return getattr(runs, name)
