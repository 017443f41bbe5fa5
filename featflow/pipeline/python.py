"""`featflow.run` and `featflow.plan`: configurations, files and frames given in Python."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from featflow import config as options
from featflow.config import Config
from featflow.dataset.formats import FRAME
from featflow.errors import ConfigurationError
from featflow.pipeline import job
from featflow.pipeline.frames import frame_source
from featflow.pipeline.notebook_progress import notebook_progress
from featflow.pipeline.plan import Plan
from featflow.pipeline.plan import plan as plan_of
from featflow.pipeline.results import Run
from featflow.storage.store import Store

__all__ = ["plan", "run"]

CONFIGURATIONS = (".yaml", ".yml")


def run(data: Any, output: str | PurePath | None, given: Mapping[str, Any]) -> Run:
    """Run the job; see `featflow.run`."""
    config, temporary = _configuration(data, output, given)
    try:
        finished = job.run(config, notebook_progress())
    except BaseException:
        _remove(temporary)
        raise
    result = Run(finished.store, finished.run_id, finished.manifest)
    if temporary:
        weakref.finalize(result, _remove, temporary)
    return result


def plan(data: Any, output: str | PurePath | None, given: Mapping[str, Any]) -> Plan:
    """Return what `run` would do; see `featflow.plan`."""
    config, temporary = _configuration(data, output, given)
    try:
        return plan_of(config)
    finally:
        _remove(temporary)


def _configuration(data: Any, output: str | PurePath | None, given: Mapping[str, Any]) -> tuple[Config, str | None]:
    """Return the configuration of data and options, and its output where that is a temporary folder.

    A frame is written below the output once all options are known to be right.
    """
    above = {key: value for key, value in given.items() if key in Config.model_fields and key != "dataset"}
    above |= {} if output is None else {"output": output}
    below = {key: value for key, value in given.items() if key not in above}
    is_text = isinstance(data, str | PurePath)
    is_source = isinstance(data, list) or (is_text and _is_source(str(data), below))
    if isinstance(data, dict) or (is_text and not is_source):
        if below:
            raise ConfigurationError(f"'{next(iter(below))}' goes into dataset of the configuration that is given")
        return options.parse((options.read(str(data)) if is_text else data) | above), None
    temporary = None if "output" in above else tempfile.mkdtemp(prefix="featflow-")
    try:
        dataset = {"source": data if is_source else FRAME, **below}
        config = options.parse({"output": temporary, **above, "dataset": dataset})
        return (config if is_source else _with_frame(config, data, temporary)), temporary
    except BaseException:
        _remove(temporary)
        raise


def _is_source(path: str, given: Mapping[str, Any]) -> bool:
    return options.is_data(path) or (bool(given) and not path.endswith(CONFIGURATIONS))


def _with_frame(config: Config, frame: Any, temporary: str | None) -> Config:
    if temporary and config.engine.address:
        raise ConfigurationError("output: name one that all machines of the cluster reach (engine.address)")
    source = frame_source(frame, Store(config.output, config.dataset.storage_options))
    return config.model_copy(update={"dataset": config.dataset.model_copy(update={"source": [source]})})


def _remove(folder: str | None) -> None:
    if folder:
        shutil.rmtree(folder, ignore_errors=True)
