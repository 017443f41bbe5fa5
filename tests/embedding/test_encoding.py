"""Decoding ahead of an encoder: every image in its place, whatever fails, and no more of them in memory than said."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from featflow.embedding import encoding
from featflow.embedding.encoders import DescriptorsSpec, load
from featflow.embedding.encoding import encode_images
from featflow.embedding.pictures import Status


class Corner:
    """Says a picture's first pixel, and keeps how many pictures it was given at once."""

    width, longest, batch = 3, 0, 4

    def __init__(self):
        self.given = []

    def encode(self, pictures, sizes):
        self.given.append(len(pictures))
        assert [[picture.shape[1], picture.shape[0]] for picture in pictures] == sizes.tolist()
        return np.stack([picture[0, 0] for picture in pictures]).astype(np.float32)


def png(colour, size=(5, 3)):
    sink = io.BytesIO()
    Image.new("RGB", size, colour).save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize("count", [0, 1, 4, 5, 23])
def test_every_image_has_its_place(count):
    colours = [(index, 2 * index, 255 - index) for index in range(count)]
    images = [(png(colour, (index + 1, 3)), None) for index, colour in enumerate(colours)]
    for broken, value in ((2, (None, None)), (9, (b"no", None)), (10, (None, "gone"))):
        if broken < count:
            images[broken] = value
    encoder = Corner()
    found = encode_images(images, encoder, 10**6)
    assert len(found) == count
    expected = {2: Status.MISSING, 9: Status.NOT_AN_IMAGE, 10: Status.UNREADABLE}
    for index, each in enumerate(found):
        assert each.status is expected.get(index, Status.OK)
        if index in expected:
            assert each.vector is None
        else:
            assert each.vector.tolist() == list(colours[index])
            assert each.size == (index + 1, 3)
    assert sum(encoder.given) == sum(each.vector is not None for each in found)
    assert max(encoder.given, default=0) <= Corner.batch


def test_few_batches_are_decoded_ahead(monkeypatch):
    """However many images there are: what waits is bounded by batches, not by their number."""
    lock, alive, most = threading.Lock(), 0, 0
    decode = encoding.decode

    def counted(data, most_pixels):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        return decode(data, most_pixels)

    class Counting(Corner):
        def encode(self, pictures, sizes):
            nonlocal alive
            with lock:
                alive -= len(pictures)
            return super().encode(pictures, sizes)

    monkeypatch.setattr(encoding, "decode", counted)
    encode_images([(png((1, 2, 3)), None)] * 100, Counting(), 10**6)
    assert alive == 0
    assert most <= (encoding.BATCHES_AHEAD + 1) * Corner.batch


def test_an_encoder_is_loaded_once_a_process():
    assert load(DescriptorsSpec()) is load(DescriptorsSpec())
    assert "pillow-" in DescriptorsSpec().id
    assert DescriptorsSpec().width == load(DescriptorsSpec()).width
