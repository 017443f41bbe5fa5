"""How a file is cut into shards, the units of work, retry and reuse: runs of row groups, or parts of one."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from featflow.dataset.contents import Digests
from featflow.dataset.event_window import Window
from featflow.dataset.files import DataFile
from featflow.dataset.footer import Footer
from featflow.dataset.nested_fields import leaves

__all__ = ["Cuts", "Shard", "cut", "holds_several_steps", "name_of", "with_contents"]

PATH_IMAGE_BYTES = 128 * 2**10
"""Bytes that an image counts that lies in a file of its own, whose size no footer tells: a small photograph. So a shard
of 128 MiB has 1,024 images, which take minutes to encode, and a table of 20,000 paths, which is a megabyte, has 20."""
LARGE = 4
"""Sizes of a shard beyond which a row group is too large for one, and that each of its parts has about. Arrow decodes
the rows before a part to skip them, so parts are few and large."""
FEWEST_BYTES = 32 * 2**20
"""Size of a shard below which no row group is cut, however small `dataset.shard_bytes` is."""
MOST_PARTS, MOST_PARTS_OF_PATHS = 8, 256
"""Parts of one row group. With 8 it is decoded 4.5 times in all; paths are decoded in no time, beside their images."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A run of row groups of one file, or a part of one row group."""

    file: DataFile
    """The file."""
    row_groups: tuple[int, ...]
    """Row groups, ascending."""
    group_rows: tuple[int, ...]
    """Rows of each row group, all of them also where it holds a part."""
    nbytes: int
    """Estimated bytes when decoded."""
    part: range | None = None
    """Rows that it holds of its only row group; None where it holds whole row groups."""
    contents: tuple[str, ...] = ()
    """Digest of the bytes of each row group; empty where they are known by the file's version."""
    images: str = ""
    """Digest of the versions of the images that its rows name by path; empty where they name none that is there."""

    @property
    def rows(self) -> int:
        """Number of rows that it holds."""
        return sum(self.group_rows) if self.part is None else len(self.part)

    @property
    def digest(self) -> str:
        """Hash of what it holds: the file, known by its size and version or by its bytes, row groups and part.

        URI, partition values and place are those of the file. Of a table's file also how the table reads it, deleted
        rows included; of rows that name images also the versions of these.
        """
        file = (self.file.uri, self.file.partitions, self.file.place, self.contents) if self.contents else self.file
        return name_of((file, self.row_groups, *self._range, *filter(None, [self.file.table, self.images])))

    @property
    def place(self) -> str:
        """Hash of its position in the dataset; touching or copying the file does not change it.

        Rows are grouped, sampled and merged by it; states are named by `digest`.
        """
        return name_of((self.file.place, self.row_groups, *self._range))

    @property
    def _range(self) -> tuple[range, ...]:
        # Whole row groups are named as they were before there were parts: states that exist stay in use.
        return () if self.part is None else (self.part,)

    def without(self, row_groups: set[int]) -> Shard:
        """Return the shard less some row groups: a shard with a digest of its own."""
        return self.only(set(self.row_groups) - row_groups)

    def only(self, row_groups: Collection[int | None]) -> Shard:
        """Return the shard with no others than some row groups: a shard with a digest of its own."""
        remaining = [place for place, group in enumerate(self.row_groups) if group in row_groups]
        return replace(
            self,
            row_groups=tuple(self.row_groups[place] for place in remaining),
            group_rows=tuple(self.group_rows[place] for place in remaining),
            part=self.part if remaining else None,
            contents=tuple(self.contents[place] for place in remaining if self.contents),
        )


def name_of(value: object) -> str:
    """Return a name that stands for all that a value's repr says."""
    # 96 bits: among a billion names the chance that any two are equal is below 1e-10.
    return hashlib.sha256(repr(value).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Cuts:
    """What decides where the shards of a file end."""

    shard_bytes: int
    """About how many decoded bytes make one shard."""
    columns: int
    """Number of columns that are read, those of images included."""
    images: tuple[str, ...] = ()
    """Names of the columns of images."""
    window: Window | None = None
    """Window of event time, which moves by its step: other days are other shards."""
    event_time: str = ""
    """Name of the column of event times."""


@dataclass(frozen=True, slots=True)
class _RowGroup:
    index: int
    rows: int
    nbytes: int
    """Estimated bytes when decoded."""
    parts: int
    """Parts in which it is read."""
    steps: tuple[int, int]
    """First and last step of the window, such as days, that it holds."""


def cut(footer: Footer, cuts: Cuts) -> Iterator[Shard]:
    """Yield the shards of a file, in the order of its rows.

    A shard ends where it is large enough, and before a row group of other days (hours) where there is a window, so that
    a day that leaves the window leaves the shards of all others as they are.
    """
    waiting: list[_RowGroup] = []
    for group in _row_groups(footer, cuts):
        if waiting and (group.parts > 1 or not _share_a_step(waiting[-1], group)):
            yield _whole(footer.file, waiting)
            waiting = []
        if group.parts > 1:
            yield from _parts(footer.file, group)
            continue
        waiting.append(group)
        if sum(each.nbytes for each in waiting) >= cuts.shard_bytes:
            yield _whole(footer.file, waiting)
            waiting = []
    if waiting:
        yield _whole(footer.file, waiting)


def holds_several_steps(footer: Footer, cuts: Cuts) -> bool:
    """Return whether a file holds several days (hours) of those by which the window moves, in it or not."""
    return len({_steps(cuts.window, *times) for times in footer.times(cuts.event_time)}) > 1


def with_contents(shard: Shard, digests: Mapping[DataFile, Digests]) -> Shard:
    """Return a shard that is known by the bytes of its row groups, if their digests are there."""
    known = digests.get(shard.file, {})
    if not known.keys() >= set(shard.row_groups):
        return shard
    return replace(shard, contents=tuple(known[group] for group in shard.row_groups))


def _row_groups(footer: Footer, cuts: Cuts) -> Iterator[_RowGroup]:
    """Yield the row groups that have rows."""
    share = min(1.0, cuts.columns / max(1, len(footer.schema.names)))
    images = [(name, kind) for name, _, kind in leaves(footer.schema) if name in cuts.images]
    paths = sum(name in footer.elsewhere or _is_text(kind) for name, kind in images)
    unit = max(cuts.shard_bytes, FEWEST_BYTES)
    times = footer.times(cuts.event_time)
    for index, (rows, stored) in enumerate(zip(footer.group_rows, footer.group_bytes, strict=True)):
        if rows:
            # Footers give encoded sizes, far below decoded ones for dictionaries: at least eight bytes a value.
            decoded = max(int(stored * share), rows * 8 * cuts.columns)
            elsewhere = rows * paths * PATH_IMAGE_BYTES
            parts = math.ceil(decoded / unit / LARGE) if decoded > LARGE * unit else 1
            parts = max(min(parts, MOST_PARTS), min(math.ceil(elsewhere / unit), MOST_PARTS_OF_PATHS))
            steps = _steps(cuts.window, *times[index])
            if footer.file.table and footer.file.table.deleted:  # parts are ranges of stored rows, not of kept ones
                parts = 1
            yield _RowGroup(index, rows, decoded + elsewhere, min(parts, rows), steps)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _steps(window: Window | None, low: int | None, high: int | None) -> tuple[int, int]:
    if window is None:
        return 0, 0
    if low is None or high is None:
        return -1, -1
    # Counted from the window's edge, not from midnight in UTC: its days may begin at any hour.
    return (low - window.start) // window.step, (high - window.start) // window.step


def _share_a_step(before: _RowGroup, group: _RowGroup) -> bool:
    return before.steps[0] <= group.steps[1] and group.steps[0] <= before.steps[1]


def _whole(file: DataFile, groups: list[_RowGroup]) -> Shard:
    indices, rows = tuple(group.index for group in groups), tuple(group.rows for group in groups)
    return Shard(file, indices, rows, sum(group.nbytes for group in groups))


def _parts(file: DataFile, group: _RowGroup) -> Iterator[Shard]:
    edges = [group.rows * number // group.parts for number in range(group.parts + 1)]
    for part in map(range, edges, edges[1:]):
        yield Shard(file, (group.index,), (group.rows,), group.nbytes * len(part) // group.rows, part)
