"""Types of columns whose cells are texts, from all of their rows.

A column is of the first type below that all of its cells are, less the blank ones and those that only mark a missing
value (`MARKERS`, and ``dataset.null_values``); else, and where digits begin with zeros, it is text, and there only
blank cells are missing: NA may be a country.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["ALL_CHAINS", "TIME_CHAINS", "Chain", "TextColumn", "is_text", "parsed"]

MARKERS = ("", "-", ".", "?", "#n/a", "n/a", "na", "nan", "nil", "none", "null")
"""Cells, in lower case, that mark missing values in columns that otherwise hold numbers, times or booleans: what R,
pandas, spreadsheets, SQL and the UCI archive write."""
Chain = tuple[pa.DataType, ...]
ALL_CHAINS: tuple[Chain, ...] = (
    (pa.int64(), pa.float64()),
    (pa.bool_(),),
    (pa.date32(), pa.timestamp("us")),
    (pa.timestamp("us", "UTC"),),
    (pa.time64("us"),),
)
"""Types of texts. Values of a type are values of the next in its chain, so that earlier rows need no second look."""
TIME_CHAINS = ALL_CHAINS[2:]
LONG_DIGITS, LONG = r"^[+-]?\d{19,}$", 10**18
"""Integers that are no numbers: as floats, ids would lose digits."""
LEADING_ZEROS = r"^[+-]?0\d+$"
"""Digits that are no number: as one, postcodes such as 01234 and 1234 would be the same."""
BELOW_MICROSECONDS = r"(\.\d{6})\d+"
DAY = "1970-01-01T"


class TextColumn:
    """The type of a column, as far as its rows were seen.

    Examples
    --------
    >>> column = TextColumn(ALL_CHAINS)
    >>> column.see(pa.array(["1", "NA", ""]))
    >>> column.see(pa.array(["2.5"]))
    >>> str(column.type)
    'double'
    """

    def __init__(self, chains: Sequence[Chain], null_values: Sequence[str] = (), decimal: str = ".") -> None:
        self._chains, self._null_values, self._decimal = chains, null_values, decimal
        self._chain: Chain | None = None

    def see(self, cells: pa.Array) -> None:
        """Take more rows into account."""
        if self._chain == ():
            return
        values = _present(cells, self._null_values).drop_null()
        if not len(values):
            return
        if _any(pc.match_substring_regex(values, LEADING_ZEROS)):
            self._chain = ()
            return
        for chain in self._chains if self._chain is None else [self._chain]:
            for place, kind in enumerate(chain):
                found = _cast(values, kind, self._decimal)
                if found is not None:
                    # As floats, long integers would lose digits: a fraction among them makes the column text.
                    long = pa.types.is_integer(kind) and pc.max(pc.abs(found)).as_py() >= LONG
                    self._chain = (kind,) if long else chain[place:]
                    return
        self._chain = ()

    @property
    def type(self) -> pa.DataType:
        """Type of all rows seen: null where none holds a value."""
        return pa.null() if self._chain is None else self._chain[0] if self._chain else pa.string()


def is_text(kind: pa.DataType) -> bool:
    """Return whether values of a type are texts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def parsed(cells: pa.Array, kind: pa.DataType, null_values: Sequence[str], decimal: str = ".") -> pa.Array:
    """Return cells as values of a type that `TextColumn` found for them.

    Raises
    ------
    pyarrow.ArrowInvalid
        Some cell is none, as where the file has changed.
    """
    if pa.types.is_null(kind):
        return pa.nulls(len(cells))
    values = _cast(_present(cells, null_values), kind, decimal)
    if values is None:
        raise pa.ArrowInvalid(f"a cell is no {kind}")
    return values


def _present(cells: pa.Array, null_values: Sequence[str]) -> pa.Array:
    """Return cells without spaces around them, null where they are missing."""
    cells = cells.cast(pa.large_string()) if pa.types.is_string_view(cells.type) else cells
    trimmed = pc.utf8_trim_whitespace(cells)
    missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(MARKERS, trimmed.type))
    if null_values:
        missing = pc.or_(missing, pc.is_in(trimmed, value_set=pa.array(null_values, trimmed.type)))
    return pc.if_else(missing, None, trimmed)


def _cast(values: pa.Array, kind: pa.DataType, decimal: str) -> pa.Array | None:
    """Return values of a type; None where some text is none."""
    if _is_otherwise_meant(values, kind, decimal):
        return None
    if pa.types.is_floating(kind) and decimal != ".":
        values = pc.replace_substring(values, decimal, ".")
    try:
        if pa.types.is_time(kind):
            return _times(_joined(DAY, values), pa.timestamp("us")).cast(kind)
        return _times(values, kind) if pa.types.is_timestamp(kind) else values.cast(kind)
    except pa.ArrowInvalid:
        return None


def _is_otherwise_meant(values: pa.Array, kind: pa.DataType, decimal: str) -> bool:
    """Whether Arrow would read as a type what is none to people."""
    if pa.types.is_time(kind):  # Arrow reads 12 as noon
        return not pc.all(pc.match_substring(values, ":")).as_py()
    if pa.types.is_integer(kind):  # Arrow reads 0x1F as 31
        return _any(pc.match_substring(values, "x", ignore_case=True))
    if not pa.types.is_floating(kind):
        return False
    between_thousands = decimal != "." and _any(pc.match_substring(values, "."))
    return between_thousands or _any(pc.match_substring_regex(values, LONG_DIGITS))


def _joined(text: str, values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(pa.scalar(text, values.type), values, pa.scalar("", values.type))


def _times(values: pa.Array, kind: pa.DataType) -> pa.Array:
    try:
        return values.cast(kind)
    except pa.ArrowInvalid:  # perhaps of digits below a microsecond
        return pc.replace_substring_regex(values, BELOW_MICROSECONDS, r"\1").cast(kind)


def _any(flags: pa.Array) -> bool:
    return bool(pc.any(flags).as_py())
