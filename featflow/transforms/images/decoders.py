"""Where images are decoded: in the process that encodes, or apart from it for the sake of one that ends processes."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Self

from featflow.transforms.images.pictures import Picture, Status, decode

__all__ = ["ApartDecoder", "Decoder"]


class Decoder:
    """Decodes where it is called.

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
    """Decodes in a process of its own, one image at a time: which one ended the process is then known.

    Slower by what it takes to hand bytes and pixels over; for shards whose process has died once.
    """

    def __init__(self, most_pixels: int) -> None:
        super().__init__(most_pixels)
        self._lock, self._process = threading.Lock(), self._start()

    def decode(self, data: bytes | None) -> Picture:
        """Return the picture that encoded bytes hold, or that they end the process that decodes them."""
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
        return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
