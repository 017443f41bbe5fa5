"""Which analyses run, and how: one field each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from featflow.analyses.correlation.options import CorrelationOptions
from featflow.analyses.drift.options import DriftOptions
from featflow.analyses.interaction.options import InteractionOptions
from featflow.analyses.ranking.options import RankingOptions
from featflow.analyses.uncertainty import UncertaintyOptions
from featflow.option_types import Options, switch

__all__ = ["Analyses"]


class Analyses(Options):
    """Which results to compute: ``true``, ``false`` or the options of each."""

    profile: bool = Field(default=True, description="Write the profile table.")
    correlation: Annotated[CorrelationOptions | None, switch(CorrelationOptions)] = CorrelationOptions()
    ranking: Annotated[RankingOptions | None, switch(RankingOptions)] = RankingOptions()
    interaction: Annotated[InteractionOptions | None, switch(InteractionOptions)] = InteractionOptions()
    drift: Annotated[DriftOptions | None, switch(DriftOptions)] = DriftOptions()
    uncertainty: UncertaintyOptions = UncertaintyOptions()
