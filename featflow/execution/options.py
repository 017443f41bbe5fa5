"""Options of engines, of the budget, and of lineage events."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field

from featflow.option_types import Options, Uri, without_credentials

__all__ = ["Budget", "EngineOptions", "LineageOptions"]

ENDPOINT = re.compile(r"https?://[^/?#\s]+[^?#\s]*")


class EngineOptions(Options):
    """Where the work runs."""

    kind: Literal["auto", "ray", "serial"] = Field(
        default="auto",
        description="serial works in one process, ray on Ray; auto in one process where all shards take it up to two "
        "minutes, by rows, columns and pictures, and no address is given, else on Ray.",
    )
    address: str | None = Field(
        default=None,
        examples=["auto"],
        description="Of the Ray that is used: null starts a local one; 'auto' or a URL joins a cluster.",
    )
    in_flight: int = Field(default=2, ge=1, description="Tasks submitted ahead for each core of the cluster.")
    gpus: float = Field(
        default=0.0,
        ge=0,
        le=1,
        examples=[0.25],
        description="Share of a GPU that a task reserves that counts pairs; 0 counts on CPUs.",
    )
    encoder_gpus: float | None = Field(
        default=None,
        ge=0,
        le=1,
        examples=[0.5],
        description="Share of a GPU that an actor reserves that encodes images with a model; null takes a whole one "
        "where the cluster has any, 0 encodes on CPUs.",
    )


class Budget(Options):
    """What a run may cost."""

    memory: ByteSize = Field(default=ByteSize(4 * 2**30), ge=64 * 2**20, description="Memory of the whole run.")
    bad_rows: float = Field(default=0.001, ge=0, le=1, description="Share of rows that may be unreadable.")


def _endpoint(url: str) -> str:
    if not ENDPOINT.fullmatch(without_credentials(url)):
        raise ValueError("is no http or https URL without query; a key belongs into OPENLINEAGE_API_KEY")
    return url


class LineageOptions(Options):
    """OpenLineage events of a run's start and end."""

    url: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None,
        examples=["http://marquez:5000"],
        description="Server that is told, such as http://marquez:5000; null takes OPENLINEAGE_URL from the "
        "environment, or tells none. Its key comes from OPENLINEAGE_API_KEY in the environment.",
    )
    endpoint: str = Field(default="api/v1/lineage", description="Path below the URL.")
    timeout: float = Field(default=5.0, gt=0, le=60, description="Seconds that the server has for an answer.")
    namespace: str = Field(default="featflow", min_length=1, description="Namespace of the job.")
    job: str | None = Field(
        default=None, min_length=1, examples=["orders"], description="Name of the job; null takes the output's."
    )
    folder: Uri | None = Field(
        default=None,
        examples=["s3://lake/lineage/"],
        description="Where events are written, a file a run; null writes openlineage.jsonl beside the run's tables.",
    )
