"""Which formats are opened, what lies within them, what decoding takes, and what decoders print."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from featflow.transforms.images.formats import FORMATS, LISTED, NOT_OPENED
from featflow.transforms.images.pictures import Status, decode

MOST = 10**6
RANDOM = np.random.default_rng(11)
PICTURE = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))


def encoded(image, kind, **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def icns(code, inner):
    body = code + (len(inner) + 8).to_bytes(4) + inner
    return b"icns" + (len(body) + 8).to_bytes(4) + body


def ico(inner, side=16, offset=22):
    return struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", side, side, 0, 0, 1, 32, len(inner), offset) + inner


def bitmap_in_icon(width, height):
    return struct.pack("<IiiHHIIiiII", 40, width, 2 * height, 1, 32, 0, 0, 0, 0, 0, 0) + bytes(5 * width * height)


def tiff(side, tile, data, tags=()):
    """A grey TIFF of one tile, deflated."""
    entries = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1), (322, tile), (323, tile)]
    entries += [(324, 8 + 2 + 12 * 10 + 4), (325, len(data))]
    rows = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + rows + struct.pack("<I", 0) + data


# --- the list -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LISTED)
def test_formats_of_the_list_are_decoded_as_pillow_decodes_them(kind):
    assert kind in FORMATS
    data = encoded(PICTURE, kind)
    picture = decode(data, 2**20)  # Pillow writes an icon of Macintosh with 1,024 x 1,024
    assert (picture.status, picture.error) == (Status.OK, "")
    with Image.open(io.BytesIO(data)) as truth:
        assert truth.format == kind
        np.testing.assert_array_equal(np.asarray(picture.image), np.asarray(truth.convert("RGB")))


def test_a_photograph_of_several_pictures_is_its_first():
    data = encoded(PICTURE, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert decode(data, MOST).image.size == PICTURE.size


MODES = {"MSP": "1", "XBM": "1", "SPIDER": "F"}


@pytest.mark.parametrize("kind", ["DDS", "EPS", "IM", "MSP", "PCX", "PDF", "QOI", "SGI", "SPIDER", "XBM"])
def test_other_formats_are_not_opened(kind):
    picture = decode(encoded(PICTURE.convert(MODES.get(kind, "RGB")), kind), MOST)
    assert picture.status in {Status.UNSUPPORTED, Status.NOT_AN_IMAGE}
    assert picture.error
    assert picture.image is None


@pytest.mark.parametrize("start", [*NOT_OPENED, b"\0\0\0\x18ftypheic"])
def test_formats_that_are_known_and_not_opened_are_named(start):
    picture = decode(start + bytes(200), MOST)
    assert picture.status is Status.UNSUPPORTED
    assert picture.error.endswith("is not decoded; convert it to PNG or JPEG")


@pytest.mark.parametrize("start", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", b""])
def test_no_program_is_started(start, tmp_path, monkeypatch):
    """PostScript may stand behind a header of DOS, too."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    body = start or b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 30, 60) + bytes(18) + b"%!PS-Adobe-3.0 EPSF-3.0\n"
    assert decode(body + b"showpage\n%%EOF\n", MOST).status is Status.UNSUPPORTED
    assert not (tmp_path / "called").exists()


# --- pictures in pictures -------------------------------------------------------------------------------------------

VAST = Image.new("L", (4_000, 3_000))
INNER = {
    "a PNG in an icon of Macintosh": lambda: icns(b"ic07", encoded(VAST.convert("1"), "PNG")),
    "a JPEG 2000 in an icon of Macintosh": lambda: icns(b"ic08", encoded(VAST, "JPEG2000")),
    "a PNG in an icon of Windows": lambda: ico(encoded(VAST.convert("1"), "PNG")),
    "a bitmap in an icon of Windows": lambda: ico(bitmap_in_icon(4_000, 3_000)[:200]),
    "a tile of a TIFF": lambda: tiff(16, 4_000, zlib.compress(bytes(4_000 * 4_000))),
    "a frame of a GIF": lambda: b"GIF89a\x10\0\x10\0" + encoded(VAST.convert("P"), "GIF")[10:],
    "the picture": lambda: encoded(VAST, "PNG"),
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Status and peak of memory in bytes of pictures, each decoded in a process of its own."""

    def measure(pictures, most_pixels):
        folder = tmp_path_factory.mktemp("pictures")
        for number, data in enumerate(pictures):
            (folder / f"{number:03}").write_bytes(data)
        command = [sys.executable, "-c", MEASURE, str(most_pixels), *map(str, sorted(folder.iterdir()))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        assert done.stderr == "", "decoders print nothing"
        (_, least), *lines = [line.split() for line in done.stdout.splitlines()]
        return [(status, 1024 * (int(peak) - int(least))) for status, peak in lines]

    return measure


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


def test_pictures_in_pictures_are_looked_at_before_they_are_decoded(measured):
    data = [make() for make in INNER.values()]
    sizes = np.array([len(each) for each in data])
    statuses, peaks = zip(*measured(data, MOST), strict=True)
    assert dict(zip(INNER, statuses, strict=True)) == dict.fromkeys(INNER, "too_large")
    assert (np.array(peaks) - 3 * sizes < 32 * 2**20).all(), dict(zip(INNER, peaks, strict=True))


def test_pictures_in_pictures_are_decoded_up_to_the_limit():
    icon = PICTURE.resize((128, 128))
    for data, pixels in (
        (icns(b"ic07", encoded(icon, "PNG")), 128 * 128),
        (icns(b"ic07", encoded(icon, "JPEG2000")), 128 * 128),
        (ico(encoded(PICTURE, "PNG"), side=64), 64 * 64),
        (ico(bitmap_in_icon(64, 64), side=64), 64 * 64),
        (tiff(16, 64, zlib.compress(bytes(64 * 64))), 64 * 64),
    ):
        assert decode(data, pixels).status is Status.OK
        assert decode(data, pixels - 1).status is Status.TOO_LARGE


def test_an_icon_that_points_nowhere_is_damaged():
    for data in (ico(b"", offset=10**9), b"\0\0\1\0\0\0", b"\0\0\1\0", icns(b"ic07", b""), b"icns\0\0\0\0"):
        assert decode(data, MOST).status in {Status.TRUNCATED, Status.NOT_AN_IMAGE}


def test_a_picture_takes_no_more_memory_than_its_pixels_allow(measured):
    """Of all formats and kinds of pixels, upright or turned: most_pixels bounds memory, 24 bytes a pixel."""
    side = 1_500
    grey = PICTURE.convert("L").resize((side, side))
    palette, wide = grey.convert("P"), Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    kinds = {
        "JPEG": [(grey, {"exif": turned}), (grey.convert("CMYK"), {"progressive": True, "exif": turned})],
        "PNG": [(each, {"exif": turned}) for each in (grey.convert("RGBA"), grey.convert("LA"), wide)]
        + [(palette, {"transparency": 3}), (grey.convert("1"), {})],
        "WEBP": [(grey.convert("RGB"), {"exif": turned}), (grey.convert("RGBA"), {"exif": turned})],
        "AVIF": [(grey.convert("RGBA"), {"speed": 10})],
        "GIF": [(palette, {})],
        "TIFF": [(wide, {}), (grey.convert("RGBA"), {"compression": "tiff_lzw", "exif": turned})],
        "JPEG2000": [(grey.convert("RGBA"), {})],
        "TGA": [(grey.convert("RGBA"), {})],
    }
    pictures = {f"{kind} {image.mode}": encoded(image, kind, **o) for kind, each in kinds.items() for image, o in each}
    for name, (status, peak) in zip(pictures, measured(pictures.values(), side * side), strict=True):
        assert status == "ok", name
        assert peak < 24 * side * side + 3 * len(pictures[name]) + 16 * 2**20, name


def test_large_pictures_are_converted_in_strips_to_the_same_pixels():
    alpha = RANDOM.integers(0, 256, (1_400, 1_500, 4), dtype=np.uint8)
    image = Image.fromarray(alpha)
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    np.testing.assert_array_equal(np.asarray(decode(encoded(image, "PNG"), 10**7).image), np.asarray(white))
    wide = RANDOM.integers(0, 65_536, (1_400, 1_500)).astype(np.uint16)
    for data in (encoded(Image.fromarray(wide), "PNG"), encoded(Image.fromarray(wide), "TIFF")):
        expected = np.floor(wide / 257 + 0.5).astype(np.uint8)
        np.testing.assert_array_equal(np.asarray(decode(data, 10**7).image)[..., 1], expected)


# --- metadata -------------------------------------------------------------------------------------------------------

BROKEN_EXIF = [
    b"Exif\0\0garbage",
    b"Exif\0\0II*\0\xff\xff\xff\x7f",
    b"Exif\0\0",
    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x05\0\x01\0\0\0\x1a\0\0\0" + bytes(16),  # orientation 0/0
    b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",  # orientation 'abc'
]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", BROKEN_EXIF)
def test_broken_exif_is_as_if_it_were_not_there(kind, exif):
    options = {"lossless": True} if kind == "WEBP" else {}
    picture, plain = (decode(encoded(PICTURE, kind, **options, **each), MOST) for each in ({"exif": exif}, {}))
    assert (picture.status, picture.error) == (Status.OK, "")
    np.testing.assert_array_equal(np.asarray(picture.image), np.asarray(plain.image))


@pytest.mark.parametrize(("tag", "kind", "value"), [(34665, 4, 2**31 - 1), (34853, 4, 9), (700, 1, b"\xa8\xff<x")])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_broken_tags_of_a_tiff_harm_no_pixel(tag, kind, value, compression):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[tag], tags.tagtype[tag] = value, kind
    picture = decode(encoded(PICTURE, "TIFF", tiffinfo=tags, compression=compression), MOST)
    np.testing.assert_array_equal(np.asarray(picture.image), np.asarray(PICTURE))


def chunk(name, data, checksum=0):
    return len(data).to_bytes(4) + name + data + (zlib.crc32(name + data) ^ checksum).to_bytes(4)


CHUNKS = {
    "text with a wrong checksum": chunk(b"tEXt", b"a\0b", checksum=1),
    "text that is large": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2_000_000))),
    "a profile of an unknown method": chunk(b"iCCP", b"a\0\5garbage"),
    "a resolution that is cut": chunk(b"pHYs", b"abc"),
    "an animation that is cut": chunk(b"acTL", b"\0\0\0"),
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("turned", [False, True])
def test_broken_chunks_of_a_png_harm_no_pixel(name, turned):
    exif = Image.Exif()
    exif[0x0112] = 3 if turned else 1
    data = encoded(PICTURE, "PNG", exif=exif)
    expected = np.asarray(PICTURE)[::-1, ::-1] if turned else np.asarray(PICTURE)
    for place in (33, len(data) - 12):
        picture = decode(data[:place] + CHUNKS[name] + data[place:], MOST)
        np.testing.assert_array_equal(np.asarray(picture.image), expected)
    assert decode(data[:33] + CHUNKS[name] + data[33:-2000], MOST).status in {Status.TRUNCATED, Status.NOT_AN_IMAGE}


# --- what decoders print --------------------------------------------------------------------------------------------


def test_decoders_print_nothing(measured):
    """Pillow warns, its logger speaks where nobody listens, and libtiff writes to standard error itself."""
    bilevel = bytearray(encoded(PICTURE.convert("1").resize((512, 512)), "TIFF", compression="group4"))
    bilevel[20:60] = bytes(40)
    samples = encoded(PICTURE, "TIFF").replace(struct.pack("<HHII", 277, 3, 1, 3), struct.pack("<HHII", 277, 3, 1, 9))
    cut = encoded(PICTURE, "TIFF")
    tables = encoded(PICTURE, "TIFF", compression="jpeg").replace(b"\xff\xdb", b"\xff\xfe")
    measured([bytes(bilevel), samples, cut[: len(cut) - 20], cut[: len(cut) // 2], tables, cut[:200] + cut[150:]], MOST)
