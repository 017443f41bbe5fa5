"""Fits of transforms, stored for the runs that follow: later rows then change no column's meaning."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from featflow.columns.hashing import array_digest
from featflow.errors import DamagedError
from featflow.storage.records.states import frozen_path, read_state
from featflow.storage.store import Store

__all__ = ["Frozen", "load_frozen"]


@dataclass(frozen=True, eq=False)
class Frozen:
    """Arrays that were fitted to data.

    Examples
    --------
    >>> frozen = Frozen("days", {"first": np.array(14_000)})
    >>> back = Frozen.from_arrow(frozen.to_arrow())
    >>> back.of, back.arrays["first"].tolist(), back.digest == frozen.digest
    ('days', 14000, True)
    """

    of: str
    """Settings that they were fitted with, such as an encoder: they serve no other settings."""
    arrays: Mapping[str, np.ndarray]
    """The arrays by name."""

    @cached_property
    def digest(self) -> str:
        """Digest that names them in manifests and in storage."""
        header = np.frombuffer(json.dumps([self.of, sorted(self.arrays)]).encode(), np.uint8)
        return array_digest(header, *(self.arrays[name] for name in sorted(self.arrays)))[:24]

    def to_arrow(self) -> pa.Table:
        """Return a table of one row with a list for each array; shapes are in the metadata."""
        shapes = {name: array.shape for name, array in self.arrays.items()}
        lists = {
            name: pa.LargeListArray.from_arrays([0, array.size], array.ravel()) for name, array in self.arrays.items()
        }
        return pa.table(lists).replace_schema_metadata({"version": "1", "of": self.of, "shapes": json.dumps(shapes)})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Frozen:
        """Rebuild them from `to_arrow`."""
        metadata = table.schema.metadata
        shapes = json.loads(metadata[b"shapes"])
        values = {name: table.column(name).combine_chunks().flatten().to_numpy() for name in shapes}
        return cls(metadata[b"of"].decode(), {name: values[name].reshape(shape) for name, shape in shapes.items()})


def load_frozen(
    store: Store, digests: Mapping[str, str], lost: Callable[[str], object] = lambda _: None
) -> dict[str, Frozen]:
    """Return the fits of a manifest that still exist, by name.

    Parameters
    ----------
    lost
        Told of each one that is gone or damaged.
    """
    loaded = {}
    for name, digest in digests.items():
        path = frozen_path(digest)
        try:
            fit = read_state(store, path, Frozen.from_arrow)
        except FileNotFoundError:
            lost(f"{store.uri(path)}: the fit of {name} is gone")
            continue
        except DamagedError as error:
            lost(str(error))
            continue
        if fit.digest == digest:
            loaded[name] = fit
        else:
            lost(f"{store.uri(path)}: damaged: not what its name says; remove it")
    return loaded
