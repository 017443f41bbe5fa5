"""What decoding a picture takes, planned from its header, and how many pictures are decoded at once by that plan.

A small file may be a large picture: 97 kB are 100 million pixels of a palette. Bytes a pixel are measured (Pillow 13,
the peak of a process beyond its own, 9 million pixels that are converted to RGB and turned upright): a JPEG takes 4 to
12, a PNG 4 to 12, WebP 16 to 19, AVIF 10 to 16, JPEG 2000 6 to 25. Plans lie above, as a header says little of how a
file is coded.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

__all__ = ["PIXEL_BYTES", "SMALL_BYTES", "STRIP", "DecodingMemory", "TooLargeError", "check_most", "planned_bytes"]

PIXEL_BYTES = 32
"""Bytes a pixel that no plan of a picture exceeds which is wider than some pixels."""
STRIP = 2**20
"""Pixels that are converted at once: copies of a strip take some 24 MiB, those of 100 million pixels took 1.8 GiB."""
SMALL_BYTES = 32 * 2**20
"""Bytes that any picture may take, beside those of its pixels: copies of a strip."""
LARGE_BYTES = 256 * 2**20
"""Bytes of a picture whose memory is given back to the system: glibc keeps what threads free for each of them. Four
threads that decoded pictures of 100 million pixels one after the other held 1.8 GiB, and 0.5 GiB with this."""
ROW_BYTES = 24
"""Bytes of a row beside its pixels: a pointer in each of three pictures."""
STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
"""Bytes a pixel of Pillow's modes; 4 in all others."""
OF_BANDS = {"BMP": 3, "JPEG": 2, "JPEG2000": 4, "PPM": 3}
"""Bytes a pixel and band that decoders hold: coefficients of all scans, integers of all tiles, Python's copies."""
OF_DECODERS = {"AVIF": 16, "GIF": 4, "ICNS": 18, "ICO": 12, "TIFF": 4, "WEBP": 12}
"""Bytes a pixel that decoders hold: planes of colours, canvases of animations, pictures in icons, whole strips."""


class TooLargeError(Exception):
    """A picture has more pixels than are allowed, or holds one that has, or takes more memory."""


def planned_bytes(kind: str | None, mode: str, size: tuple[int, int]) -> int:
    """Return the bytes that decoding takes at most, from reading to an upright picture in three channels.

    Parameters
    ----------
    kind
        Pillow's name of the format.
    size
        Width and height.

    Examples
    --------
    >>> [round(planned_bytes(kind, "RGB", (12_000, 8_000)) / 2**20) for kind in ("PNG", "JPEG", "WEBP")]
    [757, 1306, 1855]
    """
    pixels = size[0] * size[1]
    bands = Image.getmodebands(mode)
    decoder = OF_DECODERS.get(kind or "", 0) + OF_BANDS.get(kind or "", 0) * bands
    converted = 4 if mode == "RGB" else 8  # in three channels, and upright
    each = STORED.get(mode, 4) + decoder + converted
    return pixels * each + size[1] * ROW_BYTES + ROW_BYTES * min(pixels, STRIP)


class DecodingMemory:
    """Memory that the threads of a task share, and that a picture is given before it is decoded.

    Parameters
    ----------
    shared
        Bytes of pictures that are decoded at once; one that takes more is decoded alone.
    most
        Bytes of a picture beyond which it is not decoded.
    """

    def __init__(self, shared: int, most: int) -> None:
        self._free = self._shared = shared
        self.most = most
        self._given_back = threading.Condition()

    @contextmanager
    def given(self, nbytes: int) -> Iterator[None]:
        """Wait until so much is free, and hold it.

        Raises
        ------
        TooLargeError
            The picture takes more than any may.
        """
        check_most(nbytes, self.most)
        held = min(nbytes, self._shared)
        with self._given_back:
            self._given_back.wait_for(lambda: self._free >= held)
            self._free -= held
        try:
            yield
        finally:
            if nbytes >= LARGE_BYTES:
                _trim()
            with self._given_back:
                self._free += held
                self._given_back.notify_all()


def _trim() -> None:
    """Give memory that is free back to the system, where the C library has a function for it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


def check_most(nbytes: int, most: int) -> None:
    """Raise TooLargeError if a picture takes more memory than one may."""
    if nbytes > most:
        raise TooLargeError(
            f"decoding it takes {nbytes / 2**20:,.0f} MiB, and a picture may take {most / 2**20:,.0f}: three quarters "
            "of budget.memory, and 32 bytes for each of its most_pixels"
        )
