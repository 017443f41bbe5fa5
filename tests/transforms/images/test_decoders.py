"""Decoding in a process of its own: the same pictures, and an image that ends it harms no other."""

from __future__ import annotations

import io
import os

import numpy as np
from PIL import Image

from featflow.transforms.images import decoders
from featflow.transforms.images.decoders import ApartDecoder, Decoder
from featflow.transforms.images.pictures import Picture, Status, decode

POISON = b"POISON"


def decode_or_die(data, *limits):
    if data == POISON:
        os._exit(139)
    return decode(data, *limits)


def png(seed):
    sink = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def decoded(decoder, data):
    with decoder.decoded(data) as picture:
        return picture


def said(picture: Picture):
    return picture.status, picture.error, None if picture.image is None else picture.image.tobytes()


def test_pictures_are_the_same_in_a_process_of_their_own():
    images = [png(0), b"", None, b"no", png(1)[:60], png(2)]
    with Decoder(72) as here, ApartDecoder(72) as apart:
        assert [said(decoded(apart, image)) for image in images] == [said(decoded(here, image)) for image in images]
        assert decoded(apart, png(0)).status is Status.OK
    with ApartDecoder(71) as apart:
        assert decoded(apart, png(0)).status is Status.TOO_LARGE


def test_an_image_that_ends_its_process_is_named(monkeypatch):
    monkeypatch.setattr(decoders, "decode", decode_or_die)
    with ApartDecoder(10**6) as apart:
        found = [decoded(apart, image).status for image in (png(0), POISON, png(1), POISON, png(2))]
    assert found == [Status.OK, Status.CRASHED, Status.OK, Status.CRASHED, Status.OK]
