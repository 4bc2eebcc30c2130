from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from ganpipe.dedupe import projection
from ganpipe.dedupe.projection import PIXELS, Projection
from ganpipe.errors import UserError
from support.scenes import scenes


def random_projection(bits: int) -> Projection:
    source = torch.Generator().manual_seed(0)
    weight = torch.randn(PIXELS, bits, generator=source)
    return Projection(weight, -127.5 * weight.sum(0))


def test_a_bit_is_set_where_the_sum_is_positive_whatever_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    squares, one = scenes(10), random_projection(16)
    sums = squares.reshape(10, -1).astype(np.float64) @ one.weight.double().numpy() + one.bias.double().numpy()
    expected = np.packbits(sums > 0, axis=1)
    np.testing.assert_array_equal(one.codes(squares), expected)
    monkeypatch.setattr(projection, "BLOCK", 3)
    np.testing.assert_array_equal(one.codes(squares), expected)
    assert one.codes(squares[:0]).shape == (0, 2)


def test_what_is_saved_is_loaded() -> None:
    projection.save(Path("e.safetensors"), random_projection(24))
    loaded = projection.load(Path("e.safetensors"))
    np.testing.assert_array_equal(loaded.codes(scenes(5)), random_projection(24).codes(scenes(5)))


def test_what_is_no_hash_is_refused_by_a_sentence() -> None:
    path = Path("e.safetensors")
    with pytest.raises(UserError, match="e.safetensors is missing"):
        projection.load(path)
    for content in (b"", b"x" * 100, safetensors.torch.save({"weight": torch.ones(2)})):
        path.write_bytes(content)
        with pytest.raises(UserError, match="e.safetensors does not hold a hash: "):
            projection.load(path)
    path.write_bytes(safetensors.torch.save({"weight": torch.ones(9, 8), "bias": torch.ones(8)}))
    with pytest.raises(UserError, match="does not hold a hash of 32x32 images"):
        projection.load(path)
