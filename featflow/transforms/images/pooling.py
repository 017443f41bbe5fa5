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
        What the output is of, shape (pictures, 3, height, width).

    Examples
    --------
    >>> pixels, tokens = torch.zeros(1, 3, 16, 16), torch.zeros(1, 5, 6)
    >>> poolings({"last_hidden_state": tokens}, 8, pixels), poolings({"last_hidden_state": tokens[:, 1:]}, 8, pixels)
    (['cls', 'mean'], ['mean'])
    """
    hidden = output.get("last_hidden_state")
    possible = {
        "pooler": _of_pooler(output) is not None,
        "cls": hidden is not None and hidden.ndim == 3 and _tokens_before(hidden, patch_size, pixels) > 0,
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
        found: torch.Tensor = _of_pooler(output).flatten(1).float()
        return found
    hidden: torch.Tensor = output["last_hidden_state"].float()
    if pooling == "cls":
        return hidden[:, 0]
    if hidden.ndim == 4:
        return hidden.flatten(2).mean(2)
    return hidden[:, _tokens_before(hidden, patch_size, pixels) :].mean(1)


def _of_pooler(output: Any) -> Any:
    found = output.get("image_embeds")
    return output.get("pooler_output") if found is None else found


def _tokens_before(hidden: torch.Tensor, patch_size: Any, pixels: torch.Tensor) -> int:
    """Return how many tokens, such as that of the class, stand before those of patches."""
    if not patch_size:
        return 0
    down, right = patch_size if isinstance(patch_size, list | tuple) else (patch_size, patch_size)
    return max(hidden.shape[1] - int(pixels.shape[2] // down * (pixels.shape[3] // right)), 0)
