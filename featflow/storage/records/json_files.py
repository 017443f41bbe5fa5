"""Files of JSON: read within a limit, parsed, and held against a type whose fields have bounds."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from featflow.errors import DamagedError, first_line
from featflow.storage.store import Store

__all__ = ["ABSENT", "MOST_BYTES", "Record", "checked", "read_json"]

MOST_BYTES = 2**30
"""Bytes beyond which no such file is read: a manifest of a million files has about 600 MB."""
ABSENT: Any = None
"""Default of a key that may be absent: it came with a later release, or says nothing of some runs."""


class Record(BaseModel):
    """What an object of a file must hold. Readers get the object as it was written, not the model."""

    model_config = ConfigDict(strict=True, frozen=True)


def read_json(store: Store, path: str, model: TypeAdapter[Any], remedy: str) -> Any:
    """Return the value of a file of JSON, as it was written: keys that the model does not know stay.

    Parameters
    ----------
    remedy
        What to do about a damaged file, as a message ends.

    Raises
    ------
    DamagedError
        It is no JSON, or not what the model describes.
    FileNotFoundError
        There is no such file.
    """
    return store.read_checked(path, lambda data: checked(data, store.uri(path), model, remedy), MOST_BYTES)


def checked(data: bytes, uri: str, model: TypeAdapter[Any], remedy: str) -> Any:
    """Return the value of the bytes of a file of JSON; errors as `read_json`."""
    try:
        value = json.loads(data, parse_constant=_refuse)
        model.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(each)[:80] for each in first["loc"]) or "it"
        problem = f"{place}: {first['msg']}"
    except RecursionError:
        problem = "its brackets are nested too deep"
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError, too
        problem = "it is empty" if not data else first_line(error)
    else:
        return value
    raise DamagedError(f"{uri}: damaged: {problem}; {remedy}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
