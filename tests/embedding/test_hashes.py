"""Equal pictures and pictures that look alike, and those that do not."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageEnhance

from featflow.embedding.hashes import DIGEST_BYTES, content_digest, difference_hash


def test_a_digest_is_of_the_picture_and_not_of_its_file():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 30, 3), dtype=np.uint8)
    digests = set()
    for kind in ("PNG", "BMP", "TIFF"):
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, kind)
        digests.add(content_digest(np.asarray(Image.open(sink))))
    assert len(digests) == 1
    assert len(digests.pop()) == DIGEST_BYTES
    changed = pixels.copy()
    changed[3, 4, 1] ^= 1
    shapes = {content_digest(each) for each in (pixels, changed, pixels.reshape(30, 12, 3), pixels[::-1])}
    assert len(shapes) == 4


def distance(left, right):
    return (difference_hash(np.asarray(left)) ^ difference_hash(np.asarray(right))).bit_count()


def test_a_hash_survives_what_people_do_to_pictures_and_tells_others_apart(shared_data):
    values = pq.read_table(shared_data / "sign_digits.parquet")["image"].slice(0, 60).to_pylist()
    pictures = [Image.open(io.BytesIO(value["bytes"])).convert("RGB") for value in values]
    for picture in pictures:
        sink = io.BytesIO()
        picture.save(sink, "JPEG", quality=60)
        again = (
            Image.open(sink),
            picture.resize((160, 160), Image.Resampling.BICUBIC),
            ImageEnhance.Brightness(picture).enhance(0.8),
        )
        assert max(distance(picture, other) for other in again) <= 10
    random = np.random.default_rng(1)
    others = [distance(pictures[a], pictures[b]) for a, b in (random.choice(60, 2, replace=False) for _ in range(300))]
    assert np.median(others) > 10
