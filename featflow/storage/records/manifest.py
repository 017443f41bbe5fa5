"""``manifest.json`` of a run: what was read, computed and written, and where."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from featflow.errors import DamagedError
from featflow.storage.records.json_files import ABSENT, MOST_BYTES, Record, checked, read_json
from featflow.storage.run_ids import RUN_ID
from featflow.storage.store import Store

__all__ = ["MARK", "NAME", "Count", "Seconds", "Time", "read_manifest", "read_unpublished"]

NAME, MARK = "manifest.json", "_SUCCESS"
"""Files in the folder of a run: its manifest, and what makes it visible, which holds the manifest's SHA-256. (The marks
of older releases are empty.)"""
MARKED = re.compile(rb"([0-9a-f]{64})?\s*")
MOST_PARTS = 100_000
"""Parts of a table: at a million rows each, more rows than any table of all pairs of 100,000 columns has."""


def _time(text: str) -> str:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not 1970 <= moment.year <= 9000:  # so that a sum with `Seconds` is a time, too
        raise ValueError("no time of this age with a time zone")
    return text


Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Time = Annotated[str, Field(max_length=40), AfterValidator(_time)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{1,64}\z")]
RunId = Annotated[str, Field(pattern=rf"^{RUN_ID.pattern}\z")]
TablePath = Annotated[str, Field(pattern=rf"^runs/{RUN_ID.pattern}/tables/[a-z_]+\.parquet\z")]
StatePath = Annotated[str, Field(pattern=r"^states/[a-z_]+/[0-9a-f]+/[0-9a-z-]+\.arrow\z")]
StateFolder = Annotated[str, Field(pattern=r"^states/[a-z_]+/[0-9a-f]+\z")]
StateName = Annotated[str, Field(pattern=r"^[0-9a-z-]+\z")]


class _Rows(Record):
    footers: Count
    read: Count
    quarantined: Count


class _Shards(Record):
    total: Count
    computed: Count
    reused: Count


class _MadeOf(Record):
    columns: list[str]
    images: list[str]


class _Table(Record):
    path: TablePath
    rows: Count
    parts: Annotated[int, Field(ge=1, le=MOST_PARTS)]
    bytes: Count = ABSENT
    sha256: Digest = ABSENT
    part_sha256: list[Digest] = ABSENT
    made_of: _MadeOf = ABSENT

    @model_validator(mode="after")
    def _agree(self) -> _Table:
        if self.part_sha256 is not None and len(self.part_sha256) != self.parts:
            raise ValueError("not as many digests as parts")
        return self


class _Input(Record):
    uri: str
    size: int
    version: str
    row_groups: list[Count]
    part: Annotated[list[int], Field(min_length=2, max_length=2)] | None = ABSENT
    contents: list[str] = ABSENT
    rows: Count
    parquet: str = ABSENT
    images: str = ABSENT
    images_below: list[str] = ABSENT


class _Image(Record):
    column: str
    most_pixels: int


class _DatasetConfig(Record):
    source: list[str]
    targets: list[str]
    images: list[_Image] = ABSENT
    window: str | None = ABSENT


class _Uncertainty(Record):
    false_discovery_rate: float


class _AnalysesConfig(Record):
    uncertainty: _Uncertainty = ABSENT
    correlation: dict[str, Any] | None = ABSENT


class _Config(Record):
    dataset: _DatasetConfig
    output: str
    codebook: dict[str, Any] = ABSENT
    analyses: _AnalysesConfig
    latest: bool = ABSENT


class _Jackknife(Record):
    kind: str
    columns: list[str]
    groups: Annotated[int, Field(ge=0, le=2**20)]
    unit: float
    most_units: Count = ABSENT


class _Fitted(Record):
    jackknife: _Jackknife
    analyses: dict[str, dict[str, Any]] = ABSENT


class _Column(Record):
    name: str
    type: str
    kind: str
    role: str


class _Whole(Record):
    summary: str
    path: StatePath
    columns: Count


class _States(Record):
    columns: list[_Column]
    whole: list[_Whole]


class _References(Record):
    folders: list[StateFolder]
    names: list[StateName] = ABSENT


class _Source(Record):
    columns: dict[str, str]


class _Manifest(Record):
    """What a manifest must have, and of what kind; keys that are not always there came with later releases."""

    status: str
    started: Time
    config: _Config
    engine: str
    engine_reason: str = ABSENT
    unchanged_since: RunId | None = ABSENT
    codebook: Digest | None
    fitted: _Fitted | None = ABSENT
    frozen: dict[str, Digest] = ABSENT
    derived: dict[str, list[str]] = ABSENT
    assumptions: str | None = ABSENT
    rows: _Rows
    shards: _Shards
    tables: dict[str, _Table]
    matrices: dict[str, Digest] = ABSENT
    tensor_bytes: Count = ABSENT
    analyses: dict[str, dict[str, Any]] = ABSENT
    compared_with: list[RunId] = ABSENT
    retries: dict[str, Count] = ABSENT
    seconds: dict[str, Seconds]
    warnings: list[str]
    inputs: list[_Input]
    sources: list[_Source] = ABSENT
    states: _States | None = ABSENT
    state_references: list[_References] = ABSENT
    software: dict[str, str | None] = ABSENT

    @model_validator(mode="after")
    def _agree(self) -> _Manifest:
        if "total" not in self.seconds:
            raise ValueError("seconds has no total")
        for name, table in self.tables.items():
            if not table.path.endswith(f"/tables/{name}.parquet"):
                raise ValueError(f"the path of table {name} is another one's")
        return self


MODEL = TypeAdapter(_Manifest)


def read_manifest(store: Store, run_id: str) -> dict[str, Any] | None:
    """Return the manifest of a finished run, None if there is no such run.

    Raises
    ------
    DamagedError
        The run has its mark, and its manifest is not there, or not what was written.
    """
    if not RUN_ID.fullmatch(run_id):
        return None
    folder, path = (store.uri(f"runs/{run_id}"), f"runs/{run_id}/{NAME}")
    uri, remedy = f"{folder}/{NAME}", f"bring back a copy, or remove {folder}"

    def digest_in(mark: bytes) -> str:
        if not MARKED.fullmatch(mark):
            raise DamagedError(f"{folder}/{MARK}: damaged: it holds no SHA-256; {remedy}")
        return mark.decode().strip()

    try:
        digest = store.read_checked(f"runs/{run_id}/{MARK}", digest_in, MOST_BYTES)
    except FileNotFoundError:
        return None
    try:
        if not digest:
            return _read(store, path, remedy)
        data = store.read_verified(path, digest, MOST_BYTES)
    except FileNotFoundError:
        raise DamagedError(f"{uri}: not there, though the run has finished; {remedy}") from None
    if data is None:
        raise DamagedError(f"{uri}: damaged: its bytes are not those that were written (SHA-256 in {MARK}); {remedy}")
    manifest: dict[str, Any] = checked(data, uri, MODEL, remedy)
    return manifest


def read_unpublished(store: Store, run_id: str) -> dict[str, Any] | None:
    """Return the manifest of a run that was not published, None if it has none; raise DamagedError as above."""
    try:
        return _read(store, f"runs/{run_id}/{NAME}", f"remove {store.uri(f'runs/{run_id}')}")
    except FileNotFoundError:
        return None


def _read(store: Store, path: str, remedy: str) -> dict[str, Any]:
    manifest: dict[str, Any] = read_json(store, path, MODEL, remedy)
    return manifest
