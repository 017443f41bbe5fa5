"""Parts of a time as columns: hour, weekday, day of the month, month, and days since the first day.

A time itself says little to a ranking, which looks at stretches of it; what recurs lies in its parts. All of them are
numbers: none but the days has more than 31 values, so bins tell them all apart as levels would, and where a pair of
columns has 16 codes neighbours are merged, not hours that have nothing in common. Drift then says how far they moved,
too. `dataset.kinds` makes a category of any.

Inline. Cost: one conversion of a column a batch and part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from featflow.columns.column import Column, Kind, Transform
from featflow.dataset.transform_options import Fitting, TransformOptions
from featflow.errors import SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PartsOptions", "TimeParts"]

DAY = 86_400_000_000
"""Microseconds."""
SOURCE_TYPE = "part of a time"


class PartsOptions(TransformOptions):
    """Parts of a time: hour, weekday (Monday is 1), day of the month, month, days since the first day."""

    kind: ClassVar[str] = "parts"

    parts: str = Field(
        examples=["created"], description="Column of times: created.hour, created.weekday and so on are made of it."
    )
    timezone: str | None = Field(
        default=None,
        examples=["Europe/Vienna"],
        description="Where clocks and calendars are looked at, such as Europe/Vienna; UTC by default.",
    )

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in available_timezones():
            raise ValueError("is no time zone; write it as Europe/Vienna")
        return value

    @property
    def inputs(self) -> tuple[str, ...]:
        """The column of times."""
        return (self.parts,)

    def columns(self, inputs: tuple[Column, ...]) -> tuple[Column, ...]:
        """Return the parts that there are: a date has no hour, a time of day nothing else."""
        (base,) = inputs
        if base.kind is not Kind.TIME:
            raise SchemaError(
                f"dataset.derive: '{base.name}' is {base.source_type}, which is no time; check dataset.kinds"
            )
        return tuple(
            Column(f"{base.name}.{part}", "int64", Kind.NUMBER, source_type=SOURCE_TYPE) for part in _parts(base)
        )

    def build(self, inputs: tuple[Column, ...], fitting: Fitting) -> Transform:
        """Return what makes them; the first day is that of the data when they are first made."""
        (base,) = inputs
        if "days" not in _parts(base):
            return TimeParts(base, None, 0)
        name, of = f"parts: {base.name}", self.timezone or "UTC"
        import numpy as np  # noqa: PLC0415  options are read before what takes longer to import
        import pyarrow as pa  # noqa: PLC0415  as above

        arrays = fitting.frozen(name, of)
        if arrays is None:
            from featflow.summaries import MomentsSummarizer  # noqa: PLC0415  as above

            (moments,) = fitting.states([MomentsSummarizer((base,))])
            if not np.isfinite(moments.low[0]):  # no time yet
                return TimeParts(base, self.timezone, 0)
            first = _local(pa.array([int(moments.low[0])]), self.timezone)
            arrays = {"first_day": np.array(first.to_numpy()[0] // DAY)}
            fitting.freeze(name, of, arrays)
        return TimeParts(base, self.timezone, int(arrays["first_day"]))


@dataclass(frozen=True, repr=False, eq=False)
class TimeParts(Transform):
    """Parts of a time.

    Examples
    --------
    >>> import pyarrow as pa
    >>> made = TimeParts(Column("t", "int64", Kind.TIME, source_type="timestamp[us]"), "Europe/Vienna", 18_000)
    >>> summer = pa.record_batch({"t": pa.array([1_751_320_800_000_000, None])})  # 2025-06-30 22:00 UTC
    >>> {c.name: array.to_pylist() for c, array in zip(made.outputs, made.apply(summer))}["t.hour"]
    [0, None]
    """

    kind = "parts"

    base: Column
    """The times, microseconds since 1970 UTC, or since midnight."""
    timezone: str | None
    """Where clocks and calendars are looked at; None for UTC."""
    first_day: int
    """Day from which days are counted, in days since 1970-01-01."""

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The times."""
        return (self.base,)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """A number a part."""
        return tuple(
            Column(f"{self.base.name}.{part}", "int64", Kind.NUMBER, derived=self) for part in _parts(self.base)
        )

    def apply(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the parts."""
        import pyarrow as pa  # noqa: PLC0415  as above
        import pyarrow.compute as pc  # noqa: PLC0415  as above

        micros = _local(batch.column(self.base.name), self.timezone)
        local = micros.cast(pa.timestamp("us"))
        made = {
            "hour": lambda: pc.hour(local),
            "weekday": lambda: pc.day_of_week(local, count_from_zero=False, week_start=1),
            "day": lambda: pc.day(local),
            "month": lambda: pc.month(local),
            "days": lambda: pc.subtract(
                pc.floor_temporal(local, unit="day").cast(pa.date32()).cast(pa.int32()), self.first_day
            ),
        }
        return [made[part]().cast(pa.int64()) for part in _parts(self.base)]


def _parts(base: Column) -> tuple[str, ...]:
    kinds = base.source_type.split("|")
    if all(kind.startswith(("time32", "time64")) for kind in kinds):
        return ("hour",)
    calendar = ("weekday", "day", "month", "days")
    return calendar if all(kind.startswith("date32") for kind in kinds) else ("hour", *calendar)


def _local(times: pa.Array, timezone: str | None) -> pa.Array:
    """Return times as clocks show them, int64 microseconds since 1970."""
    import pyarrow as pa  # noqa: PLC0415  as above
    import pyarrow.compute as pc  # noqa: PLC0415  as above

    if timezone is None:
        return times
    return pc.local_timestamp(times.cast(pa.timestamp("us", timezone))).cast(pa.int64())
