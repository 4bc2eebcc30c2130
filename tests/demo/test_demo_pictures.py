import io

import numpy as np
from PIL import Image

from ganpipe.demo.pictures import from_network, maps, png, tiles, to_network
from support.scenes import scenes


def opened(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def test_pixels_come_back_from_the_network_and_from_a_file() -> None:
    pixels = scenes(3)
    np.testing.assert_array_equal(from_network(to_network(pixels)), pixels)
    np.testing.assert_array_equal(opened(png(pixels[0])), pixels[0])
    assert from_network(np.array([[[[-9.0, 9.0]]]])).tolist() == [[[[0] * 3, [255] * 3]]]


def test_tiles_lie_without_a_gap() -> None:
    pixels = scenes(3)
    shown = opened(tiles(pixels, 2))
    assert shown.shape == (64, 64, 3)
    np.testing.assert_array_equal(shown[:32, 32:], pixels[1])
    np.testing.assert_array_equal(shown[32:, :32], pixels[2])


def test_each_map_goes_from_black_to_white() -> None:
    layer = np.random.default_rng(0).normal(size=(70, 4, 4)) * np.arange(1, 71)[:, None, None]
    shown = maps(layer)
    assert shown.shape == (8 * 33 + 1, 8 * 33 + 1, 3)  # 64 of them, eight times as large
    for row in range(8):
        one = shown[row * 33 + 1 : row * 33 + 33, 1:33]
        assert (one.min(), one.max()) == (0, 255)
    assert not maps(np.ones((1, 2, 2)))[1:33, 1:33].any()
