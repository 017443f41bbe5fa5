"""Decoding ahead of an encoder: every image in its place, whatever fails, and no more of them in memory than said."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
import torch
from PIL import Image

from featflow.transforms.images import encoding
from featflow.transforms.images.decoders import Decoder
from featflow.transforms.images.encoders import DescriptorsSpec, load
from featflow.transforms.images.encoding import encode_images
from featflow.transforms.images.pictures import Status


class Corner:
    """Says a picture's first pixel, and keeps how many pictures it was given at once."""

    width, batch = 3, 4

    def __init__(self, threaded=True):
        self.threaded, self.given = threaded, []

    def prepare(self, image, thumbnail):
        assert thumbnail.shape == (image.height, image.width, 3)
        return image

    def encode(self, prepared, sizes):
        self.given.append(len(prepared))
        for image, size in zip(prepared, sizes.tolist(), strict=True):
            assert list(image.size if image else (0, 0)) == size
        return np.array([image.getpixel((0, 0)) if image else (9, 9, 9) for image in prepared], np.float32)


def png(colour, size=(5, 3)):
    sink = io.BytesIO()
    Image.new("RGB", size, colour).save(sink, "PNG")
    return sink.getvalue()


@pytest.mark.parametrize("threaded", [True, False])
@pytest.mark.parametrize("count", [0, 1, 4, 5, 23])
def test_every_image_has_its_place(count, threaded):
    colours = [(index, 2 * index, 255 - index) for index in range(count)]
    images = [(png(colour, (index + 1, 3)), None) for index, colour in enumerate(colours)]
    for broken, value in ((2, (None, None)), (9, (b"no", None)), (10, (None, "gone"))):
        if broken < count:
            images[broken] = value
    encoder = Corner(threaded)
    found = encode_images(images, encoder, Decoder(10**6))
    expected = {2: Status.MISSING, 9: Status.NOT_AN_IMAGE, 10: Status.UNREADABLE}
    assert found.statuses == [expected.get(index, Status.OK) for index in range(count)]
    ok = [index for index in range(count) if index not in expected]
    assert found.vectors[ok].tolist() == [list(map(float, colours[index])) for index in ok]
    assert found.sizes.tolist() == [[index + 1, 3] if index in ok else [0, 0] for index in range(count)]
    assert [content is not None for content in found.contents] == [index in ok for index in range(count)]
    assert all(bool(found.errors[index]) == (index in {9, 10}) for index in range(count))
    assert sum(encoder.given) == count
    assert max(encoder.given, default=0) <= Corner.batch


def test_threads_are_as_before():
    threads = torch.get_num_threads()
    encode_images([(png((1, 2, 3)), None)] * 9, Corner(), Decoder(10**6))
    assert torch.get_num_threads() == threads


def test_few_batches_are_decoded_ahead():
    """However many images there are: what waits is bounded by batches, not by their number."""
    lock, alive, most = threading.Lock(), 0, 0

    class CountingDecoder(Decoder):
        def decoded(self, data):
            nonlocal alive, most
            with lock:
                alive += 1
                most = max(most, alive)
            return super().decoded(data)

    class Counting(Corner):
        def encode(self, prepared, sizes):
            nonlocal alive
            with lock:
                alive -= len(prepared)
            return super().encode(prepared, sizes)

    encode_images([(png((1, 2, 3)), None)] * 100, Counting(), CountingDecoder(10**6))
    assert alive == 0
    assert most <= (encoding.BATCHES_AHEAD + 1) * Corner.batch


def test_an_encoder_is_loaded_once_a_process():
    assert load(DescriptorsSpec()) is load(DescriptorsSpec())
    assert "pillow-" in DescriptorsSpec().id
    assert DescriptorsSpec().width == load(DescriptorsSpec()).width
