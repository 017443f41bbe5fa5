"""The YAML configuration: what a user may write, read and checked.

Every key has a default but ``dataset.source`` and ``output``. The JSON Schema
of this file's `Config` is published as ``schemas/config.json``.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from featflow.analyses.options import Analyses
from featflow.columns.options import CodebookOptions
from featflow.config.explanation import Texts, explained
from featflow.config.source import check_default_output, is_data, read_text
from featflow.config.yaml_text import DEEPEST, keys_of, read_yaml
from featflow.dataset.options import DatasetOptions
from featflow.dataset.transform_options import TransformOptions
from featflow.errors import ConfigurationError
from featflow.execution.options import Budget, EngineOptions, LineageOptions
from featflow.option_types import Options, Uri, switch
from featflow.storage.redaction import redacted, redacted_values, remember
from featflow.transforms.catalogue import TRANSFORMS

__all__ = ["Config", "is_data", "load", "parse", "read"]


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
        default=[],
        examples=[[{"parts": "created"}]],
        description="Columns made of other columns, such as {parts: created}.",
    )


class Config(Options):
    """One featflow run."""

    dataset: DatasetConfig
    output: Uri = Field(
        examples=["s3://lake/statistics/orders"], description="Where states and runs are written; any fsspec URI."
    )
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
        values = self.model_dump(mode="json", exclude={"dataset": {"storage_options", "catalog"}})
        public: dict[str, Any] = redacted_values(values, lambda text: redacted(text, {}))  # an address may be signed
        return public


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
        raise ConfigurationError(f"configuration: {explained(error, Config)}") from None


def load(path: str, overrides: list[str] | None = None) -> Config:
    """Read a YAML configuration, or take data as it is, and apply ``key.path=value`` overrides.

    Raises
    ------
    ConfigurationError
        The file is missing, is not YAML, or holds a bad key; or the output that data have by default holds runs of
        others.
    """
    text = read_text(path)
    values = _overridden(text, path, overrides or [], spelled=False)
    _remember_secrets(values)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        texts = Texts(values, _overridden(text, path, overrides or [], spelled=True))
        raise ConfigurationError(f"{path}: {explained(error, Config, texts)}") from None
    if is_data(path) and not any(each.startswith("output=") for each in overrides or []):
        check_default_output(config.output, config.dataset.source)
    return config


def read(path: str) -> dict[str, Any]:
    """Return the values of a configuration's file, or of data alone; errors as `load`."""
    return _overridden(read_text(path), path, [], spelled=False)


def _overridden(text: str, path: str, overrides: list[str], *, spelled: bool) -> dict[str, Any]:
    values = keys_of(read_yaml(text, path, spelled=spelled), path)
    for override in overrides:
        _apply(values, override, spelled=spelled)
    return values


def _remember_secrets(values: dict[str, Any]) -> None:
    """Let nothing that this process says repeat a secret of a configuration, whatever else is wrong with it."""
    dataset = values.get("dataset")
    for name in ("storage_options", "catalog"):
        remember(dataset.get(name) if isinstance(dataset, dict) else None)


def _apply(values: dict[str, Any], override: str, *, spelled: bool) -> None:
    key, separator, text = override.partition("=")
    if not separator or not all(key.split(".")):
        said = f"--set {key}" if key and separator else "--set"  # what has no key may be the value, and that a secret
        raise ConfigurationError(f"{said}: write it as key.path=value")
    *parents, last = key.split(".")
    if len(parents) >= DEEPEST:
        raise ConfigurationError(f"--set {key[:50]}...: a key has at most {DEEPEST} parts")
    for parent in parents:
        inner = values.setdefault(parent, {})
        if not isinstance(inner, dict):
            inner = values[parent] = {}
        values = inner
    values[last] = read_yaml(text, f"--set {key}", spelled=spelled)
