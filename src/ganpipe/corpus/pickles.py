"""Pickled arrays, as CIFAR and the downsampled ImageNet are published, read without running anything of theirs.

A pickle is a program: to load one is to call whatever it names. Here it may build lists, dicts, numbers, text, bytes
and arrays of plain numbers, these by stand-ins of our own; any other instruction, and any other name, is refused.
"""

import math
import pickle
from typing import IO, Any, ClassVar, Literal

import numpy as np

PLAIN = (
    *(pickle.PROTO, pickle.FRAME, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.STACK_GLOBAL, pickle.REDUCE),
    *(pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.INT, pickle.LONG, pickle.FLOAT, pickle.BINFLOAT),
    *(pickle.BININT, pickle.BININT1, pickle.BININT2, pickle.LONG1),
    *(pickle.STRING, pickle.BINSTRING, pickle.SHORT_BINSTRING, pickle.UNICODE, pickle.BINUNICODE),
    *(pickle.SHORT_BINUNICODE, pickle.BINBYTES, pickle.SHORT_BINBYTES, pickle.BINBYTES8),
    *(pickle.EMPTY_LIST, pickle.LIST, pickle.APPEND, pickle.APPENDS, pickle.EMPTY_DICT, pickle.DICT, pickle.SETITEM),
    *(pickle.SETITEMS, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3),
    *(pickle.PUT, pickle.BINPUT, pickle.LONG_BINPUT, pickle.MEMOIZE, pickle.GET, pickle.BINGET, pickle.LONG_BINGET),
)


def load(file: IO[bytes]) -> Any:
    """The value, with text of Python 2 as bytes and arrays as `numpy.ndarray`. Raises ValueError with a reason."""
    try:
        return _unwrapped(_Reader(file, encoding="bytes").load())
    except ValueError:
        raise
    except Exception as error:  # a damaged one fails in any instruction, with anything
        raise ValueError(f"it is no pickle of plain arrays ({type(error).__name__}: {error})") from None


class _Dtype:
    """In the place of `numpy.dtype`: a type of plain numbers, by its name."""

    __slots__ = ("order", "plain")

    def __init__(self, name: Any, *_: Any) -> None:
        text = name.decode("ascii") if isinstance(name, bytes) else name
        if not isinstance(text, str) or text[:1] not in "biuf" or not text[1:].isdigit():
            raise ValueError(f"it holds an array of {name!r:.40}, not of plain numbers")
        self.plain = np.dtype(text)
        self.order: Literal["<", ">", "="] = "="

    def state(self, state: Any) -> None:
        """Of what numpy keeps there only the order of the bytes is of interest."""
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        orders: dict[str, Literal["<", ">", "="]] = {"<": "<", ">": ">", "|": "=", "=": "="}
        self.order = orders[order]


class _Array:
    """In the place of `numpy.ndarray`, which numpy makes empty and then fills."""

    __slots__ = ("array",)

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def state(self, state: Any) -> None:
        """Version, shape, type, whether in Fortran's order, bytes."""
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or any(type(side) is not int for side in shape):
            raise ValueError("it holds an array that is not one of plain numbers")
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.plain.itemsize != len(data):
            raise ValueError(f"it holds an array of {len(data):,} bytes with other dimensions")
        values = np.frombuffer(data, dtype.plain.newbyteorder(dtype.order))
        self.array = values.reshape(shape, order="F" if fortran else "C")


class _Latin:
    """In the place of `_codecs.encode`, by which Python 3 writes bytes for Python 2."""

    def __new__(cls, text: str, encoding: str) -> Any:
        if encoding not in ("latin1", b"latin1"):
            raise ValueError(f"it holds text in {encoding!r:.40}")
        return text.encode("latin1")


_NAMES = {
    **{(module, "_reconstruct"): _Array for module in ("numpy.core.multiarray", "numpy._core.multiarray")},
    ("numpy", "ndarray"): "an argument of the former",
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _Latin,
}


class _Reader(pickle._Unpickler):  # the one in Python: in C, a place in the memo of 2**32 takes 32 GiB
    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in PLAIN}

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise ValueError(f"it names {module}.{name}, which no plain array needs") from None

    def load_build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _Dtype):
            raise ValueError("it builds other things than arrays")
        self.stack[-1].state(state)

    dispatch[pickle.BUILD[0]] = load_build


def _unwrapped(value: Any) -> Any:
    """The arrays of the stand-ins, as far down as published files have them."""
    if isinstance(value, _Array):
        if value.array is None:
            raise ValueError("it holds an array without values")
        return value.array
    if isinstance(value, dict):
        return {key: _unwrapped(each) for key, each in value.items()}
    return value
