"""Pages that are looked at, and one browser for all."""

from __future__ import annotations

import shutil

import pytest
from reports import Looked

from featflow.export.report.writing import write_report


@pytest.fixture(scope="session")
def hostile_page(hostile_run, tmp_path_factory):
    return write_report(hostile_run, str(tmp_path_factory.mktemp("page") / "report.html"))


@pytest.fixture(scope="session")
def browser():
    """Debian's chromium; .ci/run installs it."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no chromium on the path: apt-get install chromium, as .ci/run does")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def look(browser):
    """Open a page and wait until it is drawn."""
    opened = []

    def at(path: str, **how) -> Looked:
        opened.append(Looked(browser, path, **how))
        return opened[-1]

    yield at
    for looked in opened:
        looked.context.close()


@pytest.fixture(scope="session")
def looked_at_hostile(browser, hostile_page):
    looked = Looked(browser, hostile_page, color_scheme="light")
    yield looked
    looked.context.close()
