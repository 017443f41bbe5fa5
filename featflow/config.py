"""The YAML configuration: what a user may write, read and checked.

Every key has a default but ``dataset.source`` and ``output``. The JSON Schema
of this file's `Config` is published as ``schemas/config.json``.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from featflow.analyses.options import Analyses
from featflow.columns.options import CodebookOptions
from featflow.dataset.options import DatasetOptions
from featflow.dataset.transform_options import TransformOptions
from featflow.errors import ConfigurationError
from featflow.execution.options import Budget, EngineOptions, LineageOptions
from featflow.option_types import Options, Uri, switch
from featflow.transforms.catalogue import TRANSFORMS

__all__ = ["Config", "load", "parse"]


class _OneOfCatalogue:
    """Reads an entry of `dataset.derive` as the kind that one of its keys names."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        known = ", ".join(options.kind for options in TRANSFORMS)
        return core_schema.tagged_union_schema(
            {options.kind: handler.generate_schema(options) for options in TRANSFORMS},
            discriminator=_kind_of,
            custom_error_type="unknown_kind",
            custom_error_message=f"an entry is a column under the name of a kind; known kinds are {known}",
        )


def _kind_of(entry: Any) -> str | None:
    if isinstance(entry, TransformOptions):
        return entry.kind
    named = [options.kind for options in TRANSFORMS if isinstance(entry, dict) and options.kind in entry]
    return named[0] if len(named) == 1 else None


class DatasetConfig(DatasetOptions):
    """What to read, and the columns that are made of it."""

    derive: list[Annotated[TransformOptions, _OneOfCatalogue()]] = Field(
        default=[], description="Columns made of other columns, such as {parts: created}."
    )


class Config(Options):
    """One featflow run."""

    dataset: DatasetConfig
    output: Uri = Field(description="Where states and runs are written; any fsspec URI.")
    analyses: Analyses = Analyses()
    codebook: CodebookOptions = CodebookOptions()
    engine: EngineOptions = EngineOptions()
    budget: Budget = Budget()
    lineage: Annotated[LineageOptions | None, switch(LineageOptions)] = LineageOptions()
    latest: bool = Field(
        default=True, description="Let LATEST name this run; false for back-fills, of days that readers have passed."
    )

    def public(self) -> dict[str, Any]:
        """Return the configuration as JSON values, without credentials."""
        return self.model_dump(mode="json", exclude={"dataset": {"storage_options", "catalog"}})


def parse(values: dict[str, Any]) -> Config:
    """Validate a configuration.

    Raises
    ------
    ConfigurationError
        Names every key at fault, and the nearest known key for an unknown one.

    Examples
    --------
    >>> parse({"dataset": {"source": "a.parquet"}, "output": "out"}).codebook.bins
    64
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_explain(dict(detail)) for detail in error.errors()]
        raise ConfigurationError("configuration: " + "; ".join(lines)) from None


def load(path: str, overrides: list[str] | None = None) -> Config:
    """Read a YAML configuration and apply ``key.path=value`` overrides.

    Raises
    ------
    ConfigurationError
        The file is missing, is not YAML, or holds a bad key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ConfigurationError(f"{path}: cannot read the configuration: {reason}") from None
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: not valid YAML{_yaml_problem(error)}") from None
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: expected keys such as 'dataset' and 'output', found {type(values).__name__}")
    for override in overrides or []:
        _apply(values, override)
    return parse(values)


def _apply(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise ConfigurationError(f"--set {override}: write it as key.path=value")
    *parents, last = key.split(".")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            inner = values[parent] = {}
        values = inner
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"--set {override}: the value is not valid YAML{_yaml_problem(error)}") from None


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Return what is wrong and where, without the text around it, which may hold a secret."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{where}: {problem}" if problem and "'" not in problem else where


def _explain(detail: dict[str, Any]) -> str:
    location = [part for part in detail["loc"] if isinstance(part, str)]
    key = ".".join(location) or str(detail["input"])  # a key that is no string is its own place
    if detail["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"known keys are {', '.join(known)}" if known else f"'{'.'.join(location[:-1])}' takes none"
        if near:
            hint = f"did you mean '{near[0]}'?"
        return f"'{key}' is not a known key; {hint}"
    if detail["type"] == "missing":
        return f"'{key}' is required"
    shown = f" (got {detail['input']!r})" if _may_be_shown(location, detail["input"]) else ""
    return f"'{key}': {detail['msg'].removeprefix('Value error, ')}{shown}"


def _may_be_shown(location: list[str], value: object) -> bool:
    """Whether a refused value can be repeated: no credential hides in it."""
    if {"storage_options", "catalog"} & set(location) or (isinstance(value, str) and "@" in value):
        return False
    return isinstance(value, str | int | float | None)


def _known_keys(location: list[str]) -> list[str]:
    options: type[BaseModel] = Config
    kinds: dict[str, type[BaseModel]] = {}
    for part in location:
        if part in kinds:
            options, kinds = kinds[part], {}
            continue
        kinds = {each.kind: each for each in TRANSFORMS} if part == "derive" else {}
        field = options.model_fields.get(part)
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found and not kinds:
            return sorted(options.model_fields)
        options = found[0] if found else options
    return sorted(options.model_fields)
