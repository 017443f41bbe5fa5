"""The section of an analysis that describes none of its own, and what sections cost those who make none."""

from __future__ import annotations

import subprocess
import sys

import pytest

from featflow.analyses.catalogue import ANALYSES
from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.profile.tables import PROFILE
from featflow.analyses.protocol import Analysis
from featflow.analyses.ranking.tables import RANKING
from featflow.analyses.reporting.limits import PageLimits
from featflow.storage.tables import TableSpec

LIMITS = PageLimits(100)


class Strengths(Analysis):
    """It says of itself what it writes, and no more."""

    name = "pair_strengths"
    tables = (INTERACTION, TableSpec("unwritten", "nothing", INTERACTION.schema))

    def write(self, context):
        raise NotImplementedError


def test_by_default_a_section_lists_each_table_that_has_rows(hostile_run):
    section = Strengths.section(hostile_run, LIMITS)
    assert (section.name, section.title) == ("pair_strengths", "Pair strengths")
    (listing,) = section.listings
    table = hostile_run.table("interaction")
    assert listing.caption == f"A row is a target and a pair of features. The first 40 of {table.height} rows."
    kinds = {field.name: field.kind for field in listing.fields}
    assert list(kinds) == INTERACTION.schema.names
    assert (kinds["target"], kinds["rank"], kinds["synergy"], kinds["q_value"]) == (
        "text",
        "integer",
        "number",
        "probability",
    )
    assert {field.title: field.said for field in listing.fields}["joint mi"] == (
        "Plug-in mutual information of the pair with the target."
    )
    ranks = [row[list(kinds).index("rank")] for row in listing.rows]
    assert ranks == table["rank"].head(40).to_list()


def test_columns_that_no_cell_can_show_are_left_out(hostile_run):
    class Everything(Strengths):
        tables = (PROFILE, RANKING)

    profile, ranking = Everything.section(hostile_run, LIMITS).listings
    shown = {field.name: field.kind for field in profile.fields}
    assert {"quantiles", "top_values", "quantile_sketch"}.isdisjoint(shown)
    assert shown["alerts"] == "words"
    assert {field.name: field.kind for field in ranking.fields}["significant"] == "flag"


def test_without_rows_there_is_no_section_and_nothing_on_the_terminal(bare_run):
    assert Strengths.section(bare_run, LIMITS) is None
    assert Strengths.shown(bare_run, 80) is None


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda analysis: analysis.name)
def test_a_run_of_less_has_fewer_sections(analysis, bare_run):
    section = analysis.section(bare_run, LIMITS)
    assert (section and section.name) == {"profile": "profile", "drift": "drift"}.get(analysis.name)


def test_who_makes_no_report_waits_for_none():
    heavy = ("bokeh", "jinja2", "networkx")
    code = f"import sys, featflow.analyses.catalogue; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
