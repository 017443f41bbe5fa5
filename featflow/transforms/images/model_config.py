"""Numbers of a model's config.json, checked before a library builds what they say.

A file of some kilobytes may ask for 100,000 layers or a table of a billion labels, which take minutes and all memory
before a weight is missed. A layer has a tensor at least, so the tensors that are there bound what may be built.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from featflow.errors import ConfigurationError

__all__ = ["check_weights", "network_config"]

COUNTS = re.compile(r"layers|depth|stages|blocks")
"""Keys of numbers of layers, or lists of such numbers."""
LARGEST, LONGEST = 2**31, 2**12
"""Largest whole number, and items of the longest list."""
SPARE_WEIGHTS = 2**24
"""Weights that a model may have beyond twice those of its files: of a pooler, and tables that are computed."""
LABELS = {"num_labels", "id2label", "label2id"}
"""Keys of classes, which vectors do not need: a number of them alone makes a table."""


def network_config(config: Mapping[str, Any], tensors: int, where: str) -> dict[str, Any]:
    """Return a configuration without labels and without names of attention kernels, which may be those of a hub.

    Parameters
    ----------
    tensors
        Number of tensors in the model's files.
    where
        Named in messages: the file.

    Raises
    ------
    ConfigurationError
        A number is beyond any model, or says more layers than there are tensors.

    Examples
    --------
    >>> network_config({"num_hidden_layers": 2, "id2label": {"0": "cat"}}, 40, "models/vit/config.json")
    {'num_hidden_layers': 2}
    >>> network_config({"vision_config": {"num_hidden_layers": 100_000}}, 40, "models/clip/config.json")
    Traceback (most recent call last):
    ...
    featflow.errors.ConfigurationError: models/clip/config.json: num_hidden_layers is 100000, and there are 40 tensors
    """
    checked: dict[str, Any] = {}
    for key, value in config.items():
        if key in LABELS or key.endswith("attn_implementation"):
            continue
        if isinstance(value, dict):
            checked[key] = network_config(value, tensors, where)
            continue
        items = value if isinstance(value, list) else [value]
        numbers = [abs(item) for item in items if isinstance(item, int) and not isinstance(item, bool)]
        if len(items) > LONGEST or max(numbers, default=0) > LARGEST:
            raise ConfigurationError(f"{where}: {key} is beyond any model: {str(value)[:40]}...; correct it")
        if COUNTS.search(key) and sum(numbers) > tensors:
            raise ConfigurationError(f"{where}: {key} is {str(value)[:40]}, and there are {tensors} tensors")
        checked[key] = value
    return checked


def check_weights(model_class: Any, config: Any, tensors: dict[str, torch.Tensor], where: str) -> None:
    """Raise ConfigurationError if a model has far more weights than its files: they would be made before it is told."""
    with torch.device("meta"):
        model = model_class(config)
    needed = sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))
    if needed > 2 * sum(tensor.numel() for tensor in tensors.values()) + SPARE_WEIGHTS:
        raise ConfigurationError(
            f"{where}: the model that it describes has {needed:,} weights, far more than its files"
        )
