"""Directories of models that were saved with save_pretrained: what they must hold, their digest, a copy on the node.

What counts are config.json, preprocessor_config.json and model.safetensors, or model.safetensors.index.json and the
files it names; whatever else lies there is neither read nor copied. The digest is the SHA-256 of the lines
``<name> <SHA-256 of the file>`` in the order of names. A directory on a local disk is used where it is. Any other is
copied once to the node's cache, under its digest; what is found there is checked before it is used.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from featflow.errors import ConfigurationError, InfrastructureError, first_line
from featflow.storage.store import Store

__all__ = ["ModelFiles", "cache_folder", "locate", "open_model"]

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model, on this node."""

    folder: Path
    """Where they are."""
    hashes: dict[str, str]
    """Name to SHA-256 of its content, of every file that counts."""

    @property
    def sha256(self) -> str:
        """The model's digest.

        Examples
        --------
        >>> ModelFiles(Path("models/vit"), {"config.json": "a1", "model.safetensors": "b2"}).sha256[:12]
        '533f64b8d06f'
        """
        lines = "".join(f"{name} {digest}\n" for name, digest in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    @property
    def weights(self) -> list[Path]:
        """Files of tensors, in the order of names."""
        return [self.folder / name for name in sorted(self.hashes) if name.endswith(".safetensors")]

    def read_json(self, name: str, source: str) -> dict[str, Any]:
        """Return what a JSON file holds; ConfigurationError if it is no object."""
        return _parsed((self.folder / name).read_bytes(), f"{source}/{name}")


def locate(source: str) -> tuple[str, bool]:
    """Return where a model is, in words that every process of this node understands, and whether that is on disk.

    Examples
    --------
    >>> locate("s3://lake/models/vit/"), locate("file:///models/vit")
    (('s3://lake/models/vit', False), ('/models/vit', True))
    """
    protocol, mark, path = source.partition("://")
    if mark and protocol not in {"file", "local"}:
        return source.rstrip("/"), False
    return str(Path(path if mark else source).absolute()), True


def open_model(source: str, options: dict[str, Any], sha256: str | None = None) -> ModelFiles:
    """Return a model's files on this node, hashed just now.

    Parameters
    ----------
    source
        Directory or URI.
    options
        Of its filesystem.
    sha256
        Digest that is expected. A copy that has it is used without a look at the source; whether another digest will
        do is for the caller to say.

    Raises
    ------
    ConfigurationError
        The directory lacks a file, or holds pickles only.
    InfrastructureError
        Storage did not answer, or the cache cannot be written.
    """
    place, local = locate(source)
    try:
        if local:
            return _hashed(Path(place), place)
        cache = cache_folder()
        if sha256:
            found = _cached(cache / sha256, sha256)
            if found:
                return found
        return _fetched(Store(place, options), cache)
    except OSError as error:
        raise InfrastructureError(f"{place}: cannot read it or keep a copy here: {first_line(error)}") from error


def cache_folder() -> Path:
    """Return the folder that holds copies of models, which nobody else can write to: a verified copy stays what it is.

    It lies in ``XDG_CACHE_HOME``, else in the folder for temporary files.
    """
    user, home = os.getuid(), os.environ.get("XDG_CACHE_HOME")
    folder = Path(home, "featflow", "models") if home else Path(tempfile.gettempdir(), f"featflow-models-{user}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != user:
        raise InfrastructureError(f"{folder} belongs to another user; set XDG_CACHE_HOME to a folder of your own")
    return folder


def _cached(folder: Path, sha256: str) -> ModelFiles | None:
    """Return a copy, or None after it was thrown away because its content is not what its name says."""
    if not folder.is_dir():
        return None
    try:
        found = _hashed(folder, str(folder))
        if found.sha256 == sha256:
            return found
    except ConfigurationError:  # it lacks a file
        pass
    trash = folder.with_name(f".{uuid.uuid4().hex}")
    folder.rename(trash)
    shutil.rmtree(trash)
    return None


def _fetched(store: Store, cache: Path) -> ModelFiles:
    """Copy a model to the cache, whole or not at all; whoever is first wins."""
    partial = cache / f".{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        found = _copied(store, partial)
        final = cache / found.sha256
        if not _cached(final, found.sha256):
            try:
                partial.rename(final)
            except OSError:
                if not final.is_dir():
                    raise
        return ModelFiles(final, found.hashes)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _copied(store: Store, folder: Path) -> ModelFiles:
    for name in _names(store, store.root):
        (folder / name).write_bytes(_read(store, name))
    return _hashed(folder, store.root)


def _hashed(folder: Path, source: str) -> ModelFiles:
    hashes = {}
    for name in _names(Store(str(folder)), source):
        with (folder / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelFiles(folder, hashes)


def _names(store: Store, source: str) -> list[str]:
    """Return the names of the files that count."""
    there = set(store.names(""))
    if not there:
        raise ConfigurationError(f"{source}: no such directory, or an empty one; every node must see it, or give a URI")
    weights = [WEIGHTS]
    if WEIGHTS not in there and INDEX in there:
        weights = [INDEX, *_shards(_read(store, INDEX), f"{source}/{INDEX}")]
    elif WEIGHTS not in there and any(name.endswith(PICKLES) for name in there):
        raise ConfigurationError(
            f"{source} lacks {WEIGHTS}; pickles and other formats of weights are not loaded. Where you trust the file, "
            "load the model with transformers once and call save_pretrained"
        )
    names = [CONFIG, PREPROCESSOR, *weights]
    lacking = [name for name in names if name not in there]
    if lacking:
        raise ConfigurationError(
            f"{source} lacks {', '.join(lacking)}; save the model and its image processor there with save_pretrained"
        )
    return names


def _shards(index: bytes, where: str) -> list[str]:
    """Return the names of the files that an index names, none of which leads out of the directory."""
    places = _parsed(index, where).get("weight_map")
    names = sorted(set(map(str, places.values()))) if isinstance(places, dict) else []
    odd = [name for name in names if not name.endswith(".safetensors") or set(name) & set("/\\")]
    if odd or not names:
        what = repr(odd[0]) if odd else "no file"
        raise ConfigurationError(f"{where}: weight_map names {what}; it takes safetensors files beside it")
    return names


def _read(store: Store, name: str) -> bytes:
    try:
        return store.read(name)
    except FileNotFoundError:
        raise ConfigurationError(f"{store.root} lacks {name}; was it changed just now?") from None


def _parsed(content: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ConfigurationError(f"{where}: not JSON: {first_line(error)}") from None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{where}: holds no JSON object")
    return found
