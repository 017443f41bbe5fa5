"""What a user may write: the YAML configuration, validated.

Every key has a default but ``dataset.source`` and ``output``. The JSON Schema
of this file's `Config` is published as ``schemas/config.json``.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    ValidationError,
)

from featflow.errors import ConfigurationError

__all__ = [
    "Analyses",
    "Budget",
    "CodebookOptions",
    "Config",
    "CorrelationOptions",
    "DatasetOptions",
    "EngineOptions",
    "InteractionOptions",
    "RankingOptions",
    "load",
    "parse",
]

CREDENTIALS_IN_URI = re.compile(r"://(?:[^/]*@|[^/@:]*:(?!\d+(?:/|$))[^@]*@)")
"""User or token before the host, or a key and a secret that may itself hold a slash; a port is neither."""

CorrelationMethod = Literal["pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information"]


def _uri_without_credentials(uri: str) -> str:
    if not uri.strip():
        raise ValueError("is empty")
    if CREDENTIALS_IN_URI.search(uri):
        raise ValueError("holds credentials; put them into dataset.storage_options or the environment")
    return uri


def _path_as_text(value: object) -> object:
    return str(value) if isinstance(value, PurePath) else value


def _one_as_list(value: object) -> object:
    if value == []:
        raise ValueError("names nothing to read")
    return [value] if isinstance(value, str | PurePath) else value


Uri = Annotated[str, BeforeValidator(_path_as_text), AfterValidator(_uri_without_credentials)]
Uris = Annotated[list[Uri], BeforeValidator(_one_as_list, json_schema_input_type=str | list[str])]


class Options(BaseModel):
    """Common ground of all option objects: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DatasetOptions(Options):
    """What to read."""

    source: Uris = Field(description="File, directory, glob, or a list of them; any fsspec URI.")
    entity: list[str] = Field(default=[], description="Join keys: kept out of the statistics.")
    event_time: str | None = Field(
        default=None, description="Column that says when a row happened: profiled, not ranked."
    )
    targets: list[str] = Field(default=[], description="Columns to rank features against; categorical or numeric.")
    exclude: list[str] = Field(default=[], description="Columns to leave out.")
    kinds: dict[str, Literal["category", "number", "time", "text"]] = Field(
        default={}, description="Kind of a column where the guess from its type is wrong."
    )
    null_values: list[str] = Field(default=[], description="Strings that mean missing, in every string column.")
    shard_bytes: ByteSize = Field(
        default=ByteSize(128 * 2**20), ge=1, description="About how many decoded bytes make one shard."
    )
    storage_options: dict[str, Any] = Field(
        default={}, repr=False, description="Passed to fsspec; never logged, never written anywhere."
    )


class CodebookOptions(Options):
    """How columns become codes."""

    bins: int = Field(
        default=64, ge=2, le=4096, description="Quantile bins of a number when it is scored against a target."
    )
    pair_bins: int = Field(
        default=16, ge=2, le=120, description="Bins or levels of a column inside pairs and as a target."
    )
    levels: int = Field(
        default=65_536, ge=16, le=2**24, description="Categories counted exactly up to this many levels, hashed beyond."
    )
    cells: int | None = Field(
        default=None,
        ge=64,
        le=2**20,
        description="Histogram cells kept a number; chosen from the number of columns if null.",
    )


class CorrelationOptions(Options):
    """The correlation table."""

    methods: list[CorrelationMethod] = Field(
        default=["pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information"],
        description="Methods to compute.",
    )


class RankingOptions(Options):
    """The ranking table."""


class InteractionOptions(Options):
    """The interaction table."""

    keep: int = Field(default=1000, ge=1, description="Pairs kept for each target, by synergy.")


OptionsT = TypeVar("OptionsT", bound=Options)


def _switch(options: type[OptionsT]) -> BeforeValidator:
    """Accept ``true`` and ``false`` where an option object stands."""

    def convert(value: object) -> object:
        if value is True:
            return options()
        return None if value is False else value

    return BeforeValidator(convert)


class Analyses(Options):
    """Which results to compute: ``true``, ``false`` or the options of each."""

    profile: bool = Field(default=True, description="Write the profile table.")
    correlation: Annotated[CorrelationOptions | None, _switch(CorrelationOptions)] = CorrelationOptions()
    ranking: Annotated[RankingOptions | None, _switch(RankingOptions)] = RankingOptions()
    interaction: Annotated[InteractionOptions | None, _switch(InteractionOptions)] = InteractionOptions()


class EngineOptions(Options):
    """Where the work runs."""

    kind: Literal["ray", "serial"] = "ray"
    address: str | None = Field(default=None, description="Null starts a local Ray; 'auto' or a URL joins a cluster.")
    in_flight: int = Field(default=2, ge=1, description="Tasks submitted ahead for each core of the cluster.")


class Budget(Options):
    """What a run may cost."""

    memory: ByteSize = Field(default=ByteSize(4 * 2**30), ge=64 * 2**20, description="Memory of the whole run.")
    bad_rows: float = Field(default=0.001, ge=0, le=1, description="Share of rows that may be unreadable.")


class Config(Options):
    """One featflow run."""

    dataset: DatasetOptions
    output: Uri = Field(description="Where states and runs are written; any fsspec URI.")
    analyses: Analyses = Analyses()
    codebook: CodebookOptions = CodebookOptions()
    engine: EngineOptions = EngineOptions()
    budget: Budget = Budget()

    def public(self) -> dict[str, Any]:
        """Return the configuration as JSON values, without credentials."""
        return self.model_dump(mode="json", exclude={"dataset": {"storage_options"}})


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
    if "storage_options" in location or (isinstance(value, str) and "@" in value):
        return False
    return isinstance(value, str | int | float | None)


def _known_keys(location: list[str]) -> list[str]:
    options: type[BaseModel] = Config
    for part in location:
        field = options.model_fields.get(part)
        candidates = [] if field is None else [field.annotation, *getattr(field.annotation, "__args__", ())]
        found = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not found:
            return sorted(options.model_fields)
        options = found[0]
    return sorted(options.model_fields)
