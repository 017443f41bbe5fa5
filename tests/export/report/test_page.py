"""The report in a real browser: nothing from outside, names stay text, numbers are the tables', anybody can use it."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import pytest
from reports import HOSTILE

from featflow.analyses.reporting.labels import shown
from featflow.export.report.writing import write_report
from featflow.storage.run import Run

LINEAR = 0.04045
"""Below this a channel is linear in sRGB."""
CONTRAST = """() => {
  const seen = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest("script, style, noscript, :disabled, svg")) continue;
    let behind = element;
    while (behind && getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") behind = behind.parentElement;
    const page = behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)";
    seen.push([element.tagName, getComputedStyle(element).color, page]);
  }
  return [...new Set(seen.map((each) => JSON.stringify(each)))].map((each) => JSON.parse(each));
}"""


def luminance(colour: str) -> float:
    channels = [int(value) / 255 for value in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (c / 12.92 if c <= LINEAR else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, 1.4.3."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_page_says_no_error_and_asks_for_nothing(looked_at_hostile):
    assert looked_at_hostile.errors == []
    asked = [url for url in looked_at_hostile.requests if not url.startswith(("data:", "blob:"))]
    assert asked == [looked_at_hostile.url]


def test_hostile_names_stay_text(looked_at_hostile):
    page = looked_at_hostile.page
    assert looked_at_hostile.dialogs == []
    heads = page.locator("[data-listing=profile-rows] tbody th").all_text_contents()
    assert {shown(name) for name in HOSTILE} <= set(heads)
    assert page.locator("main script:not([type='application/json']), main b, main i, main u").count() == 0
    assert page.locator("img").count() == 15
    assert page.locator("img:not([src^='data:image/jpeg'])").count() == 0
    cells = page.locator("[data-listing=profile-rows] tbody").inner_text()
    assert "<script>alert(3)</script>" in cells
    names = page.evaluate("JSON.parse(document.getElementById('heat-0-names').textContent)")
    assert shown(HOSTILE[3]) in names


def test_hostile_names_stay_text_where_a_mouse_points(looked_at_hostile):
    page = looked_at_hostile.page
    dots = page.locator("#information-0")
    dots.scroll_into_view_if_needed()
    box = dots.bounding_box()
    said = set()
    for row in range(8):
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 62 + 22 * row)
        page.wait_for_timeout(60)
        said |= set(page.locator(".bk-tooltip-content, .bk-Tooltip").all_inner_texts())
    assert any("information" in each for each in said)
    assert looked_at_hostile.dialogs == []
    assert looked_at_hostile.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read(look, hostile_page, scheme):
    found = look(hostile_page, color_scheme=scheme).page.evaluate(CONTRAST)
    assert len(found) > 10
    assert [each for each in found if contrast(each[1], each[2]) < 4.5] == []


def test_a_page_follows_the_reader_into_the_dark(look, hostile_page):
    looked = look(hostile_page, color_scheme="light")
    before = looked.page.evaluate("getComputedStyle(document.body).backgroundColor")
    looked.page.emulate_media(color_scheme="dark")
    looked.drawn()
    after = looked.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert luminance(before) > 0.9
    assert luminance(after) < 0.05
    assert looked.errors == []


def test_every_number_is_the_tables(looked_at_hostile, hostile_run):
    tables = {name: hostile_run.table(name) for name in ("ranking", "profile", "interaction", "drift")}
    places = {"ranking": "ranking", "profile": "profile", "interaction": "interactions", "drift": "drift"}
    drift_keys = ["feature", "feature_b", "target", "metric", "method", "reference_run"]
    keys = {
        "ranking": ["target", "rank"],
        "profile": ["column"],
        "interaction": ["target", "rank"],
        "drift": drift_keys,
    }
    for name, table in tables.items():
        listed = looked_at_hostile.page.evaluate(
            f"JSON.parse(document.getElementById('{places[name]}-rows').textContent)"
        )
        fields = {field["name"]: (index, field["kind"]) for index, field in enumerate(listed["fields"])}
        assert len(listed["rows"]) == table.height

        def text(row, field, fields=fields, listed=listed):
            index, kind = fields[field]
            return listed["texts"][row[index]] if kind == "text" and row[index] is not None else row[index]

        rows = {tuple(text(row, key) for key in keys[name]): row for row in listed["rows"]}
        assert len(rows) == table.height
        for truth in table.to_dicts():
            row = rows[tuple(shown(v) if isinstance(v := truth[key], str) else v for key in keys[name])]
            for field, (index, kind) in fields.items():
                if field not in truth or kind in {"text", "words", "picture"}:
                    continue
                expected = truth[field]
                if field == "std" and truth["kind"] == "time":
                    expected /= 86_400e6
                assert row[index] is None if expected is None else math.isclose(row[index], expected, rel_tol=1e-5)


def test_cells_show_what_they_hold(looked_at_hostile, hostile_run):
    best = hostile_run.table("ranking").row(0, named=True)
    cells = looked_at_hostile.page.locator("[data-listing=ranking-rows] tbody tr").first.locator("th, td")
    said = cells.all_text_contents()
    assert said[1] == str(best["rank"])
    assert said[2] == shown(best["feature"])
    assert math.isclose(float(said[3]), best["corrected_mi"], rel_tol=1e-3)


def test_tables_are_sorted_filtered_and_paged_by_keys(look, hostile_page):
    page = look(hostile_page).page
    table = page.locator("[data-listing=pairs-rows]")
    table.locator("input").focus()
    page.keyboard.type("spearman")
    methods = table.locator("tbody tr td:first-child").all_text_contents()
    assert set(methods) == {"spearman"}
    head = table.get_by_role("button", name="value")
    head.focus()
    page.keyboard.press("Enter")
    assert table.locator("thead th[aria-sort=descending]").count() == 1
    values = [float(cell.get_attribute("data-value")) for cell in table.locator("tbody tr td:nth-child(4)").all()]
    assert values == sorted(values, reverse=True)
    table.locator("input").fill("")
    first = table.locator(".where").inner_text()
    table.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    assert table.locator(".where").inner_text() != first
    table.locator("input").fill("no such column")
    assert table.locator(".where").inner_text() == "no such row"


def test_the_keyboard_reaches_everything_and_reads_the_heat_map(look, hostile_page, hostile_run):
    looked = look(hostile_page)
    page = looked.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    reached = set()
    for _ in range(160):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className || document.activeElement.tagName"
            )
        )
    assert {"methods", "cells", "scroll", "INPUT", "A", "BUTTON"} <= reached
    page.locator(".cells:visible").focus()
    page.keyboard.press("ArrowRight")
    names = page.evaluate("JSON.parse(document.getElementById('heat-0-names').textContent)")
    line = page.locator(".cell:visible").inner_text()
    pair = {names[0], names[1]}
    row = next(
        row
        for row in hostile_run.table("correlation").to_dicts()
        if row["method"] == "pearson" and {shown(row["feature_a"]), shown(row["feature_b"])} == pair
    )
    assert all(name in line for name in pair)
    assert math.isclose(float(line.rpartition(": ")[2]), row["value"], rel_tol=1e-3)


def test_a_mouse_reads_the_heat_map_and_zooms_it(look, hostile_page):
    looked = look(hostile_page)
    page = looked.page
    figure = page.locator(".heat:visible")
    figure.locator(".plot").scroll_into_view_if_needed()
    names = page.evaluate("JSON.parse(document.getElementById('heat-0-names').textContent)")
    canvas = figure.locator(".bk-Canvas").nth(1).bounding_box()
    page.mouse.move(canvas["x"] + canvas["width"] * 0.6, canvas["y"] + canvas["height"] * 0.4)
    line = figure.locator(".cell")
    page.locator(".heat:visible .cell bdi").first.wait_for()
    assert sum(name in line.inner_text() for name in names) >= 2
    models = "Bokeh.documents.flatMap((drawn) => [...drawn.all_models])"
    image = "model.type === 'Figure' && model.renderers.some((each) => each.glyph.type === 'Image')"
    seen = f"{models}.find((model) => {image}).x_range"
    before = page.evaluate(f"{seen}.end - {seen}.start")
    page.mouse.move(canvas["x"] + canvas["width"] * 0.5, canvas["y"] + canvas["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(canvas["x"] + canvas["width"] * 0.7, canvas["y"] + canvas["height"] * 0.5, steps=5)
    page.mouse.up()
    boxed = page.evaluate(f"{seen}.end - {seen}.start")
    assert boxed < before
    figure.get_by_role("button", name="All columns").click()
    assert page.evaluate(f"{seen}.end - {seen}.start") == len(names)
    figure.get_by_role("button", name="Zoom in").press("Enter")
    assert page.evaluate(f"{seen}.end - {seen}.start") == len(names) / 2
    assert looked.errors == []


def test_methods_take_turns(look, hostile_page):
    looked = look(hostile_page)
    looked.page.locator("#methods").select_option(label="mutual information")
    looked.drawn()
    assert looked.page.locator(".heat:visible figcaption").inner_text().count("mutual information in nats") == 1
    assert looked.errors == []


def test_structure_for_those_who_hear_the_page(looked_at_hostile):
    page = looked_at_hostile.page
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.title()
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map((head) => Number(head.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator("main, nav, header, footer").count() == 4
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("table:not(:has(caption))").count() == 0
    assert page.locator("svg[role=img]:not([aria-label])").count() == 0
    unnamed = "[...document.querySelectorAll('input, select')].filter((each) => !each.labels.length).length"
    assert page.evaluate(unnamed) == 0
    names = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(names) == len(set(names))


def test_a_narrow_page_does_not_scroll_sideways(look, hostile_page):
    page = look(hostile_page).page
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 400


def test_a_distribution_of_times_says_between_which(looked_at_hostile):
    row = looked_at_hostile.page.locator("[data-listing=profile-rows] tbody tr", has_text="event_time")
    assert row.locator("svg").get_attribute("aria-label").startswith("distribution, 2020-09-13 12:26:40 to 2020-09-14")


def test_a_page_prints(look, hostile_page):
    looked = look(hostile_page, color_scheme="dark")
    assert looked.page.pdf().startswith(b"%PDF")
    looked.page.emulate_media(media="print")
    assert luminance(looked.page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.9


def test_rows_add_up_and_what_is_lost_is_named(looked_at_hostile, hostile_run):
    text = looked_at_hostile.page.locator("#data").inner_text()
    rows = hostile_run.manifest["rows"]
    assert rows["quarantined"] > 0
    assert f"{rows['read']} rows read and {rows['quarantined']} rows quarantined are all {rows['footers']}" in text
    assert "unreadable_row_group" in looked_at_hostile.page.locator("[data-listing=quarantine-rows]").inner_text()
    drift = looked_at_hostile.page.locator("#drift").inner_text()
    alerts = int(hostile_run.table("drift")["alert"].sum())
    assert alerts > 0
    assert f"{alerts} alert" in drift
    assert looked_at_hostile.page.locator("[data-listing=drift-rows] tbody tr").first.inner_text().startswith("yes")


def test_a_page_says_why_there_are_no_examples(hostile_run, look, tmp_path):
    gone = {**hostile_run.manifest, "inputs": [{**e, "size": e["size"] + 1} for e in hostile_run.manifest["inputs"]]}
    looked = look(write_report(Run(hostile_run.store, hostile_run.run_id, gone), str(tmp_path / "gone.html")))
    assert "No examples:" in looked.page.locator("#images").inner_text()
    assert looked.errors == []


def test_a_run_of_nothing_but_a_profile(look, bare_run, tmp_path):
    looked = look(write_report(bare_run, str(tmp_path / "bare.html")))
    assert looked.errors == []
    assert looked.page.locator("h2").all_text_contents() == ["Data", "Drift", "Run", "How to read it"]
    assert looked.page.locator("nav a").all_text_contents() == ["Data", "Drift", "Run", "How to read it"]
    assert "There was no earlier run to compare with." in looked.page.locator("#drift").inner_text()
