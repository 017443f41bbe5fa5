"""Decoders of images: in the encoding process, or in one of their own, which an image may crash."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Self

from featflow.transforms.images.pictures import Picture, Status, decode

__all__ = ["ApartDecoder", "Decoder"]


class Decoder:
    """Decodes in the process of its caller.

    Parameters
    ----------
    most_pixels
        Pixels beyond which an image is not decoded.
    """

    def __init__(self, most_pixels: int) -> None:
        self._most_pixels = most_pixels

    def decode(self, data: bytes | None) -> Picture:
        """Return the picture that encoded bytes hold."""
        return decode(data, self._most_pixels)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ApartDecoder(Decoder):
    """Decodes in a process of its own, one image at a time, so that the image that crashes it is known.

    Bytes and pixels are copied between processes, which takes time: it is for shards whose process has died once.
    """

    def __init__(self, most_pixels: int) -> None:
        super().__init__(most_pixels)
        self._lock, self._process = threading.Lock(), self._start()

    def decode(self, data: bytes | None) -> Picture:
        """Return the picture that encoded bytes hold; its status is `CRASHED` if they end the decoding process."""
        with self._lock:
            try:
                return self._process.submit(decode, data, self._most_pixels).result()
            except BrokenProcessPool:
                self._process.shutdown()
                self._process = self._start()
                return Picture(Status.CRASHED, "it ended the process that decoded it: by a fault, or want of memory")

    def __exit__(self, *_: object) -> None:
        self._process.shutdown()

    @staticmethod
    def _start() -> ProcessPoolExecutor:
        # A forked process may deadlock on locks that threads of this one hold.
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
