"""Folders of models that are hostile, or broken: a sound one with one file changed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

CONFIG, PROCESSOR, WEIGHTS = "config.json", "preprocessor_config.json", "model.safetensors"
INDEX = "model.safetensors.index.json"
Change = Callable[[Path], object]


def keys(name: str, **values: object) -> Change:
    """Other values of some keys of a JSON file."""
    return lambda folder: (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | values))


def content(name: str, data: bytes | str) -> Change:
    return lambda folder: (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def link(name: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return change


def pipe(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return change


def directory(name: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).mkdir()

    return change


def absent(*names: str) -> Change:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def sparse(name: str, nbytes: int) -> Change:
    def change(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(nbytes)

    return change


def header(text: str | bytes, length: int | None = None) -> Change:
    """Another header of the tensors."""
    data = text if isinstance(text, bytes) else text.encode()
    return content(WEIGHTS, struct.pack("<Q", len(data) if length is None else length) + data + bytes(64))


def shards(*names: str) -> Change:
    """An index in place of the tensors, which it says lie in other files."""

    def change(folder: Path) -> None:
        (folder / WEIGHTS).unlink()
        (folder / INDEX).write_text(json.dumps({"weight_map": {str(at): name for at, name in enumerate(names)}}))

    return change


class Runs:
    """What writes a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("unpickled"),)


def pickled(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Runs()))


def code(folder: Path) -> None:
    (folder / "modeling_evil.py").write_text("open('run', 'w')\n")
    keys(CONFIG, auto_map={"AutoModel": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"})(folder)


def deep_index(folder: Path) -> None:
    absent(WEIGHTS)(folder)
    content(INDEX, nested(50_000))(folder)


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


BAD: dict[str, Change] = {
    "config: 50,000 deep": content(CONFIG, nested(50_000)),
    "config: 500 deep": content(CONFIG, nested(500)),
    "config: 100,000 layers": keys(CONFIG, num_hidden_layers=100_000),
    "config: a number of 400 digits": keys(CONFIG, hidden_size=10**400),
    "config: a number of 5,000 digits": content(CONFIG, '{"hidden_size": 1' + "0" * 5_000 + "}"),
    "config: hidden size of a million": keys(CONFIG, hidden_size=10**6),
    "config: hidden size of none": keys(CONFIG, hidden_size=0),
    "config: negative sizes": keys(CONFIG, hidden_size=-32),
    "config: sizes that are text": keys(CONFIG, hidden_size="32"),
    "config: sizes that are lists": keys(CONFIG, hidden_size=[32]),
    "config: sizes that are not a number": keys(CONFIG, hidden_size=float("nan")),
    "config: heads that do not divide": keys(CONFIG, num_attention_heads=7),
    "config: patches of none": keys(CONFIG, patch_size=0),
    "config: pictures of a billion": keys(CONFIG, image_size=10**9),
    "config: a list of a million": keys(CONFIG, out_indices=[0] * 10**6),
    "config: an activation that is none": keys(CONFIG, hidden_act="__import__('os').system"),
    "config: a type that is none": keys(CONFIG, model_type="../../etc"),
    "config: a type that is a list": keys(CONFIG, model_type=["vit"]),
    "config: no object": content(CONFIG, "[1, 2]"),
    "config: no JSON": content(CONFIG, b"\xff\xfe\0\1"),
    "config: empty": content(CONFIG, b""),
    "config: 20 MB": content(CONFIG, '{"a": "' + "a" * 20_000_000 + '"}'),
    "config: a pipe": pipe(CONFIG),
    "config: a device": link(CONFIG, "/dev/zero"),
    "config: a folder": directory(CONFIG),
    "config: a link to itself": link(CONFIG, CONFIG),
    "config: a link to nowhere": link(CONFIG, "nowhere"),
    "config: absent": absent(CONFIG),
    "processor: 1e6 x 1e6": keys(PROCESSOR, size={"height": 10**6, "width": 10**6}),
    "processor: a number of 400 digits": keys(PROCESSOR, image_mean=[10**400] * 3, rescale_factor=10**400),
    "processor: 50,000 deep": content(PROCESSOR, nested(50_000)),
    "processor: wrong types": keys(PROCESSOR, size={"height": [], "width": {}}, image_std="no", resample=[]),
    "processor: a type with escapes": keys(PROCESSOR, image_processor_type="\x1b[2J\ud800"),
    "processor: a device": link(PROCESSOR, "/dev/zero"),
    "weights: a pipe": pipe(WEIGHTS),
    "weights: a device": link(WEIGHTS, "/dev/zero"),
    "weights: a terabyte": sparse(WEIGHTS, 2**40),
    "weights: a header of 2^63 bytes": header("{}", 2**63),
    "weights: a header 10,000 deep": header('{"a":' * 10_000 + "1" + "}" * 10_000),
    "weights: offsets beyond the file": header('{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 1000000]}}'),
    "weights: a shape of 2^64": header(
        '{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}}'
    ),
    "weights: no tensors": header("{}"),
    "weights: a pickle": content(WEIGHTS, pickle.dumps(Runs())),
    "weights: pickles alone": pickled,
    "index: names that lead out": shards("../other.safetensors"),
    "index: a pickle": shards("a.bin"),
    "index: files that are not there": shards("a.safetensors"),
    "index: 50,000 deep": deep_index,
    "folder: empty": absent(CONFIG, PROCESSOR, WEIGHTS),
}
"""Every one is refused: exit code 2."""

SOUND: dict[str, Change] = {
    "as it is": lambda folder: None,  # noqa: ARG005
    "code beside it": code,
    "a billion labels": keys(CONFIG, num_labels=10**9, id2label={"0": "x"}),
    "a pickle beside it": content("pytorch_model.bin", pickle.dumps(Runs())),
}
"""Every one gives the vectors of the sound model."""


def made(source: Path, folder: Path, change: Change) -> Path:
    """Copy the sound model and change it."""
    shutil.copytree(source, folder)
    change(folder)
    return folder


def mutated(source: Path, folder: Path, seed: int) -> Path:
    """Copy the sound model with some bytes of one file changed at random, those of its structure in most."""
    random = np.random.default_rng(seed)
    shutil.copytree(source, folder)
    name = str(random.choice([CONFIG, PROCESSOR, WEIGHTS]))
    data = bytearray((folder / name).read_bytes())
    end = min(len(data), 4_000 if name == WEIGHTS and random.random() < 0.8 else len(data))
    for place in random.integers(0, end, random.integers(1, 4)):
        data[place] = (
            int(random.choice(list(b'0123456789"[]{},:-.eE'))) if random.random() < 0.7 else int(random.integers(256))
        )
    (folder / name).write_bytes(data)
    return folder
