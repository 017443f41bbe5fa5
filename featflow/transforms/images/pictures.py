"""Encoded bytes to upright pictures of three 8-bit channels, or to a status that says why not.

The rule, by what Pillow says the file holds:

- EXIF orientation is applied; of an animated image the first frame is taken.
- Grey, bilevel and palette images become RGB; 16-bit grey is divided by 257 and rounded.
- Pixels that are transparent are laid over white.
- CMYK and any other colour space become RGB as Pillow converts them, without colour profiles.
- Floating-point pixels have no scale that is known: `unsupported`.
- Metadata that is broken is as if it were not there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import PIL
from PIL import Image, UnidentifiedImageError

from featflow.dataset.image_files import encoded_text
from featflow.transforms.images.decoding_memory import STRIP, TooLargeError
from featflow.transforms.images.formats import NotOpenedError, open_picture
from featflow.transforms.images.png_chunks import SIGNATURE, without_metadata

__all__ = ["DECODER", "THUMBNAIL", "Picture", "Status", "by_shape", "decode", "pixels_of", "reduced"]

DECODER = f"pillow-{PIL.__version__}"
"""Decoder and its version, which decide pixels to the last bit."""
THUMBNAIL = 40
"""Longest side of a thumbnail: sums over its pixels stay below 2^24, where float32 is exact, and descriptors take 15 ns
for each pixel of it."""
ORIENTATION = 0x0112
"""EXIF's tag of a picture's orientation; 1 is upright."""
WIDE_GREY = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
"""Pillow's modes of 16-bit grey."""
TRANSPARENT = {"LA", "La", "PA", "RGBA", "RGBa"}
"""Pillow's modes with an alpha channel."""
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of an orientation upright. Pillow's own function rewrites metadata, too, and fails with it."""
ENCODED_START = 256
"""Bytes by whose start base64 text of a picture is known."""


class Status(StrEnum):
    """What became of an image."""

    OK = "ok"
    MISSING = "missing"
    """Null."""
    EMPTY = "empty"
    """No bytes."""
    UNREADABLE = "unreadable"
    """Its URI cannot be read."""
    NOT_AN_IMAGE = "not_an_image"
    TRUNCATED = "truncated"
    """The file ends, or breaks, before its last pixel."""
    TOO_LARGE = "too_large"
    """More pixels than are allowed, or more memory; nothing was decoded."""
    UNSUPPORTED = "unsupported"
    """A format that is not opened, or pixels of a kind that has no known scale."""
    CRASHED = "crashed"
    """Decoding it ended the process."""


DAMAGED = {Status.NOT_AN_IMAGE, Status.TRUNCATED}
"""What broken metadata looks like where a decoder takes it for a broken picture."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image, or the reason why there is none."""

    status: Status
    error: str = ""
    """What the decoder said."""
    image: Image.Image | None = None
    """Three 8-bit channels, upright; None unless the status is ok."""


def reduced(image: Image.Image, longest: int) -> np.ndarray:
    """Return the pixels averaged over squares of the fewest whole pixels that leave no side above ``longest``.

    Shape (height, width, 3), uint8.
    """
    factor = -(-max(image.size) // longest)
    return pixels_of(image if factor == 1 else image.reduce(factor))


def pixels_of(image: Image.Image) -> np.ndarray:
    """Return the pixels of a grey or an RGB image, shape (height, width) or (height, width, 3), uint8, read-only."""
    shape = (image.height, image.width) if image.mode == "L" else (image.height, image.width, 3)
    return np.frombuffer(image.tobytes(), np.uint8).reshape(shape)


def by_shape(shapes: Iterable[Hashable]) -> Iterable[tuple[Any, list[int]]]:
    """Return every shape with the indices that have it, since one computation takes pictures of one shape.

    Examples
    --------
    >>> list(by_shape([(8, 8), (4, 4), (8, 8)]))
    [((8, 8), [0, 2]), ((4, 4), [1])]
    """
    places = defaultdict[Any, list[int]](list)
    for place, shape in enumerate(shapes):
        places[shape].append(place)
    return places.items()


def decode(data: bytes | None, most_pixels: int, admit: Callable[[int], object] = abs) -> Picture:
    """Return the picture that encoded bytes hold. Raises MemoryError alone: bad bytes give a status.

    Parameters
    ----------
    most_pixels
        Pixels beyond which an image is not decoded.
    admit
        Is told the bytes that decoding takes at most, before any of it; may wait, or raise TooLargeError. `abs` does
        neither.

    Examples
    --------
    >>> decode(b"", 10**8).status.value, decode(b"no image", 10**8).status.value
    ('empty', 'not_an_image')
    """
    if not data:
        return Picture(Status.MISSING if data is None else Status.EMPTY)
    picture = _decode(data, most_pixels, admit)
    if picture.status in DAMAGED and data.startswith(SIGNATURE):
        again = _decode(without_metadata(data), most_pixels, admit)
        return again if again.status is Status.OK else picture
    return picture


def _decode(data: bytes, most_pixels: int, admit: Callable[[int], object]) -> Picture:
    try:
        with open_picture(data, most_pixels, admit) as image:
            return _upright(image)
    except MemoryError:  # says nothing of the image
        raise
    except TooLargeError as error:
        return Picture(Status.TOO_LARGE, str(error))
    except NotOpenedError as error:
        return Picture(Status.UNSUPPORTED, str(error))
    except UnidentifiedImageError:
        encoding = encoded_text(data[:ENCODED_START].decode("latin-1"))
        if encoding:
            return Picture(Status.NOT_AN_IMAGE, f"{encoding}; store the bytes that it encodes")
        return Picture(Status.NOT_AN_IMAGE, f"{len(data)} bytes of no format of pictures that is read")
    except Exception as error:  # noqa: BLE001  decoders of many formats raise what they like
        return Picture(Status.TRUNCATED, " ".join(str(error).split())[:200] or type(error).__name__)


def _upright(image: Image.Image) -> Picture:
    if image.mode == "F":
        return Picture(Status.UNSUPPORTED, "floating-point pixels")
    image.load()
    turn = TURNS.get(_orientation(image))
    if image.mode != "RGB" or "transparency" in image.info:
        image = _as_rgb(image)
    return Picture(Status.OK, "", image if turn is None else image.transpose(turn))


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation; 1, which is upright, where the metadata is broken: that harms no pixel."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001  parsers of metadata raise what they like
        return 1


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return the picture in three channels; a large one is converted in strips, whose copies take little memory."""
    rows = max(1, STRIP // image.width)
    if rows >= image.height:
        return _strip_as_rgb(image)
    converted = Image.new("RGB", image.size)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        converted.paste(_strip_as_rgb(strip), (0, top))
    return converted


def _strip_as_rgb(image: Image.Image) -> Image.Image:
    if image.mode in WIDE_GREY:
        # 65,535 is 257 x 255: white stays white.
        wide = np.clip(np.asarray(image, np.int64), 0, 65_535)
        image = Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.mode in TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")
