"""Sections in the page: without a template, in each other's way, on a narrow page."""

from __future__ import annotations

import pytest

from featflow.analyses.interaction.tables import INTERACTION
from featflow.analyses.ranking.tables import RANKING
from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.section import Section, section_of_tables
from featflow.export.report.page import page


def test_a_section_that_no_template_describes_is_a_table_to_look_through(look, hostile_run, tmp_path):
    limits = PageLimits(100)
    section = section_of_tables("more", (INTERACTION, RANKING), hostile_run, limits)
    (tmp_path / "more.html").write_text(page(hostile_run, [section], limits), encoding="utf-8")
    looked = look(str(tmp_path / "more.html"))
    assert looked.errors == []
    assert looked.page.locator("nav a").all_text_contents() == ["Data", "More", "Run", "How to read it"]
    assert looked.page.locator("#more h3").all_text_contents() == ["Interaction", "Ranking"]
    table = looked.page.locator("#more [data-listing=interaction-rows]")
    assert table.locator("tbody tr").count() == 40
    assert table.locator("thead th[title='Second feature.']").inner_text().startswith("feature b")
    assert table.locator("tbody th").first.inner_text() == hostile_run.table("interaction")["feature_a"][0]


def test_no_two_sections_use_one_id(hostile_run):
    one = Section("one", "One", plots={"picture-0": lambda: None})
    with pytest.raises(ValueError, match="section two: the page has 'picture-0' already"):
        page(hostile_run, [one, Section("two", "Two", plots={"picture-0": lambda: None})], PageLimits(100))
    with pytest.raises(ValueError, match="'run' already"):
        page(hostile_run, [Section("run", "Run")], PageLimits(100))


def test_pictures_of_a_narrow_page_have_room_for_names(look, hostile_page):
    models = "Bokeh.documents.flatMap((drawn) => [...drawn.all_models])"
    widths, ticks = [], []
    for width in (1200, 400):
        looked = look(hostile_page)
        looked.page.set_viewport_size({"width": width, "height": 800})
        looked.page.reload()
        looked.drawn()
        widths.append(
            looked.page.evaluate(f"{models}.find((model) => model.start === -1.35 || model.start === -1.75).end")
        )
        ticks.append(looked.page.evaluate(f"Math.max(...{models}.map((model) => model.desired_num_ticks || 0))"))
    assert (widths, ticks) == ([1.35, 1.75], [40, 16])
