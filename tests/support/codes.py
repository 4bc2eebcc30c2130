"""Packed codes as real hashes have them: not spread evenly, with many equal ones and bits that never change."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays


@st.composite
def skewed_codes(draw: st.DrawFn, smallest: int = 0, largest: int = 60) -> np.ndarray:
    """uint8 (N, 1..4): only the bits of a mask are live, and the first rows may all be the same."""
    count, width = draw(st.integers(smallest, largest)), draw(st.integers(1, 4))
    codes = draw(arrays(np.uint8, (count, width)))
    mask = draw(st.sampled_from([0xFF, 0xFF, 0x11, 0x80, 0x00]))
    constant = draw(st.sampled_from([0, 0, count // 2, count]))
    codes &= np.uint8(mask)
    codes[:constant] = codes[:1]
    return codes


def apart(codes: np.ndarray) -> np.ndarray:
    """Differing bits between all rows, (N, N), bit by bit."""
    bits = np.unpackbits(codes, axis=1)
    return (bits[:, None, :] != bits[None, :, :]).sum(2)
