"""Files of an output changed at random: each command says what is wrong, and no table gives other numbers."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from outputs import bound_memory, commands, numbers, said, sound_output, within, wrong

MUTATIONS = int(os.environ.get("FEATFLOW_MUTATIONS", "6")) * 10
"""Changed outputs, each given to one command in turn; to all five where there are 500, which the long run makes."""
LONG_RUN = 500
HOSTILE = [None, True, -1, 0, 10**9, 10**30, 1e308, "", "../../../etc/passwd", "\x1b[31m", "9" * 5000, [], {}, [[]]]


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return sound_output(tmp_path_factory.mktemp("mutated"))


def flipped(data: bytes, random: np.random.Generator) -> bytes:
    """The same with some bytes changed, cut, or with more at its end."""
    how = random.integers(6)
    if how == 0 or not data:
        return data[: int(random.integers(0, max(len(data), 1)))]
    if how == 1:
        return data + bytes(random.integers(0, 256, 50).astype(np.uint8))
    changed = bytearray(data)
    for place in random.integers(0, len(data), random.integers(1, 4)):
        changed[place] ^= int(random.integers(1, 256))
    return bytes(changed)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The paths of all values in a value of JSON."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in pairs for place in places(each, (*path, key)))]


def forged(path: Path, data: bytes, random: np.random.Generator) -> bytes:
    """The same with another value somewhere, or a key less, signed as featflow signs it."""
    if path.suffix == ".arrow" and "tensors" not in path.parts:
        stream = flipped(data[:-32], random)
        return stream + hashlib.sha256(stream).digest()
    if path.name != "manifest.json":
        return flipped(data, random)
    value = json.loads(data)
    place = places(value)[int(random.integers(1, len(places(value))))]
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    if random.random() < 0.2 and isinstance(holder, dict):
        del holder[place[-1]]
    else:
        holder[place[-1]] = HOSTILE[int(random.integers(len(HOSTILE)))]
    data = json.dumps(value).encode()
    mark = path.with_name("_SUCCESS")
    if mark.exists():
        mark.write_text(hashlib.sha256(data).hexdigest())
    return data


def test_changed_files_of_an_output(sound, tmp_path):
    random, truth = np.random.default_rng(MUTATIONS), numbers(sound)
    files = sorted(path.relative_to(sound) for path in sound.rglob("*") if path.is_file())
    kinds: dict[tuple, list[Path]] = {}
    for path in files:  # else nearly all would be states
        kinds.setdefault((path.parts[0], path.parts[-2 if path.parts[0] == "states" else -1]), []).append(path)
    assert len(truth) > 10
    bad, named = [], 0
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=bound_memory) as pool:
        for number in range(MUTATIONS):
            copy = tmp_path / f"{number}" / "out"
            shutil.copytree(sound, copy)
            of_kind = kinds[sorted(kinds)[int(random.integers(len(kinds)))]]
            changed = of_kind[int(random.integers(len(of_kind)))]
            path, forging = copy / changed, bool(random.random() < 0.5)
            path.write_bytes(
                (forged(path, path.read_bytes(), random)) if forging else flipped(path.read_bytes(), random)
            )
            every = commands(copy)[:5]
            for arguments in every if MUTATIONS >= LONG_RUN else [every[number % len(every)]]:
                code, text = within(pool, said, arguments)
                if problem := wrong(arguments, code, text):
                    bad.append((number, str(changed), problem))
                named += code > 1
            if not forging or path.name != "manifest.json":
                found = within(pool, numbers, copy)
                bad += [(number, str(changed), key) for key, value in found.items() if truth[key] != value]
            if not any(number == each[0] for each in bad):
                shutil.rmtree(copy.parent)
    assert not bad, f"{len(bad)}: " + "\n".join(map(str, bad[:20]))
    assert named
