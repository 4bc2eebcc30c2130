import io
import multiprocessing
import os
import signal
import threading
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import numpy as np
import pytest
from PIL import Image

from ganpipe.corpus.images import BrokenImage, square
from ganpipe.demo import decoder as of_decoder
from ganpipe.demo.decoder import Decoder, Square
from ganpipe.demo.gate import Refused
from support.scenes import scene


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    made = Decoder(60)
    yield made
    made.close()


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, form)
    return written.getvalue()


def test_an_image_comes_in_each_form_that_is_wanted(decoder: Decoder) -> None:
    pixels = scene(0, 50, 40)
    whole, small = decoder.squares(encoded(pixels), [Square(40, "bilinear"), Square(32, "antialias")])
    np.testing.assert_array_equal(whole, pixels[:, 5:45])
    np.testing.assert_array_equal(small, square(Image.fromarray(pixels), 32, "antialias"))


def gigantic() -> bytes:
    """A PNG of a few hundred bytes that says it has 30,000 pixels a side."""
    data = bytearray(encoded(scene(0)))
    data[16:24] = (30_000).to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not an image"),
        (b"<script>alert(1)</script>", "not an image"),
        (encoded(scene(0))[:300], "truncated"),
        (gigantic(), "gigantic"),
    ],
)
def test_what_is_no_image_is_refused_with_a_reason_and_the_next_is_decoded(
    decoder: Decoder, data: bytes, reason: str
) -> None:
    with pytest.raises(BrokenImage, match=reason):
        decoder.squares(data, [Square(8, "bilinear")])
    assert decoder.squares(encoded(scene(1)), [Square(32, "bilinear")])[0].shape == (32, 32, 3)


def test_one_that_takes_too_long_is_ended_and_the_next_is_decoded() -> None:
    made = Decoder(60)
    try:
        made.squares(encoded(scene(0)), [Square(8, "bilinear")])
        process = made._process
        assert process is not None and process.pid is not None
        os.kill(process.pid, signal.SIGSTOP)  # for ever
        made.seconds = 0.2
        with pytest.raises(BrokenImage, match="too long"):
            made.squares(encoded(scene(0)), [Square(8, "bilinear")])
        assert not process.is_alive()
        made.seconds = 60
        assert made.squares(encoded(scene(1)), [Square(8, "bilinear")])[0].shape == (8, 8, 3)
    finally:
        made.close()


def test_one_that_ends_the_process_is_told_and_the_next_is_decoded(decoder: Decoder) -> None:
    decoder.squares(encoded(scene(0)), [Square(8, "bilinear")])
    process = decoder._process
    assert process is not None and process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    threading.Timer(0.3, process.kill).start()  # as the system does with one that takes too much
    with pytest.raises(BrokenImage, match="too much memory"):
        decoder.squares(encoded(scene(0)), [Square(8, "bilinear")])
    assert decoder.squares(encoded(scene(1)), [Square(8, "bilinear")])


@pytest.mark.parametrize("instead", [print, Connection.recv], ids=["it ends", "it hangs"])
def test_a_process_that_does_not_start_is_told_and_none_is_left(
    instead: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(multiprocessing.active_children())
    made = Decoder(60)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(of_decoder, "_serve", instead)
            patch.setattr(of_decoder, "STARTS", 60 if instead is print else 0.5)
            with pytest.raises(Refused, match="does not start") as refused:
                made.squares(encoded(scene(0)), [Square(8, "bilinear")])
        assert refused.value.status == 503
        assert set(multiprocessing.active_children()) == before
        assert made._line is None
        assert made.squares(encoded(scene(1)), [Square(8, "bilinear")])[0].shape == (8, 8, 3)
    finally:
        made.close()
