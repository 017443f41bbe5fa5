"""What goes wrong while images are encoded: damaged images, processes that die, mistakes in what is asked for."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from datasets import measured_again, write_parts
from PIL import Image
from transforms.images import models
from transforms.images.model_runs import by_model, configuration, png, said, vectors
from transforms.images.models import save, vit_processor

import featflow
from featflow.cli.main import main
from featflow.config import parse
from featflow.errors import ConfigurationError, SchemaError
from featflow.pipeline.plan import plan

ROWS, FILES = 1_600, 8
COLUMNS = ("described", "encoded")
KEYS = {"entity": ["image_id"]}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As many as an encoder has on a Ray of two cores, so that no bit depends on the engine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    return save(models.vit(), tmp_path_factory.mktemp("vit"), vit_processor())


@pytest.fixture(scope="module")
def sound(shared_data, vit, tmp_path_factory):
    """Real photographs, and a run over them that nothing disturbs: by descriptors, and by a model."""
    folder = tmp_path_factory.mktemp("sound")
    photos = pq.read_table(shared_data / "cifar10_20k.parquet")["image"].slice(0, ROWS)
    run = run_over(photos, folder, ["described", by_model(vit, "encoded")])
    assert run.manifest["analyses"]["embedding"]["images"] == {column: {"ok": ROWS} for column in COLUMNS}
    return photos, run


def run_over(photos, folder, images, kind="serial"):
    keys = pa.array([f"image-{row:04d}" for row in range(len(photos))])
    source = write_parts(pa.table({"image_id": keys} | dict.fromkeys(COLUMNS, photos)), folder / "data", FILES)
    return featflow.run(configuration(source, folder / "out", images, kind, **KEYS))


# --- damaged images -------------------------------------------------------------------------------------------------


def tiff(pixels):
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "TIFF")
    return sink.getvalue()


def damages(jpeg):
    """Return eight ways in which an image is none, each with its status."""
    return [
        ({"bytes": None, "path": None}, "missing"),
        ({"bytes": b"", "path": None}, "empty"),
        ({"bytes": jpeg[: len(jpeg) // 2], "path": None}, "truncated"),
        ({"bytes": jpeg[20:], "path": None}, "not_an_image"),
        ({"bytes": b"<html>404</html>", "path": None}, "not_an_image"),
        ({"bytes": png(np.zeros((20_000, 6_000), bool)), "path": None}, "too_large"),
        ({"bytes": tiff(np.ones((8, 8), np.float32)), "path": None}, "unsupported"),
        ({"bytes": None, "path": "images/gone.jpg"}, "unreadable"),
    ]


def test_one_in_a_hundred_damaged_moves_no_bit_of_the_others(sound, tmp_path, engine_kind):
    values = sound[0].to_pylist()
    damaged = {100 * place + 7: damage for place, damage in enumerate(damages(values[0]["bytes"]) * 2)}
    values = [damaged[row][0] if row in damaged else value for row, value in enumerate(values)]
    images = sound[1].manifest["config"]["dataset"]["images"]
    run = run_over(pa.array(values, sound[0].type), tmp_path, images, engine_kind)
    kept = [row for row in range(ROWS) if row not in damaged]
    for column in COLUMNS:
        assert said(run, column, "status") == [damaged[row][1] if row in damaged else "ok" for row in range(ROWS)]
        assert np.array_equal(vectors(run, column)[kept], vectors(sound[1], column)[kept])
        assert np.isnan(vectors(run, column)[sorted(damaged)]).all()
        assert sum(run.manifest["analyses"]["embedding"]["images"][column].values()) == ROWS
    assert run.table("embedding_profile")["valid"].to_list() == [ROWS - 16] * 2
    assert run.table("embedding_profile")["failed"].to_list() == [16] * 2


@pytest.mark.parametrize("others", [{"label": ["a", "b"] * 20}, {}], ids=["beside a label", "alone"])
@pytest.mark.parametrize("name", ["alike", "damaged", "missing"])
def test_images_of_which_no_column_is_made(name, others, vit, tmp_path):
    """Where no vector differs from another there are neither directions nor clusters."""
    picture = {"alike": png(np.full((8, 8, 3), 90, np.uint8)), "damaged": b"not an image", "missing": None}[name]
    photos = pa.array([picture] * 40, pa.binary())
    source = write_parts(pa.table({"photo": photos} | others), tmp_path / "data", 2)
    config = configuration(source, tmp_path / "out", [by_model(vit)])
    assert plan(parse(config)).notes == ["columns made of 'photo' are known once a run has read it"]
    run = featflow.run(config)
    assert run.arrow("embedding").num_rows == run.table("embedding_profile")["rows"][0] == 40
    assert run.table("profile")["column"].to_list() == list(others)
    assert plan(parse(config)).notes == [], "they were encoded"


def test_a_plan_after_images_were_quarantined(vit, tmp_path):
    """A row group whose images cannot be read was left out; nothing of what is left is to be read again."""
    random = np.random.default_rng(5)
    photos = [png(random.integers(0, 256, (16, 16, 3), np.uint8)) for _ in range(120)]
    table, folder = pa.table({"photo": photos, "other": random.normal(size=120)}), tmp_path / "data"
    folder.mkdir()
    path = folder / "a.parquet"
    pq.write_table(table, path, row_group_size=30, compression="none", use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(2).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 30] = b"\xff" * 30
    path.write_bytes(data)
    for images in (["photo"], [by_model(vit)]):
        config = configuration(folder, tmp_path / "out", images) | {"budget": {"bad_rows": 1.0}}
        assert featflow.run(config).manifest["rows"]["quarantined"] == 30
        assert featflow.run(measured_again(config)).manifest["shards"]["computed"] == 0
        planned = plan(parse(config))
        assert (planned.notes, planned.profile_shards, planned.relation_shards) == ([], 0, 0)


# --- processes that die ---------------------------------------------------------------------------------------------


class Killer(threading.Thread):
    """Kills two encoding actors of this process's Ray, each once there are more states than before."""

    def __init__(self, states):
        super().__init__()
        self.states, self.killed, self.stop = states, {}, threading.Event()

    def encoded(self):
        return len(list(self.states.rglob("*.arrow")))

    def run(self):
        while not self.stop.is_set() and len(self.killed) < 2:
            count = self.encoded()
            if count > max(self.killed.values(), default=0):
                self.kill_one(count)
            time.sleep(0.01)

    def kill_one(self, count):
        for process in psutil.Process().children(recursive=True):
            try:
                if process.pid not in self.killed and process.cmdline()[0].startswith("ray::_Resident.call"):
                    process.kill()
                    self.killed[process.pid] = count
                    return
            except (psutil.NoSuchProcess, IndexError):
                continue


def test_encoders_that_are_killed_lose_nothing_and_change_nothing(sound, tmp_path, local_ray):
    killer = Killer(tmp_path / "out" / "states" / "columns")
    killer.start()
    try:
        run = run_over(sound[0], tmp_path, sound[1].manifest["config"]["dataset"]["images"], "ray")
    finally:
        killer.stop.set()
        killer.join()
    first, second = killer.killed.values()
    assert 0 < first < second < len(COLUMNS) * FILES, "both died while others were to be encoded"
    assert killer.encoded() == len(COLUMNS) * FILES + FILES, "and a model's vectors were placed"
    for name in ("image_id", "status", "error", "embedding"):
        for column in COLUMNS:
            assert said(run, column, name) == said(sound[1], column, name)


POISONED = [10, 11]
PLUGIN = """
import os, signal
from PIL import Image, ImageFile, TgaImagePlugin

class Poison(ImageFile.ImageFile):
    format = "TGA"

    def _open(self):
        os.kill(os.getpid(), signal.SIGSEGV)

Image.register_open("TGA", Poison, lambda prefix: prefix.startswith(b"POISON"))
"""


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """What the command says of a run over images some of which end a process, that run, and one without them."""
    folder, random = tmp_path_factory.mktemp("poisoned"), np.random.default_rng(5)
    photos = [png(random.integers(0, 256, (24, 24, 3), np.uint8)) for _ in range(60)]
    table = pa.table({"image_id": np.arange(60), "photo": photos})
    without = configuration(write_parts(table, folder / "sound", 2), folder / "sound-out", ["photo"], **KEYS)
    photos = pa.array([b"POISON and more" if row in POISONED else photo for row, photo in enumerate(photos)])
    source = write_parts(table.set_column(1, "photo", photos), folder / "data", 2)
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(configuration(source, folder / "out", ["photo"], "ray", **KEYS)))
    (folder / "sitecustomize.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "featflow", "run", str(config), "--json"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout, featflow.Run.open(str(folder / "out")), featflow.run(without)


def test_images_that_end_the_process_are_named_and_passed_by(poisoned):
    _, run, without = poisoned
    assert said(run, "photo", "status") == ["crashed" if row in POISONED else "ok" for row in range(60)]
    assert [bool(error) for error in said(run, "photo", "error")] == [row in POISONED for row in range(60)]
    kept = [row for row in range(60) if row not in POISONED]
    assert np.array_equal(vectors(run)[kept], vectors(without)[kept])
    assert np.isnan(vectors(run)[POISONED]).all()
    assert run.manifest["rows"] == {"footers": 60, "read": 60, "quarantined": 0}


def test_standard_output_is_json_alone_whatever_dies(poisoned):
    assert json.loads(poisoned[0])["status"] == "done"


# --- mistakes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ({"split": "prat"}, SchemaError, "split of 'photo': no column 'prat'; the nearest is 'part'"),
        ({"prefix": 33}, ConfigurationError, "prefix is 33, and vectors of 'photo' have 32"),
        ({"encoder": "descriptors", "normalize": True}, ConfigurationError, "normalize are of transformers:<directory"),
        ({"other": "photo.cluster"}, SchemaError, "'photo.cluster' is what dataset.images makes; rename it"),
        ({"other": "photo.direction_8"}, SchemaError, "'photo.direction_8' is what dataset.images makes; rename it"),
        ({"lacking": "config.json"}, ConfigurationError, "{vit} lacks config.json; save the model"),
        ({"lacking": "model.safetensors"}, ConfigurationError, "{vit} lacks model.safetensors; save the model"),
    ],
    ids=str,
)
def test_mistakes_are_named(wrong, error, message, vit, tmp_path, monkeypatch, capsys):
    """By Python's exception, and by the command with its exit code, before anything is encoded."""
    copied = shutil.copytree(vit, tmp_path / "vit")
    if "lacking" in wrong:
        Path(copied, wrong["lacking"]).unlink()
    columns = {"photo": [png(np.zeros((8, 8, 3), np.uint8))] * 20, "part": ["test", "train"] * 10}
    source = write_parts(pa.table(columns | {wrong.get("other", "other"): np.arange(20) % 3}), tmp_path / "data", 1)
    options = {key: value for key, value in wrong.items() if key not in {"other", "lacking"}}
    config = configuration(source, tmp_path / "out", [by_model(copied) | options])
    message = message.format(vit=copied)
    with pytest.raises(error, match=re.escape(message)) as caught:
        featflow.run(config)
    assert type(caught.value) is error
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    for command in ("plan", "run"):
        monkeypatch.setattr(sys, "argv", ["featflow", command, str(tmp_path / "config.yaml")])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == error.exit_code == 2
    assert not list(tmp_path.rglob("out/**/*.arrow"))
