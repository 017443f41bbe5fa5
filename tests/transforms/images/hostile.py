"""Pictures that are small as files and large, or long, to decode; and the memory that decoding takes."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from functools import lru_cache
from pathlib import Path

from PIL import Image

MEASURE = """
import os, resource, sys
from featflow.transforms.images.pictures import decode
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
for path in ["", *sys.argv[2:]]:
    if not os.fork():
        data = open(path, "rb").read() if path else b""
        print(decode(data, int(sys.argv[1])).status, end=" ", flush=True)
        os._exit(0)
    print(os.wait3(0)[2].ru_maxrss, flush=True)
"""


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def measured(pictures: list[bytes], most_pixels: int, folder: Path) -> list[tuple[str, int]]:
    """Return status and peak of memory in bytes of pictures, each decoded in a process of its own."""
    paths = [folder / f"{number:03}" for number in range(len(pictures))]
    for path, data in zip(paths, pictures, strict=True):
        path.write_bytes(data)
    command = [sys.executable, "-c", MEASURE, str(most_pixels), *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == "", "decoders print nothing"
    (_, least), *lines = [line.split() for line in done.stdout.splitlines()]
    return [(status, 1024 * (int(peak) - int(least))) for status, peak in lines]


# --- pieces of formats ----------------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes, checksum: int = 0) -> bytes:
    """A chunk of a PNG."""
    return len(data).to_bytes(4) + name + data + (zlib.crc32(name + data) ^ checksum).to_bytes(4)


@lru_cache
def zeros(megabytes: int) -> bytes:
    """So many megabytes of zeros, deflated: a kilobyte each."""
    deflated = zlib.compressobj(9)
    return b"".join(deflated.compress(bytes(2**20)) for _ in range(megabytes)) + deflated.flush()


def bitmap_of_runs(width: int, height: int, runs: bytes) -> bytes:
    """A BMP of a palette whose pixels are runs."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(runs), 0, 0, 256, 0) + bytes(1024)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(runs), 0, 0, 14 + len(head)) + head + runs


def with_bytes(data: bytes, place: int, new: bytes) -> bytes:
    """Data with other bytes at a place."""
    return data[:place] + new + data[place + len(new) :]
