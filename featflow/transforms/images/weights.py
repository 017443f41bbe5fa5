"""Directories of models that were saved with save_pretrained: required files, digest, and a copy on the node.

A model consists of config.json, preprocessor_config.json and model.safetensors, or model.safetensors.index.json and the
files it names; other files are neither read nor copied. The digest is the SHA-256 of the lines
``<name> <SHA-256 of the file>`` in the order of names. A directory on a local disk is used where it is. Any other is
copied once to the node's cache, under its digest; copies are hashed again before they are used.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
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
MOST_JSON, MOST_WEIGHTS = 2**24, 2**36
"""Bytes of a file of JSON, where 21,000 labels take two million; and of a file of tensors: 18 billion weights."""
MOST_DEPTH = 32
"""Lists and objects in one another in a file of JSON."""
ERRNOS_AT_FAULT = {errno.EACCES, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR}
"""Errors of a path that another attempt does not mend."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
"""Formats that are refused with a hint: loading a pickle may run code, the others need other libraries."""


@dataclass(frozen=True)
class ModelFiles:
    """The files of a model, on this node."""

    folder: Path
    """The directory that holds them."""
    hashes: dict[str, str]
    """SHA-256 of the content of each required file, by name."""

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
        """Return the object in a JSON file; ConfigurationError if it holds another value."""
        return _json_object((self.folder / name).read_bytes(), f"{source}/{name}")


def locate(source: str) -> tuple[str, bool]:
    """Return a model's absolute path or its URI, which all processes of this node can open, and whether it is on disk.

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
    """Return a model's files on this node, freshly hashed.

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
        The directory lacks a file, holds pickles only, or something else than regular files of bounded size.
    InfrastructureError
        Storage did not answer, or the cache cannot be written.
    """
    place, local = locate(source)
    try:
        if local:
            return _hash_files(Path(place), place)
        cache = cache_folder()
        if sha256:
            copy = _verified_copy(cache / sha256, sha256)
            if copy:
                return copy
        return _fetch(Store(place, options), cache)
    except OSError as error:
        raise InfrastructureError(f"{place}: cannot read it or keep a copy here: {first_line(error)}") from error


def cache_folder() -> Path:
    """Return the folder of models' copies, which no other user can write to: a verified copy stays unchanged.

    It lies in ``XDG_CACHE_HOME``, else in the folder for temporary files.
    """
    user, home = os.getuid(), os.environ.get("XDG_CACHE_HOME")
    folder = Path(home, "featflow", "models") if home else Path(tempfile.gettempdir(), f"featflow-models-{user}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != user:
        raise InfrastructureError(f"{folder} belongs to another user; set XDG_CACHE_HOME to a folder of your own")
    return folder


def _verified_copy(folder: Path, sha256: str) -> ModelFiles | None:
    """Return a copy whose digest is its name; else delete it and return None."""
    if not folder.is_dir():
        return None
    try:
        copy = _hash_files(folder, str(folder))
        if copy.sha256 == sha256:
            return copy
    except ConfigurationError:  # it lacks a file
        pass
    # A rename takes the copy out of other processes' sight at once; deleting it takes time.
    trash = folder.with_name(f".{uuid.uuid4().hex}")
    folder.rename(trash)
    shutil.rmtree(trash)
    return None


def _fetch(store: Store, cache: Path) -> ModelFiles:
    """Copy a model to the cache, complete or not at all; of several processes the first one's copy stays."""
    partial = cache / f".{uuid.uuid4().hex}"
    partial.mkdir()
    try:
        files = _download(store, partial)
        final = cache / files.sha256
        if not _verified_copy(final, files.sha256):
            try:
                partial.rename(final)
            except OSError:
                if not final.is_dir():
                    raise
        return ModelFiles(final, files.hashes)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(store: Store, folder: Path) -> ModelFiles:
    for name in _required_names(store, store.root):
        (folder / name).write_bytes(_read_file(store, name))
    return _hash_files(folder, store.root)


def _hash_files(folder: Path, source: str) -> ModelFiles:
    hashes = {}
    for name in _required_names(Store(str(folder)), source):
        _check_file(folder / name)
        with (folder / name).open("rb") as file:
            hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return ModelFiles(folder, hashes)


def _check_file(path: Path) -> None:
    """Raise ConfigurationError for what is no regular file of bounded size: a pipe is waited for, a device has no end.

    Other errors of the file system are raised as they are.
    """
    try:
        status = path.stat()
    except OSError as error:
        if error.errno in ERRNOS_AT_FAULT:
            raise ConfigurationError(f"{path}: {first_line(error)}; put a model's file there") from error
        raise
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is no regular file; put a model's file there")
    most = MOST_JSON if path.suffix == ".json" else MOST_WEIGHTS
    if status.st_size > most:
        raise ConfigurationError(f"{path} has {status.st_size:,} bytes; at most {most:,} are read")


def _required_names(store: Store, source: str) -> list[str]:
    """Return the names of a model's required files."""
    existing = set(store.names(""))
    if not existing:
        raise ConfigurationError(f"{source}: no such directory, or an empty one; every node must see it, or give a URI")
    weights = [WEIGHTS]
    if WEIGHTS not in existing and INDEX in existing:
        weights = [INDEX, *_weight_files(_read_file(store, INDEX), f"{source}/{INDEX}")]
    elif WEIGHTS not in existing and any(name.endswith(PICKLES) for name in existing):
        raise ConfigurationError(
            f"{source} lacks {WEIGHTS}; pickles and other formats of weights are not loaded. Where you trust the file, "
            "load the model with transformers once and call save_pretrained"
        )
    names = [CONFIG, PREPROCESSOR, *weights]
    missing = [name for name in names if name not in existing]
    if missing:
        raise ConfigurationError(
            f"{source} lacks {', '.join(missing)}; save the model and its image processor there with save_pretrained"
        )
    return names


def _weight_files(index: bytes, where: str) -> list[str]:
    """Return the names of the files that an index names, none of which leads out of the directory."""
    weight_map = _json_object(index, where).get("weight_map")
    names = sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []
    invalid = [name for name in names if not name.endswith(".safetensors") or set(name) & set("/\\")]
    if invalid or not names:
        problem = repr(invalid[0]) if invalid else "no file"
        raise ConfigurationError(f"{where}: weight_map names {problem}; it takes safetensors files beside it")
    return names


def _read_file(store: Store, name: str) -> bytes:
    if locate(store.root)[1]:
        _check_file(Path(locate(store.root)[0], name))
    try:
        return store.read(name)
    except FileNotFoundError:
        raise ConfigurationError(f"{store.root} lacks {name}; was it changed just now?") from None


def _json_object(content: bytes, where: str) -> dict[str, Any]:
    """Return the object that JSON holds; ConfigurationError if it holds another value, or is large or deep."""
    if len(content) > MOST_JSON:
        raise ConfigurationError(f"{where} has {len(content):,} bytes; at most {MOST_JSON:,} are read")
    try:
        value = json.loads(content)
        deep = _depth(value) > MOST_DEPTH
    except RecursionError:
        deep = True
    except ValueError as error:
        raise ConfigurationError(f"{where}: not JSON: {first_line(error)}") from None
    if deep:
        raise ConfigurationError(f"{where}: its values lie more than {MOST_DEPTH} deep")
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: holds no JSON object")
    return value


def _depth(value: Any) -> int:
    """Return how deep values lie in lists and objects, without a call for each."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        depth += 1
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
    return depth
