"""featflow: mergeable feature statistics of large Parquet datasets, on Ray.

>>> import featflow
>>> featflow.run  # doctest: +ELLIPSIS
<function run at ...>
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from featflow import config as _config
from featflow.errors import FeatflowError
from featflow.pipeline import job as _job
from featflow.storage.run import Run, list_runs

__all__ = ["FeatflowError", "Run", "list_runs", "run"]


def run(config: dict[str, Any] | str | PurePath) -> Run:
    """Run the job of a configuration, given as a mapping or as the path of a YAML file.

    Raises
    ------
    FeatflowError
        See `featflow.errors` for its kinds.
    """
    return _job.run(_config.parse(config) if isinstance(config, dict) else _config.load(str(config)))
