"""Formats of pictures: the one list of those that are opened, and the sizes of what they would decode.

Pillow identifies some forty formats. It hands PostScript to another program; it decodes icons when it opens them; and
an icon, or a TIFF of tiles, says little of how large the picture is that its decoder makes. So bytes are opened as
one of the formats here, whatever Pillow has, and sizes within them are looked at before anything is decoded. What
decoders print is silenced: it says no more than the status of a picture, and a dataset has millions of them.
"""

from __future__ import annotations

import ctypes
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec

from PIL import IcnsImagePlugin, IcoImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError

from featflow.transforms.images.decoding_memory import TooLargeError, planned_bytes

__all__ = ["FORMATS", "NotOpenedError", "open_picture"]

LISTED = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "ICO", "ICNS", "TGA")
"""Pillow's names of formats that are opened, in the order in which they are tried; TGA, which has no signature, last.
Each decodes the first picture of its bytes in this process, and its size is known beforehand."""
NOT_OPENED = {
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
    b"%PDF-": "PDF",
    b"8BPS": "Photoshop",
    b"\xd7\xcd\xc6\x9a": "WMF",
    b"<svg": "SVG",
    b"SIMPLE  =": "FITS",
    b"DDS ": "DDS",
    b"BLP1": "BLP",
    b"BLP2": "BLP",
    b"qoif": "QOI",
    b"/* XPM": "XPM",
    b"\x89HDF": "HDF5",
    b"\x01\xda": "SGI",
    b"\x59\xa6\x6a\x95": "Sun raster",
}
"""First bytes of formats that are known and not opened: they start programs, hold other things beside pictures, or are
too rare to be looked at."""
NOT_OPENED_BRANDS = {b"ftypheic": "HEIC", b"ftypheix": "HEIC", b"ftyphevc": "HEIC"}
"""Brands of ISO media files that are known and not opened; they stand behind a length of four bytes."""
ICO, JPEG, PPM = b"\0\0\1\0", b"\xff\xd8", (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")
JPEG_SCAN, MOST_SCANS = b"\xff\xda", 500
"""How a scan of a JPEG begins, as no code of pixels does; and most scans, of which 2,000 in 22 kB took 7 s. Progressive
JPEGs have some ten; libjpeg-turbo's own tools stop at 500, too."""
MOST_OF_RUNS = 2**24
"""Most pixels of a BMP of runs, whose decoder is in Python: 100 million took 40 s, from 1,094 bytes."""
PPM_HEADER_BYTES = 2**16
"""Bytes in which the header of a PPM ends, comments included; 50 MB of a comment took 20 s."""
TILE_WIDTH, TILE_LENGTH = TiffImagePlugin.TILEWIDTH, 323
"""TIFF's tags of the sides of a tile, which its decoder makes whole, however small the picture is."""


class NotOpenedError(Exception):
    """Bytes are of a format that is not opened, which the message names."""


def open_picture(data: bytes, most_pixels: int, admit: Callable[[int], object]) -> Image.Image:
    """Return the picture that bytes hold, identified and not decoded.

    Parameters
    ----------
    admit
        Is told the bytes that decoding takes at most, before any of it; may wait, or raise TooLargeError.

    Raises
    ------
    NotOpenedError
        The format is none of `FORMATS`.
    TooLargeError
        Decoding would make more than ``most_pixels`` pixels, or take more memory than a picture may.
    UnidentifiedImageError
        The bytes are of no format that is known; Pillow raises other errors for damage.

    Examples
    --------
    >>> sink = io.BytesIO()
    >>> Image.new("L", (4, 3)).save(sink, "ICNS")
    >>> open_picture(sink.getvalue(), 2**20, admit=lambda nbytes: None).format
    'ICNS'
    >>> open_picture(b"%!PS-Adobe-3.0 EPSF-3.0", 2**20, admit=lambda nbytes: None)
    Traceback (most recent call last):
    ...
    featflow.transforms.images.formats.NotOpenedError: PostScript is not decoded; convert it to PNG or JPEG
    """
    for start, known in ((data, NOT_OPENED), (data[4:12], NOT_OPENED_BRANDS)):
        if start.startswith(tuple(known)):
            name = next(name for signature, name in known.items() if start.startswith(signature))
            raise NotOpenedError(f"{name} is not decoded; convert it to PNG or JPEG")
    _check_work(data)
    if data.startswith(ICO):  # Pillow decodes an icon when it opens it
        size = _size_in_ico(data)
        _check_size(size, most_pixels)
        admit(planned_bytes("ICO", "RGBA", size))
        return Image.open(io.BytesIO(data), formats=FORMATS)
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    sizes = [image.size, *_inner_sizes(image, data)]
    for size in sizes:
        _check_size(size, most_pixels)
    if image.tile and image.tile[0].codec_name == "bmp_rle":
        _check_size(image.size, MOST_OF_RUNS)
    admit(max(planned_bytes(image.format, image.mode, size) for size in sizes))
    return image


def _check_work(data: bytes) -> None:
    """Raise for bytes that would keep a decoder busy out of all proportion, before one is asked."""
    if data.startswith(JPEG) and data.count(JPEG_SCAN) > MOST_SCANS:
        raise NotOpenedError(f"a JPEG of more than {MOST_SCANS} scans is not decoded; store it anew")
    if data.startswith(PPM) and len(data) > PPM_HEADER_BYTES:  # read byte by byte, in Python
        Image.open(io.BytesIO(data[:PPM_HEADER_BYTES]), formats=("PPM",))


def _check_size(size: tuple[int, int], most_pixels: int) -> None:
    width, height = size
    if width * height > most_pixels:
        raise TooLargeError(f"{width} x {height} pixels; at most {most_pixels:,} are decoded")


def _inner_sizes(image: Image.Image, data: bytes) -> Iterator[tuple[int, int]]:
    """Yield sizes of what is decoded for an opened picture beside its own."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        yield image.tag_v2.get(TILE_WIDTH, 0), image.tag_v2.get(TILE_LENGTH, 0)
    elif isinstance(image, IcnsImagePlugin.IcnsImageFile):
        codes = [code for code, _ in image.icns.SIZES[image.best_size]]
        for start, _ in (image.icns.dct[code] for code in codes if code in image.icns.dct):
            # What is neither is pixels as they are, of the size that the code stands for: at most 128 x 128.
            with suppress(UnidentifiedImageError):
                yield _opened_at(data, start, ("PNG", "JPEG2000")).size


def _size_in_ico(data: bytes) -> tuple[int, int]:
    """Return the size of the picture that Pillow takes of an icon: the largest, by what the icon's directory says."""
    image = _opened_at(data, IcoImagePlugin.IcoFile(io.BytesIO(data)).entry[0].offset, ("PNG", "DIB"))
    # A bitmap has its mask below it and is twice as high as it looks.
    return image.size if image.format == "PNG" else (image.width, image.height // 2)


def _opened_at(data: bytes, start: int, formats: tuple[str, ...]) -> Image.Image:
    return Image.open(io.BytesIO(data[start:]), formats=formats)


def _silence_decoders() -> None:
    """Let Pillow, its logger and libtiff print nothing; libtiff writes to the process's standard error."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL + 1)
    core_file = find_spec("PIL._imaging")
    # Functions are sought in what Pillow's core is linked to; a libtiff that is hidden inside of it keeps its voice.
    with suppress(OSError, AttributeError):
        core = ctypes.CDLL(core_file.origin if core_file else None)
        for setter in (core.TIFFSetErrorHandler, core.TIFFSetWarningHandler):
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)


Image.MAX_IMAGE_PIXELS = None  # the limit is the caller's, checked before anything is decoded
Image.init()
FORMATS = tuple(name for name in LISTED if name in Image.OPEN)
"""The formats of `LISTED` that the installed Pillow has."""
_silence_decoders()
