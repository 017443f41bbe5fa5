"""A folder of input files, an output beside it, and the job between them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featflow

ROWS = 1_000


@dataclass(frozen=True)
class Bench:
    """Input files, an output, and the job run between them in this process."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def output(self) -> Path:
        return self.root / "out"

    def table(self, **columns):
        """Return a table of amount, city and label, and the columns given."""
        random = np.random.default_rng(5)
        label = random.choice(["no", "yes"], ROWS)
        amount = random.normal(size=ROWS) + (label == "yes")
        return pa.table({"amount": amount, "city": random.choice(["Bern", "Rome"], ROWS), "label": label} | columns)

    def write(self, name="a.parquet", table=None, **options):
        """Write a file below the data folder and return its path."""
        path = self.data / name
        pq.write_table(self.table() if table is None else table, path, **options)
        return path

    def config(self, dataset=None, **more):
        base = {"dataset": {"source": str(self.data)}, "output": str(self.output), "engine": {"kind": "serial"}}
        return base | {"dataset": base["dataset"] | (dataset or {})} | more

    def run(self, **config):
        return featflow.run(self.config(**config))

    def refused(self, error, *words, **config):
        """Run the job, which must end with this error, say these words and publish nothing; return the message."""
        before = self.published()
        with pytest.raises(featflow.FeatflowError) as caught:
            self.run(**config)
        message = str(caught.value)
        assert type(caught.value) is error, message
        missing = [word for word in words if str(word) not in message]
        assert not missing, f"{missing} not in: {message}"
        assert self.published() == before
        return message

    def published(self):
        """Return what a reader would take for a finished run, at any output."""
        return [path for path in self.files(self.root) if path.name in {"LATEST", "_SUCCESS"}]

    def files(self, folder=None):
        """Return the files below a folder, the output by default."""
        return sorted(path for path in (folder or self.output).rglob("*") if path.is_file())

    def work(self):
        """Return the files of the output but those that tell of a run that failed."""
        return [path for path in self.files() if path.name not in {"failure.json", "openlineage.jsonl"}]

    def command(self, *arguments, text=None, config=None):
        """Run ``featflow run`` on a configuration in a process of its own."""
        path = self.root / "config.yaml"
        path.write_text(json.dumps(config or self.config()) if text is None else text)
        command = [sys.executable, "-m", "featflow", "run", str(path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.root, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done


@pytest.fixture
def bench(tmp_path):
    (tmp_path / "data").mkdir()
    return Bench(tmp_path)
