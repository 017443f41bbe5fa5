"""How text with delimiters is read."""

from __future__ import annotations

import codecs
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from featflow.option_types import Options

__all__ = ["CsvOptions"]


def _known_encoding(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError:
        raise ValueError("is no encoding that Python knows, such as utf-8, latin-1 or cp1252") from None


Character = Annotated[str, Field(min_length=1, max_length=1)]


class CsvOptions(Options):
    """Delimiter, quotes, decimal mark, encoding and header of CSV files."""

    delimiter: Character | None = Field(
        default=None,
        examples=[";"],
        description="Character between cells; null finds comma, semicolon, tab or bar in each file.",
    )
    quote: Character | None = Field(default='"', description="Character around cells; null for none.")
    decimal: Literal[".", ","] | None = Field(
        default=None,
        examples=[","],
        description="Decimal mark; null takes the comma where the delimiter is another and cells such as 2,5 show it.",
    )
    encoding: Annotated[str, AfterValidator(_known_encoding)] | None = Field(
        default=None,
        examples=["latin-1"],
        description="Encoding, such as latin-1; null is UTF-8, or UTF-16 where a mark says so.",
    )
    header: bool = Field(default=True, description="Whether the first row names the columns: else column_1, ...")
