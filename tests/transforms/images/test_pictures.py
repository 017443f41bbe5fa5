"""Bytes to pixels: every mode and orientation by a rule that is stated, every damage by its name."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from featflow.transforms.images.pictures import Status, decode

MOST = 10**8
RANDOM = np.random.default_rng(5)
RGB = RANDOM.integers(0, 256, (24, 40, 3), dtype=np.uint8)


def encoded(image, kind="PNG", **options):
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def pixels(data):
    picture = decode(data, MOST)
    assert (picture.status, picture.error) == (Status.OK, "")
    return np.asarray(picture.image)


def turned(array, orientation):
    """What a viewer shows of stored pixels, by the EXIF standard's table: rows and columns that are top and left."""
    rows, columns = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    if rows in {"left", "right"}:  # the stored rows are columns
        array, rows, columns = array.swapaxes(0, 1), columns, rows
    array = array[::-1] if rows == "bottom" else array
    return array[:, ::-1] if columns == "right" else array


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_pictures_are_upright(orientation, kind):
    image = Image.fromarray(RGB)
    exif = image.getexif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(pixels(encoded(image, kind, exif=exif, **options)), turned(RGB, orientation))


def test_wide_grey_keeps_its_orientation_and_is_divided_by_257():
    wide = RANDOM.integers(0, 65_536, (24, 40)).astype(np.uint16)
    image = Image.fromarray(wide)
    exif = image.getexif()
    exif[0x0112] = 6
    expected = np.floor(wide / 257 + 0.5).astype(np.uint8)
    for kind in ("PNG", "TIFF"):
        found = pixels(encoded(image, kind, exif=exif))
        np.testing.assert_array_equal(found, np.repeat(turned(expected, 6)[..., None], 3, axis=2))


def test_every_mode_becomes_three_channels():
    grey = RGB[..., 0]
    as_is = {"L": grey, "1": np.where(grey > 127, 255, 0).astype(np.uint8)}
    for mode, expected in as_is.items():
        image = Image.fromarray(grey).point(lambda v: 255 * (v > 127), "1") if mode == "1" else Image.fromarray(grey)
        np.testing.assert_array_equal(pixels(encoded(image)), np.repeat(expected[..., None], 3, axis=2))
    palette = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(pixels(encoded(palette)), np.asarray(palette.convert("RGB")))
    cmyk = Image.fromarray(np.stack([RGB[..., 0], RGB[..., 1], RGB[..., 2], grey // 4], axis=2), "CMYK")
    np.testing.assert_array_equal(pixels(encoded(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_lies_over_white(mode):
    alpha = RANDOM.integers(0, 256, RGB.shape[:2], dtype=np.uint8)
    if mode == "P":
        image = Image.fromarray((RGB[..., 0] > 127).astype(np.uint8), "P")
        image.putpalette([0, 0, 255, 10, 20, 30])
        data = encoded(image, transparency=0)
        expected = np.where(RGB[..., :1] > 127, [10, 20, 30], [255, 255, 255])
        np.testing.assert_array_equal(pixels(data), expected)
        return
    colours = RGB if mode == "RGBA" else np.repeat(RGB[..., :1], 3, axis=2)
    array = np.dstack([RGB, alpha]) if mode == "RGBA" else np.dstack([RGB[..., 0], alpha])
    share = alpha[..., None] / 255
    expected = colours * share + 255 * (1 - share)
    assert np.abs(pixels(encoded(Image.fromarray(array, mode))) - expected).max() <= 1


def test_the_first_frame_of_an_animation():
    frames = [Image.fromarray(RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)).quantize(8) for _ in range(3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels(data), np.asarray(frames[0].convert("RGB")))


# --- damage ---------------------------------------------------------------------------------------------------------

JPEG = encoded(Image.fromarray(RGB), "JPEG")
DAMAGED = {
    "missing": (None, Status.MISSING),
    "no bytes": (b"", Status.EMPTY),
    "null bytes": (b"\0" * 500, Status.NOT_AN_IMAGE),
    "text": (b"<html>not found</html>", Status.NOT_AN_IMAGE),
    "half a JPEG": (JPEG[: len(JPEG) // 2], Status.TRUNCATED),
    "half a PNG": (encoded(Image.fromarray(RGB))[:200], Status.TRUNCATED),
    "a JPEG's first bytes": (JPEG[:30], Status.TRUNCATED),
    "floating point": (encoded(Image.fromarray(RGB[..., 0].astype(np.float32)), "TIFF"), Status.UNSUPPORTED),
}


@pytest.mark.parametrize(
    ("start", "said"), [(b"", "base64 text of a JPEG"), (b"data:image/jpeg;base64,", "a data: URI")]
)
def test_text_that_encodes_a_picture_is_named(start, said):
    picture = decode(start + base64.b64encode(JPEG), MOST)
    assert (picture.status, picture.error) == (Status.NOT_AN_IMAGE, f"{said}; store the bytes that it encodes")


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_has_a_name(name):
    data, status = DAMAGED[name]
    picture = decode(data, MOST)
    assert picture.status is status, picture
    assert picture.image is None
    assert bool(picture.error) == (status not in {Status.MISSING, Status.EMPTY})


def test_a_bomb_is_not_decoded():
    data = encoded(Image.new("1", (20_000, 20_000)))
    assert len(data) < 100_000
    picture = decode(data, MOST)
    assert picture.status is Status.TOO_LARGE
    assert picture.error == "20000 x 20000 pixels; at most 100,000,000 are decoded"
    assert decode(JPEG, RGB[..., 0].size).status is Status.OK
    assert decode(JPEG, RGB[..., 0].size - 1).status is Status.TOO_LARGE


def test_want_of_memory_is_no_damage(monkeypatch):
    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr("featflow.transforms.images.pictures.Image.open", full)
    with pytest.raises(MemoryError):
        decode(JPEG, MOST)


def test_any_damage_ends_in_a_status():
    data = bytearray(encoded(Image.fromarray(RGB), "JPEG"))
    for _ in range(300):
        broken = bytearray(data)
        for place in RANDOM.integers(0, len(data), 5):
            broken[place] = RANDOM.integers(0, 256)
        picture = decode(bytes(broken[: RANDOM.integers(1, len(data))]), MOST)
        assert (picture.image is None) == (picture.status is not Status.OK)
