"""featflow: mergeable feature statistics of large datasets.

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
    from featflow.pipeline.plan import Plan
    from featflow.pipeline.results import Run, list_runs
    from featflow.pipeline.selecting import Selected

    __version__: str

__all__ = ["FeatflowError", "Run", "__version__", "list_runs", "plan", "run", "select"]


def run(data: Any, *, output: str | PurePath | None = None, **options: Any) -> Run:
    """Run the job on a frame, on files, or as a configuration says.

    Parameters
    ----------
    data
        A frame: of polars, pandas, pyarrow (also a dataset) or narwhals, or an object with an Arrow C stream. Or a
        source, as ``dataset.source`` takes it. Or a configuration: a mapping, or the path of a YAML file.
    output
        Where states and runs are written; by default what the configuration says, else a temporary folder, which is
        removed with the run that is returned, or when the process ends.
    options
        Keys of a configuration: those of ``dataset`` as they are, such as ``targets``, and sections such as
        ``analyses``.

    Raises
    ------
    FeatflowError
        See `featflow.errors` for its kinds.

    Examples
    --------
    >>> import featflow, polars as pl
    >>> frame = pl.DataFrame({"x": [1, 2, 3, 4] * 50, "y": [0, 0, 1, 1] * 50})
    >>> featflow.run(frame, targets=["y"]).table("ranking")["feature"].to_list()
    ['x']
    """
    from featflow.pipeline import python

    return python.run(data, output, options)


def plan(data: Any, *, output: str | PurePath | None = None, **options: Any) -> Plan:
    """Return what `run` would read, compute and reuse with the same arguments; reads footers only.

    Files that are no Parquet, and frames, are converted first, as `run` would do.

    Raises
    ------
    FeatflowError
        See `featflow.errors` for its kinds.
    """
    from featflow.pipeline import python

    return python.plan(data, output, options)


def select(data: Any, target: str, k: int | None = None, *, method: str = "cmim", **options: Any) -> Selected:
    """Return the names of the features to use for a target, the one that says most first.

    Parameters
    ----------
    data
        As `run` takes it.
    target
        Column to be predicted.
    k
        Features at most; fewer where noise would add as much. By default as many as add more than noise.
    method
        Criterion: cmim, jmi, mrmr, jmim, disr or three_mr; see docs/methods.md.
    options
        As `run` takes them.

    Returns
    -------
    Selected
        A list of names; its ``table`` is the selection table of the run, with gains, p-values and what is left out.

    Raises
    ------
    FeatflowError
        See `featflow.errors` for its kinds.

    Examples
    --------
    >>> import featflow, polars as pl
    >>> x, y = [1, 2, 3, 4] * 50, [0, 0, 1, 1] * 40 + [1, 1, 0, 0] * 10
    >>> featflow.select(pl.DataFrame({"x": x, "copy": x, "noise": [1, 2] * 100, "y": y}), "y")
    ['copy']
    """
    from featflow.pipeline import selecting

    return selecting.select(data, target, k, method, options)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("featflow")
    if name not in {"Run", "list_runs"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from featflow.pipeline import results

    return getattr(results, name)
