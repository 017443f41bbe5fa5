"""What a configuration may say of drift: what is compared with, and how much is too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from featflow.analyses.base_options import AnalysisOptions

if TYPE_CHECKING:
    from featflow.storage.run import Run
    from featflow.storage.run_writer import RunWriter

__all__ = ["PREVIOUS", "DriftOptions"]

PREVIOUS = "previous"


class DriftOptions(AnalysisOptions):
    """The drift table."""

    reference: str = Field(
        default=PREVIOUS,
        min_length=1,
        description="What a run is compared with beside the run before it: previous for nothing else, or the id of a "
        "run at the same output, as 'featflow runs' lists them.",
    )
    thresholds: Any = Field(default=None, description="A model of all metrics, which analyses/options.py makes.")
    false_discovery_rate: float = Field(
        default=0.01, gt=0, lt=1, description="Largest q-value with which a value beyond its threshold is an alert."
    )
    persist: int = Field(
        default=1,
        ge=1,
        description="Runs in a row in which a value must be beyond its threshold before it is an alert.",
    )

    def publish_again(self, before: Run, writer: RunWriter, manifest: dict[str, Any]) -> None:
        """Write the drift table against the run before, from which nothing changed, and against the pinned one."""
        from featflow.analyses.drift.tables import DRIFT  # noqa: PLC0415  pyarrow
        from featflow.analyses.drift.unchanged import drift_again  # noqa: PLC0415  as above

        pinned = None if self.reference == PREVIOUS else self.reference
        writer.write(DRIFT, [drift_again(before.arrow("drift"), pinned, writer.run_id, self.persist)])
        manifest["analyses"]["drift"] = {"previous": before.run_id, "pinned": pinned}
        manifest["warnings"] = [
            text for text in manifest["warnings"] if not text.startswith("drift: ") or (pinned and pinned in text)
        ]
