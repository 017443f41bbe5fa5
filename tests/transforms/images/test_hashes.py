"""Equal pictures and pictures that look alike, and those that do not."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageEnhance

from featflow.columns.column import Column, Kind
from featflow.columns.hashing import DIGEST_BYTES, content_digest
from featflow.execution import state_store
from featflow.summaries import StoredSummarizer
from featflow.transforms.images.embeddings import Embedding
from featflow.transforms.images.encoders import DescriptorsSpec
from featflow.transforms.images.hashes import difference_hashes
from featflow.transforms.images.pictures import THUMBNAIL, reduced


def test_a_digest_is_of_the_bytes():
    assert len(content_digest(b"")) == DIGEST_BYTES
    assert len({content_digest(data) for data in (b"", b"\0", b"\0\0", b"a", b"b")}) == 5


def hashed(image):
    return int(difference_hashes(np.stack([reduced(image, THUMBNAIL)]))[0])


@pytest.mark.parametrize("shape", [(9, 8), (1, 1), (40, 40), (38, 31), (5, 40)])
def test_a_hash_is_its_formula(shape):
    """Cells of whole and broken pixels, averaged in exact fractions."""
    pixels = np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3))
    luma = pixels @ np.array([5, 9, 2])
    fine = luma.repeat(8, axis=0).repeat(9, axis=1)  # every pixel as 8 x 9, so that 8 x 9 cells are whole
    means = fine.reshape(8, shape[0], 9, shape[1]).sum(axis=(1, 3))
    bits = (means[:, :-1] > means[:, 1:]).ravel()
    expected = sum(int(bit) << (63 - place) for place, bit in enumerate(bits))
    assert hashed(Image.fromarray(pixels.astype(np.uint8))) == expected


def test_hashes_of_other_thumbnails_lie_in_other_states():
    """Whatever the encoder: a night would else compare its hashes with those of days that were made of others."""
    made = Embedding(Column("photo", "image", Kind.IMAGE), DescriptorsSpec(), 10**8)
    assert made.thumbnail == THUMBNAIL
    folders = [state_store.folder(StoredSummarizer(each)) for each in (made, replace(made, thumbnail=THUMBNAIL + 1))]
    assert folders[0] != folders[1]


def distance(left, right):
    return (hashed(left) ^ hashed(right)).bit_count()


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
