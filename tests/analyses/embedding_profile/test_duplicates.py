"""Equal and similar images against every pair compared, in any ranges; planted copies and what a split leaks."""

from __future__ import annotations

import hashlib
import io
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hashed import of_hashes, opened
from PIL import Image

from featflow.analyses.embedding_profile.duplicates import Leak, duplicates
from featflow.analyses.embedding_profile.hash_distance import DISTANCE
from featflow.errors import ConfigurationError
from featflow.execution import passes
from featflow.summaries import StoredSummarizer

FLAT = {0, 2**64 - 1}


def compared(images):
    """Every image with every other, one pair after another."""
    parts = {part for *_, part in images} - {None}
    images = [image for image in images if image[0] is not None]
    copies = Counter(content for content, *_ in images)

    def alike(one, other):
        informative = not {one[1], other[1]} & FLAT
        return one[0] != other[0] and informative and (one[1] ^ other[1]).bit_count() <= DISTANCE

    by_part = {part: [image for image in images if image[2] == part] for part in parts}
    leaks = []
    for first in sorted(by_part):
        contents = {content for content, *_ in by_part[first]}
        for second in sorted(set(by_part) - {first}):
            equal = [image for image in by_part[second] if image[0] in contents]
            others = [image for image in by_part[second] if image[0] not in contents]
            near = sum(any(alike(image, other) for other in by_part[first]) for image in others)
            leaks.append(Leak(first, second, len({content for content, *_ in equal}), len(equal), near))
    return {
        "images": len(images),
        "exact": len(images) - len(copies),
        "near": sum(any(alike(image, other) for other in images) for image in images),
        "flat": sum(image[1] in FLAT for image in images),
        "parts": {part: len(by_part[part]) for part in sorted(by_part)},
        "leakage": tuple(leaks),
    }


def some_images(count, parts, seed=3):
    random = np.random.default_rng(seed)
    bases = [int(base) for base in random.integers(1, 2**64 - 1, count // 8, np.uint64)] + [0, 2**64 - 1]
    images = []
    for _ in range(count):
        perceptual_hash = bases[random.integers(len(bases))]
        if perceptual_hash not in FLAT:
            for bit in random.integers(0, 64, random.integers(0, 4)):
                perceptual_hash ^= 1 << int(bit)
        content = hashlib.blake2b(f"{perceptual_hash} {random.integers(2)}".encode(), digest_size=16).digest()
        images.append(
            (content if random.random() < 0.97 else None, perceptual_hash, parts[random.integers(len(parts))])
        )
    return images


@pytest.mark.parametrize("most", [2**22, 23])
@pytest.mark.parametrize("parts", [["train", "test", "check", None], [f"fold {fold:02d}" for fold in range(70)]])
def test_as_if_every_pair_were_compared(most, parts, tmp_path, monkeypatch, engine_kind):
    monkeypatch.setattr("featflow.analyses.embedding_profile.duplicates.RANGE_IMAGES", most)
    images = some_images(240, parts)
    found = duplicates(*of_hashes(tmp_path, images, engine_kind))
    expected = compared(images)
    assert expected["exact"] > 20
    assert expected["near"] > 20
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.saturated == 0


def test_rows_are_counted_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr("featflow.analyses.embedding_profile.duplicates.GROUP_ROWS", 10)
    images = some_images(200, ["a", "b"])
    found, expected = duplicates(*of_hashes(tmp_path, images)), compared(images)
    assert {name: getattr(found, name) for name in expected} == expected


def test_no_split_no_leakage(tmp_path):
    images = some_images(60, ["a", "b"])
    found, expected = duplicates(*of_hashes(tmp_path, images)[:3], None), compared(images)
    assert (found.exact, found.near, found.parts, found.leakage) == (expected["exact"], expected["near"], {}, ())


def test_no_picture_at_all(tmp_path):
    found = duplicates(*of_hashes(tmp_path, [(None, 0, "a")] * 5 + [(None, 0, "b")]))
    assert (found.images, found.exact, found.near, found.flat, found.saturated) == (0, 0, 0, 0, 0)
    assert found.leakage == (Leak("a", "b", 0, 0, 0), Leak("b", "a", 0, 0, 0))


@pytest.mark.parametrize("most", [2**22, 40])
def test_too_many_similar_hashes_are_counted_and_not_compared(most, tmp_path, monkeypatch):
    """Whatever is missed is among them, and the same is missed in any ranges."""
    monkeypatch.setattr("featflow.analyses.embedding_profile.duplicates.RANGE_IMAGES", most)
    monkeypatch.setattr("featflow.analyses.embedding_profile.duplicates.MOST_ALIKE", 30)
    blocks = sum(1 << bit for bit in range(64) if bit % 5 in {0, 1})
    random = np.random.default_rng(2)
    many = [(blocks | int(each)) for each in random.integers(0, 2**64, 60, np.uint64)]
    many += [each ^ (1 << 2) ^ (1 << 3) ^ (1 << 4) for each in many[:20]]  # these agree in the two blocks alone
    few = [int(each) for each in random.integers(1, 2**63, 20, np.uint64)]
    few += [each ^ 2 for each in few]
    hashes = many + few
    images = [(hashlib.blake2b(str(each).encode(), digest_size=16).digest(), each, "a") for each in hashes]
    found, expected = duplicates(*of_hashes(tmp_path, images)), compared(images)
    assert expected["near"] == 80
    assert (found.near, found.saturated) == (40, 80)


def picture(grid, size=(144, 128), kind="PNG", **options):
    """A mosaic, whose hash is as random as its tiles."""
    sink = io.BytesIO()
    tiles = Image.fromarray(grid).resize((72, 64), Image.Resampling.NEAREST)
    (tiles if size == (72, 64) else tiles.resize(size, Image.Resampling.BICUBIC)).save(sink, kind, **options)
    return sink.getvalue()


def test_planted_copies_and_what_the_split_leaks(tmp_path, engine_kind):
    grids = np.random.default_rng(4).integers(20, 230, (40, 8, 9, 3), dtype=np.uint8)
    train = [picture(grid) for grid in grids[:30]]
    test = [picture(grid) for grid in grids[30:]]
    exact = train[:5]
    near = [picture(grid, kind="JPEG", quality=80) for grid in grids[5:10]]
    near += [picture(grid + np.uint8(3)) for grid in grids[10:15]]
    near += [picture(grid, size=(180, 160)) for grid in grids[15:20]]
    again = train[20:22]
    photos = [*train, *again, *test, *exact, *near]
    part = ["train"] * 32 + ["test"] * 30
    order = np.random.default_rng(5).permutation(len(photos))
    table = pa.table({"photo": [photos[row] for row in order], "part": [part[row] for row in order]})
    dataset, context, made = opened(tmp_path, table, engine_kind, images=["photo"])
    passes.summarize_shards(context.workspace, dataset.shards, (StoredSummarizer(made),), "encoding images")
    found = duplicates(context, dataset.shards, made, dataset.columns[0])
    assert (found.images, found.exact, found.near, found.flat, found.saturated) == (62, 7, 30, 0, 0)
    assert found.parts == {"test": 30, "train": 32}
    assert found.leakage == (Leak("test", "train", 5, 5, 15), Leak("train", "test", 5, 5, 15))


def test_a_split_of_too_many_values(tmp_path):
    images = [(bytes(16), 1, str(row)) for row in range(101)]
    with pytest.raises(ConfigurationError, match=r"dataset\.images: split 'part' has more than 100 values; name a"):
        duplicates(*of_hashes(tmp_path, images))
    (tmp_path / "b").mkdir()
    found = duplicates(*of_hashes(tmp_path / "b", images[1:]))
    assert len(found.leakage) == 100 * 99
    assert {(leak.contents, leak.exact, leak.near) for leak in found.leakage} == {(1, 1, 0)}
