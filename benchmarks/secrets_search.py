"""Whether a credential is anywhere in what runs have left: logs, manifests, states, tables.

Files are searched as they are, and those of Arrow and Parquet, whose values may be compressed, by their texts, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from measured import NO_LIMIT, Check

__all__ = ["credential_checks", "files_with"]

TEXTS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
MAGIC = {b"\xff\xff\xff\xff": pa.ipc.open_stream, b"PAR1": pq.ParquetFile}


def credential_checks(line: str, places: Sequence[str], options: dict[str, Any]) -> list[Check]:
    """Return that no file below any of the places holds the key or the secret of the storage options."""
    found, looked_at = files_with([options["key"], options["secret"]], places, options)
    for name in found[:10]:
        print(f"a credential is in {name}", flush=True)
    return [
        Check(line, "files and logs that hold a credential", len(found), 0, 0),
        Check(line, "files and logs that were searched for one", looked_at, 1, NO_LIMIT),
    ]


def files_with(credentials: Sequence[str], places: Sequence[str], options: dict[str, Any]) -> tuple[list[str], int]:
    """Return the files below URIs that hold a credential, and how many were searched."""
    found, looked_at = list[str](), 0
    for place in places:
        storage, root = fsspec.core.url_to_fs(place, **(options if place.startswith("s3://") else {}))
        storage.invalidate_cache()
        for name in storage.find(root):
            data = storage.cat_file(name)
            looked_at += 1
            if any(credential.encode() in data or any(_in_texts(data, credential)) for credential in credentials):
                found.append(name)
    return found, looked_at


def _in_texts(data: bytes, credential: str) -> Iterator[bool]:
    """Yield of every column of texts in a file of tables whether one holds the credential."""
    opened = next((read(BytesIO(data)) for magic, read in MAGIC.items() if data.startswith(magic)), None)
    if opened is None:
        return
    table = opened.read_all() if hasattr(opened, "read_all") else opened.read()
    yield credential in str(table.schema.to_string(show_schema_metadata=True, truncate_metadata=False))
    for name, column in zip(table.column_names, table.columns, strict=True):
        for texts in _texts(column.combine_chunks()):
            yield credential in name or bool(pc.any(pc.match_substring(texts, credential)).as_py())


def _texts(array: Any) -> Iterator[Any]:
    if isinstance(array, pa.ChunkedArray):
        for chunk in array.chunks:
            yield from _texts(chunk)
        return
    kind = array.type
    if pa.types.is_dictionary(kind):
        yield from _texts(array.dictionary)
    elif pa.types.is_struct(kind):
        for place in range(kind.num_fields):
            yield from _texts(array.field(place))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        yield from _texts(array.flatten())
    elif any(is_kind(kind) for is_kind in TEXTS):
        yield array
