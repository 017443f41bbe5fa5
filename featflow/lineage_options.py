"""What a user may write of lineage."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from featflow.option_types import Options, Uri, without_credentials

__all__ = ["LineageOptions"]

ENDPOINT = re.compile(r"https?://[^/?#\s]+[^?#\s]*")


def _endpoint(url: str) -> str:
    if not ENDPOINT.fullmatch(without_credentials(url)):
        raise ValueError("is no http or https URL without query; a key belongs into OPENLINEAGE_API_KEY")
    return url


class LineageOptions(Options):
    """OpenLineage events of a run's start and end."""

    url: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None,
        description="Server that is told, such as http://marquez:5000; null takes OPENLINEAGE_URL from the "
        "environment, or tells none. Its key comes from OPENLINEAGE_API_KEY in the environment.",
    )
    endpoint: str = Field(default="api/v1/lineage", description="Path below the URL.")
    timeout: float = Field(default=5.0, gt=0, le=60, description="Seconds that the server has for an answer.")
    namespace: str = Field(default="featflow", min_length=1, description="Namespace of the job.")
    job: str | None = Field(default=None, min_length=1, description="Name of the job; null takes the output's.")
    folder: Uri | None = Field(
        default=None,
        description="Where events are written, a file a run; null writes openlineage.jsonl beside the run's tables.",
    )
