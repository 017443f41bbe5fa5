"""Text with delimiters as batches of texts: every cell as it is written, rows of one length."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv

from featflow.dataset.csv_options import CsvOptions
from featflow.errors import first_line

__all__ = ["CsvTable", "FormatFault"]

SAMPLE_BYTES, SAMPLE_ROWS = 2**18, 100
"""Beginning of a file that its delimiter and decimal mark are told by."""
DELIMITERS = ",;\t|"
BLOCK_BYTES, LARGEST_ROW = 2**22, 2**26
"""Bytes that are parsed at once, and the most that a row may have: a quote that is never closed makes a longer one."""
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+$")
"""Cells whose commas may stand between thousands: they do not tell that a comma is the decimal mark."""
ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Encodings by a file's first bytes."""


class FormatFault(Exception):  # noqa: N818  it says what is wrong with a file, and is no error of a run
    """What is wrong with a file, and where."""


@dataclass(frozen=True)
class CsvTable:
    """One CSV file, its delimiter and names known."""

    path: Path
    delimiter: str
    decimal: str
    encoding: str
    names: tuple[str, ...]
    """Names of its columns; those that the header leaves blank are column_1, ... by position."""
    options: CsvOptions

    @classmethod
    def open(cls, path: Path, options: CsvOptions, *, tabs: bool) -> CsvTable:
        """Look at the beginning of a file.

        Parameters
        ----------
        tabs
            Whether the file's suffix says that tabs are between cells.

        Raises
        ------
        FormatFault
            It is empty, or not text of this encoding, or two columns have one name.
        """
        with path.open("rb") as file:
            data = file.read(SAMPLE_BYTES)
        encoding = options.encoding or ENCODINGS.get(data[:2], "utf-8")
        text = data.decode(encoding, errors="replace").removeprefix("\ufeff")
        text = text if len(data) < SAMPLE_BYTES else text[: text.rfind("\n") + 1] or text
        delimiter = options.delimiter or ("\t" if tabs else _delimiter(text, options.quote))
        rows = _rows(text, delimiter, options.quote)
        if not rows:
            raise FormatFault("the file is empty")
        names = tuple(name.strip() if options.header else "" for name in rows[0])
        names = tuple(name or f"column_{place + 1}" for place, name in enumerate(names))
        repeated = next((name for place, name in enumerate(names) if name in names[:place]), None)
        if repeated is not None:
            raise FormatFault(f"line 1 names column '{repeated}' twice; rename one of them")
        cells = [cell.strip() for row in rows for cell in row]
        commas = delimiter != "," and any(map(_has_decimal_comma, cells)) and not any(map(_has_decimal_point, cells))
        return cls(path, delimiter, options.decimal or (",."[not commas]), encoding, names, options)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, all cells as texts.

        Raises
        ------
        FormatFault
            A row has more or fewer cells than the first, a quote is left open, or the text is of another encoding.
        """
        block, done = BLOCK_BYTES, 0
        while True:
            try:
                for batch in self._parsed(block, done):
                    done += batch.num_rows
                    yield batch
            except pa.ArrowInvalid as error:
                if "straddling" not in str(error):
                    raise FormatFault(self._fault(error)) from None
                if block >= LARGEST_ROW:
                    raise FormatFault(
                        f"after row {done}, a row has more than {LARGEST_ROW:,} bytes; a quote may be left open"
                    ) from None
                block *= 4
            except UnicodeDecodeError as error:
                raise FormatFault(self._fault(error)) from None
            else:
                return

    def _parsed(self, block: int, skipped: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows after some that are known; the header is read as a row, for names of any kind."""
        types = {f"f{place}": pa.string() for place in range(len(self.names))}
        reader = pa_csv.open_csv(
            self.path,
            pa_csv.ReadOptions(autogenerate_column_names=True, block_size=block, encoding=self.encoding),
            pa_csv.ParseOptions(
                delimiter=self.delimiter, quote_char=self.options.quote or False, newlines_in_values=True
            ),
            pa_csv.ConvertOptions(column_types=types),
        )
        if len(reader.schema) != len(self.names):
            raise FormatFault(f"line 1 has {len(self.names)} or {len(reader.schema)} cells; check dataset.csv")
        left, last = skipped + self.options.header, None
        for batch in reader:
            rows = batch.slice(min(left, batch.num_rows))
            left -= batch.num_rows - rows.num_rows
            last = batch if batch.num_rows else last
            if rows.num_rows:
                yield pa.RecordBatch.from_arrays(rows.columns, names=list(self.names))
        if last is not None and "\n" in str(last.column(len(self.names) - 1)[-1]):
            self._check_closed()

    def _check_closed(self) -> None:
        """Raise FormatFault if the last cell, which holds a line's end, is of a quote that is never closed."""
        with self.path.open(encoding=self.encoding, newline="") as file:
            quotes = sum(block.count(str(self.options.quote)) for block in iter(lambda: file.read(2**20), ""))
        if quotes % 2:
            raise FormatFault("a quote is opened and never closed")

    def _fault(self, error: Exception) -> str:
        """Return what is wrong, and in which line: Arrow counts rows, of which some have several lines."""
        try:
            with self.path.open(encoding=self.encoding, newline="") as file:
                reader = _reader(file, self.delimiter, self.options.quote)
                for row in reader:
                    if row and len(row) != len(self.names):
                        return f"line {reader.line_num} has {len(row)} cells and line 1 has {len(self.names)}"
        except UnicodeDecodeError:
            line = _first_undecodable(self.path, self.encoding)
            return f"line {line} is not {self.encoding} text; set dataset.csv: {{encoding: latin-1}}, or what it is"
        except csv.Error:  # a cell longer than Python's reader takes: Arrow's words must do
            pass
        return first_line(error)


def _reader(lines: Iterable[str], delimiter: str, quote: str | None) -> Any:
    if quote is None:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote)


def _rows(text: str, delimiter: str, quote: str | None) -> list[list[str]]:
    """Return the first rows that are not blank."""
    rows: list[list[str]] = []
    try:
        for row in _reader(io.StringIO(text, newline=""), delimiter, quote):
            if row:
                rows.append(row)
            if len(rows) == SAMPLE_ROWS:
                break
    except csv.Error:  # a cell longer than Python takes: what is before it must do
        pass
    return rows


def _delimiter(text: str, quote: str | None) -> str:
    """Return the delimiter that makes most rows as long as the first, and of those the one with most cells."""

    def score(delimiter: str) -> tuple[float, int]:
        rows = _rows(text, delimiter, quote)
        width = len(rows[0]) if rows else 0
        return (sum(len(row) == width for row in rows) / len(rows), width) if width > 1 else (0.0, 0)

    return max(DELIMITERS, key=score)


def _has_decimal_comma(cell: str) -> bool:
    whole, mark, digits = cell.lstrip("+-").partition(",")
    return bool(mark) and whole.isdigit() and digits.isdigit() and not THOUSANDS.match(cell)


def _has_decimal_point(cell: str) -> bool:
    whole, mark, digits = cell.lstrip("+-").partition(".")
    return bool(mark) and whole.isdigit() and digits.isdigit()


def _first_undecodable(path: Path, encoding: str) -> int:
    """Return the number of the first line that is not of an encoding."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError:
                return number
    return 0
