"""PNG without its metadata, for pictures that are sound beside text, times or profiles that are not.

Pillow takes a broken chunk for a broken picture, whichever it is, and text of more than a megabyte for an attack. The
standard lets a decoder pass over every chunk whose name begins with a small letter (Portable Network Graphics, third
edition, section 5.4).
"""

from __future__ import annotations

import zlib

__all__ = ["SIGNATURE", "without_metadata"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
OF_PIXELS = {b"tRNS", b"eXIf"}
"""Chunks that may be passed over and decide what is seen: transparency, and orientation."""
FRAME = 12
"""Bytes of a chunk beside its data: length, name and checksum."""


def without_metadata(data: bytes) -> bytes:
    r"""Return a PNG without the chunks that decide no pixel, and without those whose checksum is wrong.

    Examples
    --------
    >>> text, end = b"\0\0\0\0tEXt\0\0\0\0", b"\0\0\0\0IEND\xae\x42\x60\x82"
    >>> without_metadata(SIGNATURE + text + end) == SIGNATURE + end
    True
    """
    kept, start = [SIGNATURE], len(SIGNATURE)
    while start + FRAME <= len(data):
        end = start + FRAME + int.from_bytes(data[start : start + 4])
        name = data[start + 4 : start + 8]
        may_be_left_out = name[:1].islower()
        sound = zlib.crc32(memoryview(data)[start + 4 : end - 4]).to_bytes(4) == data[end - 4 : end]
        if not may_be_left_out or (name in OF_PIXELS and sound):
            kept.append(data[start:end])
        start = end
    return b"".join(kept)
