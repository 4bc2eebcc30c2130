"""Uploaded bytes to pixels, in a process of its own: what is hostile there takes neither the server's memory nor time.

`corpus.images.decode` limits the memory of its whole process, which must not be the one that runs networks.
"""

import multiprocessing
import threading
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np

from ganpipe.corpus.images import BrokenImage, decode, square
from ganpipe.demo.gate import Refused

SECONDS = 10.0  # for one image; the process needs two to start
STARTS = 60.0  # seconds, for its imports on a busy machine


class Square(NamedTuple):
    """A form in which an image is wanted."""

    size: int  # pixels a side
    resize: str  # as `corpus.images.square` takes it


class Decoder:
    """One process, one image at a time; it is ended where an image takes too long, and started again."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._turn = threading.Lock()
        self._process: multiprocessing.process.BaseProcess | None = None
        self._line: Connection | None = None

    def squares(self, data: bytes, wanted: list[Square]) -> list[np.ndarray]:
        """The image in each form, uint8 (size, size, 3).

        BrokenImage with a reason, short; Refused where other images take all the time, or no process starts.
        """
        if not self._turn.acquire(timeout=2 * self.seconds):
            raise Refused(503, "other images are being decoded: ask again in some seconds")
        try:
            line = self._line if self._process is not None and self._process.is_alive() else None
            if line is None:
                line = self._start()
            try:
                line.send((data, wanted))
                if not line.poll(self.seconds):
                    self.close()
                    raise BrokenImage("it takes too long to decode")
                answer = line.recv()
            except (EOFError, OSError):
                self.close()
                raise BrokenImage("it takes too much memory to decode") from None
        finally:
            self._turn.release()
        if isinstance(answer, str):
            raise BrokenImage(answer)
        return list(answer)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._line is not None:
            self._line.close()
        self._process = self._line = None

    def _start(self) -> Connection:
        self.close()
        context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
        ours, theirs = context.Pipe()
        self._line = ours
        process = context.Process(target=_serve, args=(theirs,), daemon=True)
        try:
            with theirs:
                process.start()
            self._process = process
            if not ours.poll(STARTS):
                raise TimeoutError
            ours.recv()
        except (EOFError, OSError):
            self.close()
            raise Refused(503, "what decodes images does not start: ask again in some seconds") from None
        return ours


def _serve(line: Connection) -> None:
    """Until the other end is gone."""
    line.send("ready")
    while True:
        try:
            data, wanted = line.recv()
        except EOFError:
            return
        try:
            image = decode(data)
            line.send([square(image, size, resize) for size, resize in wanted])
            image.close()
        except BrokenImage as error:
            line.send(str(error))
