"""The one vector of a picture among the outputs of a vision model.

- ``pooler``: its pooler's output. Of CLIP it is ``image_embeds``, where the weights of the projection are there.
- ``cls``: the last hidden state of the first token.
- ``mean``: the mean of the last hidden state over patches, without tokens before them; over places of a feature map.
"""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["pooled", "poolings"]


def poolings(output: Any, patch_size: Any, pixels: torch.Tensor) -> list[str]:
    """Return the poolings that a model's output allows, the best first: pooler, cls, mean.

    Parameters
    ----------
    output
        Of a model of transformers: a mapping of names to tensors.
    patch_size
        Pixels of a patch's side, or of its height and width; None where a model does not say.
    pixels
        The model's input, shape (pictures, 3, height, width).

    Examples
    --------
    >>> pixels, tokens = torch.zeros(1, 3, 16, 16), torch.zeros(1, 5, 6)
    >>> poolings({"last_hidden_state": tokens}, 8, pixels), poolings({"last_hidden_state": tokens[:, 1:]}, 8, pixels)
    (['cls', 'mean'], ['mean'])
    """
    hidden = output.get("last_hidden_state")
    possible = {
        "pooler": _pooler_output(output) is not None,
        "cls": hidden is not None and hidden.ndim == 3 and _leading_tokens(hidden, patch_size, pixels) > 0,
        "mean": hidden is not None and hidden.ndim in {3, 4},
    }
    return [name for name, is_possible in possible.items() if is_possible]


def pooled(output: Any, pooling: str, patch_size: Any, pixels: torch.Tensor) -> torch.Tensor:
    """Return the vectors that a model's output holds, shape (pictures, width), float32.

    Parameters
    ----------
    pooling
        One of `poolings`, which describes the others.
    """
    if pooling == "pooler":
        vectors: torch.Tensor = _pooler_output(output).flatten(1).float()
        return vectors
    hidden: torch.Tensor = output["last_hidden_state"].float()
    if pooling == "cls":
        return hidden[:, 0]
    if hidden.ndim == 4:
        return hidden.flatten(2).mean(2)
    return hidden[:, _leading_tokens(hidden, patch_size, pixels) :].mean(1)


def _pooler_output(output: Any) -> Any:
    projected = output.get("image_embeds")
    return output.get("pooler_output") if projected is None else projected


def _leading_tokens(hidden: torch.Tensor, patch_size: Any, pixels: torch.Tensor) -> int:
    """Return the number of tokens, such as that of the class, before those of patches."""
    if not patch_size:
        return 0
    down, right = patch_size if isinstance(patch_size, list | tuple) else (patch_size, patch_size)
    return max(hidden.shape[1] - int(pixels.shape[2] // down * (pixels.shape[3] // right)), 0)
