"""What the sections of a configuration share: their base class, and URIs that hold no credentials."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

__all__ = ["AZURE", "Names", "Options", "Uri", "Uris", "switch", "without_credentials"]

CREDENTIALS_IN_URI = re.compile(r"://(?:[^/]*@|[^/@:]*:(?!\d+(?:/|$))[^@]*@)")
"""User or token before the host, or a key and a secret that may itself hold a slash; a port is neither."""
AZURE = re.compile(r"(?:abfss?|wasbs?|az)://[\w$-]+@[\w-]+(?:\.[\w-]+)+(?=/|$)", re.IGNORECASE | re.ASCII)
"""Azure's form of a container of an account, which is no credential: ``abfss://container@account.dfs.core.windows.net``."""


def without_credentials(uri: str) -> str:
    """Return a URI; ValueError if it is empty or holds credentials."""
    if not uri.strip():
        raise ValueError("is empty")
    if CREDENTIALS_IN_URI.search(AZURE.sub("", uri, count=1)):
        raise ValueError("holds credentials; put them into dataset.storage_options or the environment")
    return uri


def _path_as_text(value: object) -> object:
    return str(value) if isinstance(value, PurePath) else value


def _one_as_list(value: object) -> object:
    return [value] if isinstance(value, str | PurePath) else value


def _any(values: list[str]) -> list[str]:
    if not values:
        raise ValueError("names nothing to read")
    return values


Uri = Annotated[str, BeforeValidator(_path_as_text), AfterValidator(without_credentials)]
Uris = Annotated[list[Uri], BeforeValidator(_one_as_list, json_schema_input_type=str | list[str]), AfterValidator(_any)]
Names = Annotated[list[str], BeforeValidator(_one_as_list, json_schema_input_type=str | list[str])]


class Options(BaseModel):
    """Common ground of all option objects: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


OptionsT = TypeVar("OptionsT", bound=Options)


def switch(options: type[OptionsT]) -> BeforeValidator:
    """Accept ``true`` and ``false`` where an option object stands."""

    def convert(value: object) -> object:
        if value is True:
            return options()
        return None if value is False else value

    return BeforeValidator(convert, json_schema_input_type=bool | options | None)
