"""Decoders of images: in the encoding process, or in one of their own, which an image may crash."""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Self

from featflow.transforms.images.decoding_memory import DecodingMemory, check_most
from featflow.transforms.images.pictures import Picture, Status, decode

__all__ = ["ApartDecoder", "Decoder"]


class Decoder:
    """Decodes in the process of its caller.

    Parameters
    ----------
    most_pixels
        Pixels beyond which an image is not decoded.
    memory
        What pictures that are decoded at once share; None bounds nothing.
    """

    def __init__(self, most_pixels: int, memory: DecodingMemory | None = None) -> None:
        self._most_pixels = most_pixels
        self._memory = memory or DecodingMemory(sys.maxsize, sys.maxsize)

    @contextmanager
    def decoded(self, data: bytes | None) -> Iterator[Picture]:
        """Give the picture that encoded bytes hold, for as long as its memory is held."""
        with ExitStack() as held:

            def admit(nbytes: int) -> None:
                held.close()
                held.enter_context(self._memory.given(nbytes))

            yield decode(data, self._most_pixels, admit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


class ApartDecoder(Decoder):
    """Decodes in a process of its own, one image at a time, so that the image that crashes it is known.

    Bytes and pixels are copied between processes, which takes time: it is for shards whose process has died once.
    """

    def __init__(self, most_pixels: int, memory: DecodingMemory | None = None) -> None:
        super().__init__(most_pixels, memory)
        self._lock, self._process = threading.Lock(), self._start()

    @contextmanager
    def decoded(self, data: bytes | None) -> Iterator[Picture]:
        """Give the picture that encoded bytes hold; its status is `CRASHED` if they end the decoding process."""
        with self._lock:
            yield self._decode(data)

    def _decode(self, data: bytes | None) -> Picture:
        try:
            admit = partial(check_most, most=self._memory.most)
            return self._process.submit(decode, data, self._most_pixels, admit).result()
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
