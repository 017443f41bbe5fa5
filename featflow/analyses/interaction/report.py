"""The interaction section: a graph of synergies about each target, and a listing of all pairs."""

from __future__ import annotations

from functools import partial

import polars as pl

from featflow.analyses.interaction.graphs import graphs
from featflow.analyses.interaction.plots import graph_plot
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Listing, described, listing
from featflow.analyses.reporting.section import Section
from featflow.analyses.reporting.significance import false_discovery_rate
from featflow.storage.run import Run

__all__ = ["interaction_listing", "section"]

FIELDS = (
    ("target", "target", "text"),
    ("rank", "rank", "integer"),
    ("feature_a", "first", "text"),
    ("feature_b", "second", "text"),
    ("synergy", "synergy", "number"),
    ("ci_low", "from", "number"),
    ("ci_high", "to", "number"),
    ("corrected_joint_mi", "together", "number"),
    ("q_value", "q", "probability"),
    ("strategy", "strategy", "text"),
)


def section(run: Run, limits: PageLimits) -> Section | None:
    """Return the graph of each target's synergies and the pairs."""
    if "interaction" not in run.tables:
        return None
    interaction = run.table("interaction")
    ranking = run.table("ranking") if "ranking" in run.tables else None
    drawn = graphs(interaction, ranking, false_discovery_rate(run), limits)
    plots = {f"graph-{index}": partial(graph_plot, graph) for index, graph in enumerate(drawn)}
    listings = (interaction_listing(interaction, limits),)
    return Section("interaction", "Interaction", listings, plots, {"graphs": drawn}, "interaction/section.html")


def interaction_listing(interaction: pl.DataFrame, limits: PageLimits) -> Listing:
    """Return the pairs of each target, most synergy first."""
    row = "A row is a target and a pair; information is in nats."
    return listing("interactions", row, interaction, described(INTERACTION, FIELDS), limits.pairs)
