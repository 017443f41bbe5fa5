"""What computes: versions of the packages whose numbers a run publishes, and a digest of featflow's own code."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

import featflow

__all__ = ["software"]

PACKAGES = ("featflow", "numpy", "pyarrow", "polars", "ray", "torch", "datasketches", "scipy")


@cache
def software() -> dict[str, str]:
    """Return versions by name, as a manifest keeps them: runs of the same ones measure the same.

    ``code`` is a digest of featflow's files: between two releases its version says nothing.
    """
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}, "code": _code_digest()}


def _code_digest() -> str:
    """Return a digest of all Python files of the package: 2 MB, 15 ms."""
    root, found = Path(featflow.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return found.hexdigest()[:16]
