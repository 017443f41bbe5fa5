"""The groups of a run that hold two features or more."""

from __future__ import annotations

import polars as pl

from featflow.analyses.group.tables import GROUP
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Field, described, listing
from featflow.analyses.reporting.section import Section
from featflow.storage.run import Run

__all__ = ["repeated", "section"]

MEMBERS = 40
"""Features that a row of the page names besides the one to keep: a group may hold thousands."""

FIELDS = (("group", "group", "integer"), ("representative", "keep", "text"))
FIGURES = (("size", "features", "integer"), ("target", "about", "text"), ("relevance", "information", "number"))


def section(run: Run, limits: PageLimits) -> Section | None:
    """Return a listing of the groups of two features or more."""
    if not run.manifest["tables"].get("group", {}).get("rows"):
        return None
    groups = repeated(run).with_columns(pl.col("others").list.head(MEMBERS))
    fields = [
        *described(GROUP, FIELDS),
        Field("others", "repeated by", "words", f"Other features of the group, most similar first, at most {MEMBERS}."),
        Field("least", "least similarity", "number", "Least similarity of one of them to the one to keep."),
        *described(GROUP, FIGURES),
    ]
    listed = listing("groups", "A row is a group of two features or more.", groups, fields, limits.rows)
    values = {"note": run.manifest["analyses"]["group"], "repeated": int((groups["size"] - 1).sum())}
    return Section("group", "Groups", (listed,), {}, values, "group/section.html")


def repeated(run: Run) -> pl.DataFrame:
    """Return the groups of two features or more, in their order: representative, others, least similarity, size."""
    table = run.table("group").filter(pl.col("size") > 1)
    head = pl.col("is_representative")
    return table.group_by("group", maintain_order=True).agg(
        pl.col("representative").first(),
        pl.col("feature").filter(~head).alias("others"),
        pl.col("similarity").min().alias("least"),
        pl.col("size").first(),
        pl.col("target").filter(head).first(),
        pl.col("relevance").filter(head).first(),
    )
