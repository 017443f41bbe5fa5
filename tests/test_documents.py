"""Documents are run: blocks of quickstart.md and recipes.md in order, as a reader would; generated ones are fresh."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import typer
import yaml
from transforms.images.models import TOWER, save, seeded, vit_processor

from featflow.cli.demo import _photos
from featflow.cli.export_commands import exports
from featflow.cli.main import EPILOG, app
from featflow.config import parse
from featflow.errors import EXIT_CODES

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.yaml)\n")
DAYS, ROWS = 10, 300


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A folder, and what runs the blocks of a page in it; returns what the page's Python has defined."""
    command = tmp_path / "bin" / "featflow"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m featflow "$@"\n')
    command.chmod(0o755)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}

    def run(page):
        defined = {}
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            language, code = block.groups()
            line = text[: block.start()].count("\n") + 2
            if language == "yaml":
                Path(FILE.match(code).group(1)).write_text(code, encoding="utf-8")
            elif language == "sh":
                done = subprocess.run(
                    ["sh", "-e", "-c", code], env=environment, capture_output=True, text=True, timeout=240, check=False
                )
                assert done.returncode == 0, f"{page}:{line}: {done.stderr}"
            elif language == "python":
                exec(compile("\n" * (line - 1) + code, page, "exec"), defined)
            else:
                assert language == "console", f"{page}:{line}: nothing runs {language}"
        return defined

    return run


def customers(rows, seed):
    random = np.random.default_rng(seed)
    visits = random.poisson(4, rows)
    churned = random.random(rows) < 1 / (1 + np.exp(visits - 3.0))
    columns = {"customer_id": np.arange(rows) + seed * rows, "visits": visits, "shop": random.integers(0, 500, rows)}
    return pl.DataFrame(columns | {"since": "2024-03-01", "churned": churned})


def test_quickstart(reader):
    customers(3_000, 1).write_csv("mine.csv")
    customers(1_000, 2).write_csv("tuesday.csv")
    found = reader("quickstart.md")
    assert found["ranking"]["feature"].to_list() == ["visits"]
    runs = found["featflow"].list_runs("results")
    assert [run.manifest["shards"]["reused"] for run in runs] == [0, 1]
    assert runs[-1].manifest["rows"]["read"] == 4_000


def write_orders():
    """Orders of ten days: channel repeats the campaign, promo changes its meaning, users order often, photos repeat."""
    random = np.random.default_rng(5)
    images = _photos(ROWS * 20)[0].drop_null().to_pylist()
    Path("orders").mkdir()
    for day in range(DAYS):
        user = random.integers(0, 60, ROWS)
        campaign = random.integers(0, 4, ROWS)
        amount = random.gamma(2.0, 30.0, ROWS)
        promo = random.integers(0, 2, ROWS)
        logit = (campaign - 1.5) + 0.02 * (amount - 60) + np.where((promo == 1) == (day < 7), 1.2, -1.2)
        columns = {
            "order_id": np.arange(ROWS) + day * ROWS,
            "user_id": user,
            "day": pl.Series([f"2026-01-{day + 1:02d}"] * ROWS).str.to_datetime(time_unit="us", time_zone="UTC"),
            "campaign": np.char.add("c", campaign.astype(str)),
            "channel": np.char.add("ch", (campaign // 2 * 2 + (random.random(ROWS) < 0.3)).astype(str)),
            "amount": amount,
            "tax": amount * 0.2,
            "promo": np.char.add("p", promo.astype(str)),
            "wealth": (user % 7) + random.normal(0, 0.1, ROWS),
            "exposure": random.uniform(0.5, 2.0, ROWS),
            "photo": [images[day * 9 + row // 10] if row % 10 == 0 else None for row in range(ROWS)],
            "part": np.where(random.random(ROWS) < 0.8, "train", "test"),
            "returned": (random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(np.int8),
        }
        pl.DataFrame(columns).write_parquet(f"orders/2026-01-{day + 1:02d}.parquet")


def test_recipes(reader):
    import transformers

    write_orders()
    model = seeded(transformers.ViTModel, transformers.ViTConfig(**TOWER))
    Path("models").mkdir()
    save(model, Path("models/vit"), vit_processor())
    found = reader("recipes.md")
    assert found["night"]["shards"] == {"total": 7, "computed": 1, "reused": 6}
    assert found["poor"] == ["promo"]
    channel = found["beyond"].row(by_predicate=pl.col("feature") == "channel", named=True)
    assert channel["marginal_mi"] > 0.05
    assert channel["corrected_mi"] < 0.01
    assert found["clustered"].table("ranking")["design_effect"].min() > 0
    assert found["weighted"].table("ranking")["effective_n"][0] < DAYS * ROWS
    assert found["matrix"].shape == (len(found["columns"]),) * 2
    assert found["pictures"].manifest["analyses"]["embedding"]["images"]["photo"]["ok"] > 0
    assert found["profile"]["width"] == TOWER["hidden_size"]
    assert {"amount", "tax"} in [{row["feature_a"], row["feature_b"]} for row in found["strong"].to_dicts()]
    assert found["units"] == b"nats"
    assert "promo" not in found["features"]
    assert len({"amount", "tax"} & set(found["features"])) == 1
    assert json.loads(Path("removed.json").read_text())["removed"] is True
    assert json.loads(Path("changes.json").read_text())


def test_made_columns(reader):
    random = np.random.default_rng(4)
    micros = np.sort(random.integers(0, 50 * 86_400_000_000, 3_000)) + 1_767_225_600_000_000
    created = pl.Series(micros).cast(pl.Datetime("us", "UTC"))
    busy = created.dt.convert_time_zone("Europe/Vienna").dt.hour().is_in([12, 13, 18, 19]).to_numpy()
    Path("visits").mkdir()
    columns = {"visit_id": np.arange(3_000), "created": created, "bought": busy ^ (random.random(3_000) < 0.1)}
    pl.DataFrame(columns).write_parquet("visits/a.parquet")
    found = reader("made-columns.md")
    ranking = {row["feature"]: row for row in found["ranking"].to_dicts()}
    assert ranking["created.hour"]["rank"] == 1
    assert ranking["created.hour"]["corrected_mi"] > 10 * abs(ranking["created"]["corrected_mi"])
    assert list(ranking).count("created.month") == 0
    profile = {row["column"]: row["kind"] for row in found["run"].table("profile").to_dicts()}
    assert profile["created.weekday"] == "category"


def test_the_description_of_the_tables_is_fresh():
    generate = runpy.run_path(str(ROOT / "schemas" / "generate.py"))
    assert (ROOT / "docs" / "tables.md").read_text(encoding="utf-8") == generate["documented"](), "run 'make schemas'"


GENERATE = runpy.run_path(str(ROOT / "schemas" / "generate.py"))
KEYS_PAGE = ROOT / "docs" / "configuration.md"
NEEDED = {
    (): {"dataset": {"source": "a"}, "output": "b"},
    ("dataset",): {"source": "a", "event_time": "t", "window": "last 1 day"},
    ("dataset", "images"): {"column": "x", "encoder": "transformers:models/x"},
    ("dataset", "derive", "parts"): {"parts": "t"},
}
"""Keys without which others of their section are refused."""


def test_the_description_of_the_configuration_is_fresh():
    assert KEYS_PAGE.read_text(encoding="utf-8") == GENERATE["documented_keys"](), "run 'make schemas'"


def with_example(path, example):
    """Return a configuration that holds a key's example, and what its sections require."""
    values = {path[-1]: example}
    for place in range(len(path) - 1, 0, -1):
        section = path[:place]
        if section == ("dataset", "derive"):
            values = {"derive": [*values.values()]}  # an entry stands in the list without the name of its kind
        else:
            inner = NEEDED.get(section, {}) | values
            values = {section[-1]: [inner] if section[-1] == "images" else inner}
    return NEEDED[()] | values


@pytest.mark.parametrize(("path", "example"), [*GENERATE["examples"]()])
def test_every_key_has_an_example_that_is_accepted(path, example):
    assert example not in (None, [], {}, ""), "give the option Field(examples=[...])"
    text = KEYS_PAGE.read_text(encoding="utf-8")
    heading = f"## {'.'.join(path[:-1]) or 'The top level'}\n"
    section = text.partition(heading)[2].partition("\n## ")[0]
    (row,) = [line for line in section.splitlines() if line.startswith(f"| `{path[-1]}` |")]
    cells = re.split(r"(?<!\\)\|", row)
    assert all(cell.strip() for cell in cells[1:-1]), row
    shown = yaml.safe_load("{" + cells[4].strip().strip("`").replace("\\|", "|") + "}")
    assert shown == {path[-1]: example}
    assert parse(with_example(path, example))


def test_blocks_of_the_configuration_are_accepted():
    blocks = [code for language, code in BLOCK.findall(KEYS_PAGE.read_text(encoding="utf-8")) if language == "yaml"]
    assert blocks
    for code in blocks:
        assert parse(yaml.safe_load(code)).dataset.targets


def test_exit_codes_are_in_one_table():
    """The codes of errors.py, which are those that --help names, stand in a table, each with the same meaning."""
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| (.*?) \|", text, re.MULTILINE))
    assert list(map(int, rows)) == list(EXIT_CODES)
    for code, meaning in EXIT_CODES.items():
        assert rows[str(code)].startswith(re.split("[,;:]", meaning)[0])
        assert f"{code} {meaning}" in EPILOG
    tables = [
        page.name for page in (ROOT / "docs").glob("*.md") if "\n| exit code |" in page.read_text(encoding="utf-8")
    ]
    assert tables == ["command-line.md"]


def test_all_commands_and_their_options_are_in_one_table():
    text = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `featflow ([a-z ]+[a-z])\b[^|]*\| (.*?) ?\|$", text, re.MULTILINE))
    commands = {
        f"{group} {name}".strip(): command
        for group, among in (("", typer.main.get_command(app)), ("export", typer.main.get_command(exports)))
        for name, command in among.commands.items()
        if not hasattr(command, "commands")
    }
    assert set(rows) == set(commands)
    for name, command in commands.items():
        options = [max(each.opts, key=len) for each in command.params if each.opts[0].startswith("--")]
        assert re.findall(r"`(--[a-z-]+)", rows[name]) == options


def test_links_between_documents_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "deploy" / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
