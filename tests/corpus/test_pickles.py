"""Pickles of plain arrays are read as pickle reads them; whatever else one asks for is refused, and nothing is run."""

import io
import pickle
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ganpipe.corpus.pickles import load

BATCH = {
    "data": np.arange(24, dtype=np.uint8).reshape(2, 12),
    "labels": [3, 1],
    "mean": np.array([1.5, 2.0]),
    "fortran": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    b"names": [b"a", "\u00e4", None, True, (1, 2.5, -(2**70))],
}
RAN = "ran"


def read(data: bytes) -> Any:
    return load(io.BytesIO(data))


@pytest.mark.parametrize("protocol", range(5))
def test_arrays_come_as_they_were(protocol: int) -> None:
    found = read(pickle.dumps(BATCH, protocol))
    assert list(found) == list(BATCH)
    for key, value in BATCH.items():
        assert np.array_equal(found[key], value) if isinstance(value, np.ndarray) else found[key] == value


def test_text_of_python_2_is_bytes() -> None:
    assert read(b"(dp0\nS'labels'\np1\n(lp2\nI6\naI9\nas.") == {b"labels": [6, 9]}


class Evil:
    def __init__(self, call: Callable[..., Any], *arguments: Any) -> None:
        self.wanted = call, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.wanted


def note() -> None:
    raise AssertionError(RAN)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "value",
    [
        Evil(note),
        Evil(eval, "print('ran')"),
        Evil(np.load, "x.npy"),
        np.array([None]),
        np.array(["text"]),
        np.zeros(1, [("a", "u1")]),
        np.float64(1),
        {1, 2},
        bytearray(b"x"),
        complex(1, 2),
    ],
)
def test_anything_else_is_refused(value: Any, protocol: int) -> None:
    with pytest.raises(ValueError, match="."):
        read(pickle.dumps(value, protocol))


@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02cnumpy\ndtype\n}b.",  # to change a stand-in itself
        b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01s\x86b.",
        b"\x80\x02(i__builtin__\nprint\n.",
        b"\x80\x02cnumpy\ndtype\n)\x81.",
        b"\x80\x02Ptoken\n.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02K\x01" + b"2" * 9 + b".",
        b"\x80\x02r" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x80\x02K\x01r" + struct.pack("<I", 2**32 - 1),
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"x.",
        b"",
        b".",
    ],
)
def test_programs_that_no_array_needs_are_refused(program: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        read(program)


def test_an_array_has_the_bytes_that_its_shape_wants() -> None:
    whole = pickle.dumps(BATCH["data"], 2)
    for shape in (b"K\x03K\x0c", b"K\x02K\x0d", b"J\xff\xff\xff\xffK\x18"):
        with pytest.raises(ValueError, match="with other dimensions"):
            read(whole.replace(b"K\x02K\x0c", shape))


HELD = pickle.dumps(BATCH, 2)


@settings(max_examples=300)
@given(st.integers(0, len(HELD) - 1), st.integers(0, 255), st.integers(1, len(HELD)))
@example(0, 0, 1)
def test_damage_is_refused_or_does_no_harm(place: int, byte: int, length: int) -> None:
    damaged = (HELD[:place] + bytes([byte]) + HELD[place + 1 :])[:length]
    try:
        read(damaged)
    except ValueError:
        return
