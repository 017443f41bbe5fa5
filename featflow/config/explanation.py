"""What is wrong with a configuration, and what to write instead, from what pydantic finds."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from featflow.config.keys import Path, sections

__all__ = ["Texts", "explained"]

MOST_SHOWN = 10
"""Errors told one by one: a list of the wrong kind has one an element."""
MOST_KEYS = 6
"""Keys of a section named where it holds something else."""


SECRET = {"storage_options", "catalog"}
"""Sections whose values may be credentials."""
Place = tuple[int | str, ...]
"""Keys and numbers of elements from the top to a value, as pydantic tells of it."""


@dataclass(frozen=True)
class Texts:
    """Values that come from YAML."""

    values: Any
    """As YAML reads them."""
    spelled: Any
    """The same with each word and number as the text that is written."""


def explained(error: ValidationError, options: type[BaseModel], texts: Texts | None = None) -> str:
    """Return what is wrong, key by key, and what to write instead.

    Parameters
    ----------
    options
        What was read: known keys are its.
    texts
        Where the values come from; None where they are of Python.
    """
    details = error.errors(include_url=False, include_context=False)
    quotable = _quotable(details, options, texts) if texts else {}
    known = dict(sections(options))
    lines = list(dict.fromkeys(quotable.get(detail["loc"]) or _explain(detail, known) for detail in details))
    more = len(lines) - MOST_SHOWN
    return "; ".join(lines[:MOST_SHOWN] + [f"and {more:,} more"] * (more > 0))


def _explain(detail: Mapping[str, Any], known: Mapping[Path, type[BaseModel]]) -> str:
    location = tuple(part for part in detail["loc"] if isinstance(part, str))
    key = ".".join(location) or str(detail["input"])  # a key that is no string is its own place
    if detail["type"] == "extra_forbidden":
        return f"'{key}' is not a known key; {_meant(location, known)}"
    if detail["type"] == "missing":
        return f"'{key}' is required"
    if detail["input"] is None:
        inside = "indent its keys below it, or leave it out" if location in known else "write a value, or leave it out"
        return f"'{key}' is empty; {inside}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "model_type" and location in known:
        names = list(known[location].model_fields)
        message = f"takes keys: {', '.join(names[:MOST_KEYS])}{' and others' * (len(names) > MOST_KEYS)}"
    shown = f" (got {detail['input']!r})" if _may_be_shown(location, detail["input"]) else ""
    return f"'{key}': {message}{shown}"


def _meant(location: Path, known: Mapping[Path, type[BaseModel]]) -> str:
    """Return where an unknown key belongs, or the nearest known one, or those there are."""
    *parents, key = location
    here = sorted(known[tuple(parents)].model_fields) if tuple(parents) in known else []
    if near := difflib.get_close_matches(key, here, n=1, cutoff=0.8):
        return f"did you mean '{near[0]}'?"
    everywhere = {name: path for path, options in known.items() for name in options.model_fields}
    if key in everywhere:
        places = [(*path, key) for path, options in known.items() if key in options.model_fields]
        written = " or ".join(f"'{'.'.join(place)}'" for place in places[:3])
        level = "the top level" if len(places[0]) == 1 else f"'{'.'.join(places[0][:-1])}'"
        return f"it belongs to {level}: {written}" if len(places) == 1 else f"it belongs elsewhere: {written}"
    if near := difflib.get_close_matches(key, everywhere, n=1, cutoff=0.8):
        return f"did you mean '{'.'.join((*everywhere[near[0]], near[0]))}'?"
    if near := difflib.get_close_matches(key, here, n=1):
        return f"did you mean '{near[0]}'?"
    return f"known keys are {', '.join(here)}" if here else f"'{'.'.join(parents)}' takes none"


def _may_be_shown(location: Path, value: object) -> bool:
    """Whether a refused value can be repeated: no credential hides in it."""
    if SECRET & set(location) or (isinstance(value, str) and "@" in value):
        return False
    return isinstance(value, str | int | float | None)


def _quotable(details: list[Any], options: type[BaseModel], texts: Texts) -> dict[Place, str]:
    """Return what is said, by place, of words that YAML has read as something else than text, where text is right.

    It is tried: as text they must be accepted.
    """
    read = {detail["loc"]: detail["input"] for detail in details if not isinstance(detail["input"], str)}
    words = {place: text for place in read if (text := _at(texts.spelled, place)) and isinstance(text, str)}
    tried = deepcopy(texts.values)
    for place, word in words.items():
        _put(tried, place, word)
    try:
        options.model_validate(tried)
        refused: set[Place] = set()
    except ValidationError as error:
        refused = {detail["loc"] for detail in error.errors(include_url=False, include_context=False)}
    return {
        place: f"'{'.'.join(part for part in place if isinstance(part, str))}': YAML reads {word} as "
        f"{_in_words(read[place])}; if it is a name, write it in quotes: '{word}'"
        for place, word in words.items()
        if place not in refused and "@" not in word
    }


def _at(values: Any, place: Place) -> Any:
    """Return the value at a place; None if there is none. Some parts of a place are pydantic's own names of kinds."""
    for part in place:
        if _holds(values, part):
            values = values[part]
    return values


def _put(values: Any, place: Place, text: str) -> None:
    """Put a text in the place of a value."""
    container = values
    for part in place:
        if _holds(values, part):
            container, key, values = values, part, values[part]
    if container is not values:
        container[key] = text


def _holds(values: Any, part: int | str) -> bool:
    if isinstance(values, list):
        return isinstance(part, int) and part < len(values)
    return isinstance(values, dict) and part in values


def _in_words(value: object) -> str:
    """Return what YAML makes of a word.

    Examples
    --------
    >>> _in_words(False), _in_words(4), _in_words(date(2024, 1, 1))
    ('the truth value false', 'the number 4', 'a date')
    """
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"the truth value {str(value).lower()}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return "a time" if isinstance(value, datetime) else "a date" if isinstance(value, date) else type(value).__name__
