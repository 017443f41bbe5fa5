"""The project keeps its own rules: fresh schemas, short files, sorted exports, documented commands."""

from __future__ import annotations

import importlib
import pkgutil
import re
import runpy
from pathlib import Path

import pytest

import featflow
from featflow import errors
from featflow.errors import FeatflowError

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 300
LONGER: dict[str, str] = {}
"""Files that may be longer, each with its reason."""
MODULES = [info.name for info in pkgutil.walk_packages(featflow.__path__, "featflow.")]


def test_published_schemas_are_fresh():
    published = runpy.run_path(str(ROOT / "schemas" / "generate.py"))["published"]()
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "schemas").glob("*.json")}
    assert on_disk == published, "run 'make schemas'"


def test_files_are_short():
    files = [path for folder in ("featflow", "jobs", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    long = {str(path.relative_to(ROOT)) for path in files if len(path.read_text().splitlines()) > MOST_LINES}
    assert long == set(LONGER)


@pytest.mark.parametrize("name", MODULES)
def test_exports_are_sorted_and_exist(name):
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", None)
    if exported is None:
        assert module.__file__.endswith("__.py")  # __init__.py, __main__.py
        return
    order = sorted(exported, key=lambda item: (not item.isupper(), not item[0].isupper(), item))
    assert list(exported) == order
    assert all(hasattr(module, item) for item in exported)


def test_every_error_has_an_exit_code_and_a_place_in_the_drawing():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, FeatflowError)]
    assert {c.__name__ for c in classes} == set(errors.__all__)
    for error in classes:
        assert error.__name__ in (errors.__doc__ or "")
        assert error.exit_code in errors.EXIT_CODES


def test_tests_mirror_folders():
    """A folder of tests has the name of the folder that it tests, but for what crosses all of them."""
    across = {"cluster", "deployment", "faults"}
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    assert {str(each) for each in folders if not (ROOT / "featflow" / each).is_dir()} == across


def test_documents_name_commands_that_exist():
    from typer.main import get_command

    from featflow.cli.main import app

    commands = set(get_command(app).commands)
    text = "\n".join(path.read_text() for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    lines = re.findall(r"^featflow ([a-z]+)", blocks, re.MULTILINE) + re.findall(r"`featflow ([a-z]+)", text)
    assert {"run", "plan", "runs", "schema"} <= set(lines) <= commands


def test_nothing_names_a_machine():
    kinds = {".py", ".md", ".toml", ".txt", ".yaml", ".json"}
    generated = {".venv", ".git", "featflow-demo", "tests"}
    for path in ROOT.rglob("*"):
        relative = path.relative_to(ROOT)
        if path.is_file() and path.suffix in kinds and relative.parts[0] not in generated:
            assert not re.search(r"/(?:home|work)/\w+", path.read_text(encoding="utf-8")), relative


def test_filesystems_are_listed_in_one_place():
    """fsspec's own walks leave out what they cannot list, and its exists says no where it has no answer."""
    calls = re.compile(r"filesystem\.(?:walk|find|glob|exists|du|expand_path)\(")
    files = {
        str(path.relative_to(ROOT)) for path in (ROOT / "featflow").rglob("*.py") if calls.search(path.read_text())
    }
    assert files == {"featflow/storage/folders.py"}


def test_files_of_tests_write_to_folders_of_their_own_in_the_shared_bucket():
    """One server serves all files of tests that a process runs: what one leaves there, another would read."""
    served, users = re.compile(r"(?:moto|rclone|gcs|azure|})_options"), {}
    for path in (ROOT / "tests").rglob("test_*.py"):
        text = path.read_text()
        if served.search(text):
            for folder in set(re.findall(r"\blake/(\w{2,})", text)):
                users.setdefault(folder, set()).add(path.name)
    shared = {folder: files for folder, files in users.items() if len(files) > 1}
    assert shared.keys() == {"out"}, f"of 'out' only the name is used: {shared}"
