from pathlib import Path

import imagehash
import numpy as np
import pytest
import torch
from PIL import Image

from ganpipe.dedupe import hashes, projection
from support.dedupe_settings import dedupe_params
from support.scenes import scenes


@pytest.mark.parametrize("method", ["phash", "dhash", "whash"])
def test_perceptual_hashes_are_imagehashs(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "BATCH", 3)
    squares = scenes(8)
    found = hashes.fit(dedupe_params(method=method), squares, torch.device("cpu"), Path()).codes(squares)
    for code, square in zip(found, squares, strict=True):
        expected = getattr(imagehash, method)(Image.fromarray(square))
        assert code.tobytes().hex() == str(expected)
    assert not list(Path().glob("*.safetensors"))


@pytest.mark.parametrize("method", ["whitened", "autoencoder"])
def test_learned_hashes_are_kept_beside_what_they_found(method: str) -> None:
    squares = scenes(40)
    learned = hashes.fit(dedupe_params(method=method, code_bits=40), squares, torch.device("cpu"), Path())
    codes = learned.codes(squares)
    assert codes.shape == (40, 5)
    np.testing.assert_array_equal(projection.load(Path("encoder.safetensors")).codes(squares), codes)
    assert ("reconstruction_error" in learned.figures) == (method == "autoencoder")
