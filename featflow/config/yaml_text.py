"""YAML read into values, within bounds; each mistake is told with what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from featflow.errors import ConfigurationError

__all__ = ["DEEPEST", "keys_of", "read_yaml"]

MOST_VALUES = 250_000
"""Values of a document with its aliases followed: ten lines of aliases could ask for billions."""
DEEPEST = 64
"""Levels of a document, of which the options need eight."""
TAG = "tag:yaml.org,2002:"
KINDS = {"bool": "a truth value", "int": "a number", "float": "a number", "null": "nothing", "timestamp": "a date"}
"""What YAML makes of words, by tag."""
NEEDS_QUOTES = "*&!%@`"
"""Characters with a meaning of their own where a value begins."""
HINTS = {
    "mapping values are not allowed": "a colon where no key can be: keys of one level begin in one column, and a value "
    "that holds ': ' is to be in quotes",
    "expected <block end>": "it does not fit the lines above: keys of one level begin in one column",
    "could not find expected ':'": "a key is followed by a colon and a space",
    "expected ',' or": "a bracket is not closed, or a comma is missing",
    "unexpected end of stream": "a quote is not closed",
    "expected the node content": "a value is missing, or a bracket is not closed",
    "but found another document": "a second document begins; a file is one configuration",
}
"""What to do about errors of the parser, by words of theirs."""


def read_yaml(text: str, place: str, *, spelled: bool) -> Any:
    """Return the value of a YAML document.

    Parameters
    ----------
    place
        What messages begin with, such as the file's path.
    spelled
        Return every word and number as the text that is written, in place of what YAML makes of it.

    Raises
    ------
    ConfigurationError
        It is not YAML, has a key twice or one that is no text, or is too large with its aliases followed.
    """
    try:
        loader = (_SpelledLoader if spelled else _Loader)(text)
        loader.place = place
        return loader.get_single_data()
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{place}: not valid YAML{_problem(error, text)}") from None


def keys_of(document: Any, place: str) -> dict[str, Any]:
    """Return a document that consists of keys.

    Raises
    ------
    ConfigurationError
        It is empty, a list, or a word.
    """
    if isinstance(document, dict):
        return document
    if document is None:
        what = "it is empty, or all of it is comments"
    elif isinstance(document, list):
        what = "it is a list; write keys, which begin without dash or bracket"
    else:
        what = "it is one text or number; a key is followed by a colon and a space"
    raise ConfigurationError(
        f"{place}: {what}. A configuration has at least 'dataset: {{source: ...}}' and 'output: ...'"
    )


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, within bounds, for keys that are texts and stand once."""

    place = ""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._values = 0
        self._sizes: dict[int, int] = {}
        """Values of each node, with its aliases followed, by its identity."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        is_alias = isinstance(event, yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._error(line, f"more than {DEEPEST} levels")
        self._values += 1
        if self._values > MOST_VALUES:  # known before all of it is read: two million values take minutes
            raise self._error(line, f"more than {MOST_VALUES:,} values")
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise self._error(line, "an alias stands within what it stands for")
        if not is_alias:
            parts = [] if isinstance(node, yaml.ScalarNode) else node.value
            inner = (each for part in parts for each in (part if isinstance(part, tuple) else (part,)))
            self._sizes[id(node)] = 1 + sum(self._sizes[id(each)] for each in inner)
        if self._sizes[id(node)] > MOST_VALUES:
            raise self._error(line, f"more than {MOST_VALUES:,} values, with aliases followed")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise self._error(line, "a key is a list or has keys of its own, and is to be a text")
            if key.tag not in {f"{TAG}str", f"{TAG}merge", f"{TAG}value"}:
                if not key.value:
                    raise self._error(line, "a key is missing before its colon")
                what = KINDS.get(key.tag.removeprefix(TAG), "no text")
                raise self._error(line, f"YAML reads the key {key.value} as {what}; write it in quotes: '{key.value}'")
            if key.value in lines:
                raise self._error(line, f"the key '{key.value}' stands in line {lines[key.value]}, too; join the two")
            lines[key.value] = line
        return node

    def _error(self, line: int, message: str) -> ConfigurationError:
        return ConfigurationError(f"{self.place}: line {line}: {message}")


class _SpelledLoader(_Loader):
    """Constructs texts alone."""


def _text(loader: Any, node: Any) -> Any:
    return loader.construct_scalar(node)


def _or_text(construct: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return the text of what looks like a number or a date and is none, such as 2024-13-45 or !!int x."""

    def constructed(loader: Any, node: Any) -> Any:
        try:
            return construct(loader, node)
        except (ValueError, OverflowError, LookupError, AttributeError):  # as PyYAML fails, by kind
            return node.value

    return constructed


for _kind in ("int", "float", "timestamp", "bool"):
    _Loader.add_constructor(TAG + _kind, _or_text(yaml.SafeLoader.yaml_constructors[TAG + _kind]))
for _kind in ("value", "merge"):  # a column may be called = or <<
    _Loader.add_constructor(TAG + _kind, _text)
for _kind in ("int", "float", "timestamp", "bool", "null", "value", "merge"):
    _SpelledLoader.add_constructor(TAG + _kind, _text)


def _problem(error: yaml.YAMLError, text: str) -> str:
    """Return what is wrong and where, without the text around it, which may hold a secret."""
    if isinstance(error, yaml.reader.ReaderError):
        number = text.count("\n", 0, error.position) + 1
        return f" at line {number}: the character {chr(error.character)!a} may not be there"
    problem = getattr(error, "problem", None) or ""
    of_alias = "alias" in (getattr(error, "context", None) or "") + problem
    mark = (getattr(error, "context_mark", None) if of_alias else None) or getattr(error, "problem_mark", None)
    if mark is None:
        return ""
    where = f" at line {mark.line + 1}, column {mark.column + 1}"
    line, character = mark.buffer[mark.pointer - mark.column : mark.pointer], mark.buffer[mark.pointer]
    if "\t" in line + character:
        return f"{where}: a tab; indent by spaces, two for each level"
    if character in NEEDS_QUOTES:
        return f"{where}: a value that begins with {character} is to be in quotes"
    for words, hint in HINTS.items():
        if words in problem:
            return f"{where}: {hint}"
    return f"{where}: {problem}" if problem and "'" not in problem else where
