"""Bytes of sound pictures changed at random: a status or a picture, the same one again, in bounded time and memory.

In the long run a thousand: ``FEATFLOW_MUTATIONS=34 pytest tests/faults/test_mutated_pictures.py -s``.
"""

from __future__ import annotations

import os
import sys
from collections import Counter

import numpy as np
from faults.outcomes import outcomes
from PIL import Image
from transforms.images.hostile import encoded

from featflow.transforms.images.decoding_memory import PIXEL_BYTES, SMALL_BYTES
from featflow.transforms.images.pictures import Status

COPIES = int(os.environ.get("FEATFLOW_MUTATIONS", "6"))
"""Copies of each of the pictures; 200 in the long run, which allows a hundred million pixels, as runs do."""
MOST_PIXELS = 10**8 if COPIES > 6 else 2**20
NUMBERS = [0, 1, 2, 127, 128, 255]
EXTREMES = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\1\0\0", b"\x27\x0f\x27\x0f", b"\0\0\x27\x0f"]


def sound():
    """Small pictures of all formats, and of most of their kinds."""
    noise = np.random.default_rng(11).integers(0, 256, (40, 48, 4), dtype=np.uint8)
    rgba = Image.fromarray(noise)
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    palette, wide = grey.convert("P"), Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    frames = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "JPEG": [(rgb, {"exif": turned}), (grey, {"progressive": True}), (rgba.convert("CMYK"), {})],
        "PNG": [(rgba, {"exif": turned}), (palette, {"transparency": 3}), (wide, {}), (rgb, frames)],
        "WEBP": [(rgba, {"lossless": True}), (rgb, {"exif": turned}), (rgb, frames)],
        "AVIF": [(rgba, {"speed": 10}), (rgb, frames | {"speed": 10})],
        "GIF": [(palette, {}), (rgb, frames)],
        "BMP": [(rgb, {}), (palette, {})],
        "TIFF": [(rgba, {"compression": kind}) for kind in ("raw", "tiff_lzw", "tiff_adobe_deflate")]
        + [(rgb, {"compression": "jpeg"}), (grey.convert("1"), {"compression": "group4"}), (wide, {})],
        "JPEG2000": [(rgb, {}), (rgba, {"no_jp2": True})],
        "PPM": [(rgb, {}), (wide, {})],
        "ICO": [(rgba, {}), (rgba, {"bitmap_format": "bmp"})],
        "ICNS": [(rgba, {"sizes": [(16, 16)]})],
        "TGA": [(rgba, {"compression": "tga_rle"})],
    }
    return {
        f"{kind} {number}": encoded(image, kind, **options)
        for kind, each in kinds.items()
        for number, (image, options) in enumerate(each)
    }


def changed(data, random):
    """A copy with some bytes of its header or of anywhere changed, cut, doubled, or set to numbers that are extreme."""
    data, start = bytearray(data), int(random.choice([40, 400, 10**9]))
    for place in random.integers(0, min(len(data), start), random.integers(1, 4)):
        match random.integers(4):
            case 0:
                data[place : place + 4] = random.choice(EXTREMES)
            case 1:
                data[place] = random.choice(NUMBERS)
            case _:
                data[place] ^= int(random.integers(1, 256))
    match random.integers(8):
        case 0:
            del data[int(random.integers(len(data))) :]
        case 1:
            first, last = sorted(random.integers(0, len(data), 2))
            data[last:last] = data[first:last] * int(random.integers(1, 9))
    return bytes(data)


def test_changed_bytes_of_pictures_are_a_picture_or_a_status(tmp_path):
    random = np.random.default_rng(11)
    pictures = sound()
    paths = []
    for name, data in pictures.items():
        for number in range(COPIES):
            paths.append(tmp_path / f"{MOST_PIXELS} {name} {number}")
            paths[-1].write_bytes(changed(data, random) if number else data)
    found = outcomes("picture", paths, tmp_path)
    statuses = [outcome.partition(":")[0] for outcome, _ in found]
    assert set(statuses) <= set(Status)
    assert set(statuses[::COPIES]) == {"ok"}, "the sound ones"
    sys.stdout.write(f"{Counter(statuses)}\n")
    most = MOST_PIXELS * PIXEL_BYTES + SMALL_BYTES
    assert {path.name: peak for path, (_, peak) in zip(paths, found, strict=True) if peak > most} == {}
