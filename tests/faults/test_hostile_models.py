"""Hostile and broken folders of models: refused by name, or the sound model's vectors; no hang, no code, no memory.

In the long run a hundred and more: ``FEATFLOW_MUTATIONS=30 pytest tests/faults/test_hostile_models.py -s``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from faults.hostile_models import BAD, SOUND, made, mutated
from faults.outcomes import outcomes
from transforms.images import models
from transforms.images.models import save, vit_processor

COPIES = int(os.environ.get("FEATFLOW_MUTATIONS", "6"))
"""Times three folders with changed bytes; 200 in the long run."""
MEMORY = 2**29
"""Bytes that looking at a small model may take at most."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return Path(save(models.vit(), tmp_path_factory.mktemp("models") / "sound", vit_processor()))


@pytest.fixture(scope="module")
def found(sound, tmp_path_factory):
    """What came of all folders, by name, and the memory that each took; code that is run would leave a file."""
    root = tmp_path_factory.mktemp("hostile")
    names = [*(SOUND | BAD), *map(str, range(3 * COPIES))]
    folders = [made(sound, root / f"{number:02}", change) for number, change in enumerate((SOUND | BAD).values())]
    folders += [mutated(sound, root / f"changed {seed}", seed) for seed in range(3 * COPIES)]
    results = outcomes("model", folders, root)
    assert sorted(path.name for path in root.iterdir()) == sorted(path.name for path in folders), "code was run"
    return dict(zip(names, results, strict=True))


def test_hostile_folders_are_refused_by_name(found):
    assert {name: found[name] for name in BAD if not found[name][0].startswith("refused: MODEL")} == {}


def test_folders_with_more_than_a_model_give_its_vectors(found):
    assert len({found[name][0] for name in SOUND}) == 1
    assert found["as it is"][0].startswith("ok: ")


def test_no_folder_takes_more_memory_than_a_small_model(found):
    assert {name: peak for name, (_, peak) in found.items() if peak > MEMORY} == {}
