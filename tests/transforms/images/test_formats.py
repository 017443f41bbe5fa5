"""Which formats are opened, what lies within them, what decoding takes, and what decoders print."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin
from transforms.images.hostile import bitmap_of_runs, chunk, encoded, measured, with_bytes, zeros

from featflow.transforms.images.formats import FORMATS, LISTED, NOT_OPENED
from featflow.transforms.images.pictures import Status, decode

MOST = 10**6
RANDOM = np.random.default_rng(11)
PICTURE = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))


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


def test_pictures_in_pictures_are_looked_at_before_they_are_decoded(tmp_path):
    data = [make() for make in INNER.values()]
    sizes = np.array([len(each) for each in data])
    statuses, peaks = zip(*measured(data, MOST, tmp_path), strict=True)
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


# --- small files, long work ------------------------------------------------------------------------------------------

SMALL_PNG = encoded(PICTURE, "PNG")


def in_png(*chunks):
    return SMALL_PNG[:33] + b"".join(chunks) + SMALL_PNG[33:]


BOMBS = {
    "text": (lambda: in_png(chunk(b"zTXt", b"a\0\0" + zeros(128))), "ok"),
    "international text": (lambda: in_png(chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(128))), "ok"),
    "many texts": (lambda: in_png(*[chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6)))] * 100), "ok"),
    "profile": (lambda: in_png(chunk(b"iCCP", b"a\0\0" + zeros(128))), "ok"),
    "pixels beyond the last": (lambda: SMALL_PNG[:33] + chunk(b"IDAT", zeros(128)) + SMALL_PNG[-12:], "ok"),
    "pixels of a TIFF beyond the last": (lambda: tiff(16, 16, zeros(128)), "ok"),
    "scans": (lambda: many_scans(600), "unsupported"),
    "scans that are allowed": (lambda: many_scans(400), "ok"),
    "a comment in a header": (lambda: b"P6 #" + bytes(10**7) + b"\n64 64 255\n" + bytes(64 * 64 * 3), "truncated"),
    "a comment that is allowed": (lambda: b"P6 #" + bytes(10**4) + b"\n64 64 255\n" + bytes(64 * 64 * 3), "ok"),
    "a header of one token": (lambda: b"P6 " + b"1" * 10**7, "truncated"),
    "a canvas of WebP": (lambda: vast_webp(9_999), "too_large"),
    "a canvas of WebP beyond all memory": (lambda: vast_webp(2**24), "truncated"),
    "a canvas of AVIF": (lambda: vast_avif(9_999), "too_large"),
    "an area of JPEG 2000": (lambda: vast_jpeg_2000(9_999, 9_999), "too_large"),
    "a tile of JPEG 2000": (lambda: vast_jpeg_2000(64, 2**31 - 1), "ok"),
    "a JPEG's frame": (lambda: vast_jpeg(9_999), "too_large"),
    "a TGA's header": (lambda: struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 9_999, 9_999, 32, 0), "too_large"),
}


def many_scans(count):
    data = encoded(PICTURE, "JPEG", progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:end] + data[last:end] * count + data[end:]


def vast_webp(side):
    data = encoded(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(90)], lossless=True)
    return with_bytes(data, data.index(b"VP8X") + 12, 2 * (side - 1).to_bytes(3, "little"))


def vast_avif(side):
    data = encoded(PICTURE, "AVIF", speed=10)
    return with_bytes(data, data.index(b"ispe") + 8, 2 * side.to_bytes(4))


def vast_jpeg_2000(side, tile):
    data = encoded(PICTURE, "JPEG2000", no_jp2=True)
    sides = struct.pack(">8I", side, side, 0, 0, tile, tile, 0, 0)
    return with_bytes(data, data.index(b"\xff\x51") + 6, sides)


def vast_jpeg(side):
    data = encoded(PICTURE, "JPEG", progressive=True)
    return with_bytes(data, data.index(b"\xff\xc2") + 5, 2 * side.to_bytes(2))


def test_small_files_take_little_memory_and_time(tmp_path):
    """In all of them what is small as a file would be gigabytes, or minutes, once it is decoded."""
    pictures = [make() for make, _ in BOMBS.values()]
    found = measured(pictures, MOST, tmp_path)
    assert {name: status for name, (status, _) in zip(BOMBS, found, strict=True)} == {
        name: status for name, (_, status) in BOMBS.items()
    }
    for (name, (_, peak)), data in zip(zip(BOMBS, found, strict=True), pictures, strict=True):
        assert peak < 3 * len(data) + 96 * 2**20, name


def test_a_bitmap_of_runs_is_decoded_up_to_a_limit_of_its_own():
    """Its decoder is in Python: a line of 100 million pixels, 1,094 bytes, took 40 s."""
    assert decode(bitmap_of_runs(64, 64, b"\x40\1\0\0" * 64 + b"\0\1"), MOST).status is Status.OK
    picture = decode(bitmap_of_runs(10**8, 1, b"\1\1\0\0" * 4), 10**8)
    assert (picture.status, picture.error) == (
        Status.TOO_LARGE,
        "100000000 x 1 pixels; at most 16,777,216 are decoded",
    )


# --- what decoders print --------------------------------------------------------------------------------------------


def test_decoders_print_nothing(tmp_path):
    """Pillow warns, its logger speaks where nobody listens, and libtiff writes to standard error itself."""
    bilevel = bytearray(encoded(PICTURE.convert("1").resize((512, 512)), "TIFF", compression="group4"))
    bilevel[20:60] = bytes(40)
    samples = encoded(PICTURE, "TIFF").replace(struct.pack("<HHII", 277, 3, 1, 3), struct.pack("<HHII", 277, 3, 1, 9))
    cut = encoded(PICTURE, "TIFF")
    tables = encoded(PICTURE, "TIFF", compression="jpeg").replace(b"\xff\xdb", b"\xff\xfe")
    broken = [bytes(bilevel), samples, cut[: len(cut) - 20], cut[: len(cut) // 2], tables, cut[:200] + cut[150:]]
    measured(broken, MOST, tmp_path)
