"""What decoding takes is planned from headers, and pictures wait for one another by that plan."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from transforms.images.hostile import encoded, measured

from featflow.columns.column import Column, Kind
from featflow.dataset.image_bytes import IMAGE_TYPE
from featflow.transforms.images.decoders import Decoder
from featflow.transforms.images.decoding_memory import (
    PIXEL_BYTES,
    SMALL_BYTES,
    DecodingMemory,
    TooLargeError,
    planned_bytes,
)
from featflow.transforms.images.embeddings import Embedding
from featflow.transforms.images.encoders import DescriptorsSpec, load
from featflow.transforms.images.encoding import encode_images
from featflow.transforms.images.formats import LISTED

SIDE = 1_100
RANDOM = np.random.default_rng(11)
NOISE = Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8))
PHOTO = Column("photo", "image", Kind.IMAGE)


def of_all_kinds():
    """Pictures of 1,100 x 1,100 of all formats and kinds of pixels, upright or turned."""
    colour = NOISE.resize((SIDE, SIDE))
    grey = colour.convert("L")
    palette, wide = grey.convert("P"), Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112] = 6
    quick, scans = {"compress_level": 1, "exif": turned}, {"progressive": True, "subsampling": 0, "exif": turned}
    kinds = {
        "JPEG": [(grey, {}), (colour, scans), (grey.convert("CMYK"), scans)],
        "PNG": [(each, quick) for each in (colour, grey.convert("RGBA"), grey.convert("LA"), wide, grey.convert("1"))]
        + [(palette, {"transparency": 3})],
        "WEBP": [(colour, {"exif": turned, "method": 0}), (grey.convert("RGBA"), {"exif": turned, "method": 0})],
        "AVIF": [(grey.convert("RGBA"), {"speed": 10, "subsampling": "4:4:4"})],
        "GIF": [(palette, {})],
        "BMP": [(colour, {}), (palette, {})],
        "TIFF": [(wide, {}), (grey.convert("RGBA"), {"compression": "tiff_lzw", "exif": turned})],
        "JPEG2000": [(grey.convert("RGBA"), {}), (colour, {}), (wide, {})],
        "PPM": [(wide, {}), (colour, {})],
        "TGA": [(grey.convert("RGBA"), {"compression": "tga_rle"})],
    }
    return [encoded(image, kind, **options) for kind, each in kinds.items() for image, options in each]


def test_pictures_take_no_more_than_planned(tmp_path):
    narrow = encoded(Image.new("LA", (1, 10**6)), "PNG")
    pictures = [*of_all_kinds(), narrow]
    for data, (status, peak) in zip(pictures, measured(pictures, SIDE * SIDE, tmp_path), strict=True):
        with Image.open(io.BytesIO(data)) as header:
            plan = planned_bytes(header.format, header.mode, header.size)
            name = f"{header.format} {header.mode} {header.size}"
        assert status == "ok", name
        assert peak < plan + 2 * len(data) + 4 * 2**20, name
        if data is not narrow:
            assert plan <= SIDE * SIDE * PIXEL_BYTES + SMALL_BYTES, name


def test_no_plan_exceeds_what_the_most_pixels_take():
    modes = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I"]
    for kind, mode, side in product(LISTED, modes, (1, 64, 10_000)):
        assert planned_bytes(kind, mode, (side, side)) <= side * side * PIXEL_BYTES + SMALL_BYTES, (kind, mode)


# --- pictures at once -----------------------------------------------------------------------------------------------


class Watched(DecodingMemory):
    """Notes how many bytes are held at once, and by how many pictures."""

    def __init__(self, shared, most=2**40):
        super().__init__(shared, most)
        self.lock, self.held, self.peaks = threading.Lock(), [], []

    @contextmanager
    def given(self, nbytes):
        with super().given(nbytes):
            with self.lock:
                self.held.append(nbytes)
                self.peaks.append((sum(self.held), len(self.held)))
            try:
                yield
            finally:
                with self.lock:
                    self.held.remove(nbytes)


def test_pictures_wait_until_others_have_given_back_their_memory():
    """The larger the fewer at once; one that is larger than what is shared alone; none is lost, nothing changes."""
    sides = [16, 300, 500, 16, 40, 300, 16, 500] * 2
    of_side = {side: encoded(NOISE.resize((side, side)), "PNG") for side in sides}
    images = [*((of_side[side], None) for side in sides), (b"", None), (None, "absent")]
    memory = Watched(shared=planned_bytes("PNG", "RGB", (300, 300)))
    encoder = load(DescriptorsSpec())
    expected = encode_images(images, encoder, Decoder(10**6))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: encode_images(images, encoder, Decoder(10**6, memory)), range(4)))
    assert all(held <= memory._shared or count == 1 for held, count in memory.peaks)
    assert max(count for _, count in memory.peaks) > 1
    assert memory.held == []
    for each in found:
        assert each.statuses == expected.statuses
        np.testing.assert_array_equal(each.vectors, expected.vectors)


def test_memory_is_given_back_after_an_error():
    memory = DecodingMemory(100, 1_000)
    for error in (ValueError, MemoryError):
        with pytest.raises(error), memory.given(900):
            raise error
    with pytest.raises(TooLargeError), memory.given(1_001):
        pass
    with memory.given(60), memory.given(40):
        pass


# --- the budget -----------------------------------------------------------------------------------------------------


def described(image, kind, **options):
    made = Embedding(PHOTO, DescriptorsSpec(), **options)
    values = pa.array([{"bytes": encoded(image, kind), "error": None}], IMAGE_TYPE)
    status, error, *_ = (array.to_pylist()[0] for array in made.apply(pa.record_batch({"photo": values})))
    return status, error


def test_a_picture_beyond_the_budget_is_told_by_its_key():
    image = Image.new("RGB", (2_000, 2_000))
    for kind, budget, expected in (("PNG", 80, "ok"), ("JPEG2000", 100, "too_large"), ("JPEG2000", 256, "ok")):
        status, error = described(image, kind, most_pixels=10**8, memory=budget * 2**20)
        assert status == expected, (kind, budget, error)
        assert (error is None) == (expected == "ok")
    assert described(image, "JPEG2000", most_pixels=10**8, memory=100 * 2**20)[1] == (
        "decoding it takes 100 MiB, and a picture may take 75: three quarters of budget.memory, and 32 bytes for each "
        "of its most_pixels"
    )


def test_what_a_run_may_take_is_planned_and_names_states_where_it_decides_values():
    def made(memory):
        return Embedding(PHOTO, DescriptorsSpec(), 10**8, memory=memory)

    unbounded = Embedding(PHOTO, DescriptorsSpec(), 10**8)
    assert made(5 * 2**30).digest == made(2**40).digest == unbounded.digest
    assert len({made(2**30).digest, made(2**29).digest, unbounded.digest}) == 3
    assert made(2**30).worker.nbytes - made(2**29).worker.nbytes == 2**27
