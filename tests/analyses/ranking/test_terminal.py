"""The ranking on a terminal: what is read as it is written, in as many columns as there is room for."""

from __future__ import annotations

import io

import pytest

from featflow.analyses.ranking.analysis import Ranking
from featflow.analyses.ranking.terminal import SHOWN
from featflow.cli.printing import PlainConsole


@pytest.mark.parametrize(("width", "whole"), [(100, False), (160, True)])
def test_the_first_features_are_shown_with_their_numbers(hostile_run, width, whole):
    out = io.StringIO()
    PlainConsole(file=out, width=width).print(Ranking.shown(hostile_run, width))
    text, ranking = out.getvalue(), hostile_run.table("ranking")
    assert "What tells about </title><script>alert(4)</script> (nats)" in text
    assert f"{ranking.height - SHOWN} more in the ranking table" in text
    assert [f"{value:.5f}" in text for value in ranking["corrected_mi"].head(SHOWN)] == [True] * SHOWN
    assert ("noise" in text.partition("│")[0]) == whole


def test_a_run_without_a_ranking_shows_none(bare_run):
    assert Ranking.shown(bare_run, 100) is None
