"""Bytes from anywhere become an RGB image or a reason; images become squares as torch would make them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from corpus.pictures import encode, gigantic, noise, two_frames
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganpipe.corpus.images import BrokenImage, decode, grid, measure, square, squared
from support.scenes import scene

PHOTO = noise(1, 24, 36)[0]
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
SAMPLES = {form: encode(PHOTO, form) for form in FORMATS}


def decoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> np.ndarray:
    return np.asarray(decode(encode(image, form, **options)))


def colour(data: bytes) -> tuple[int, ...]:
    """The one colour that the image has all over."""
    pixels = np.asarray(decode(data)).reshape(-1, 3)
    assert (pixels == pixels[0]).all()
    return tuple(pixels[0].tolist())


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_lossless_formats_keep_every_pixel(form: str) -> None:
    assert (decoded(PHOTO, form) == PHOTO).all()


def test_greyscale_is_repeated_over_the_channels() -> None:
    grey = PHOTO[..., 0]
    assert (decoded(grey) == grey[..., None]).all()


def test_palette_gives_its_colours() -> None:
    coloured = Image.fromarray(PHOTO).quantize(16)
    assert (decoded(coloured) == np.asarray(coloured.convert("RGB"))).all()


@pytest.mark.parametrize("form", ["PNG", "GIF"])
def test_transparent_palette_entry_becomes_white(form: str) -> None:
    image = Image.new("P", (4, 2), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    expected = np.full((2, 4, 3), 255)
    expected[1, 1] = 200, 100, 50
    assert (decoded(image, form, transparency=0) == expected).all()


def test_transparency_is_laid_on_white() -> None:
    pixels = np.array([[[0, 0, 0, 0], [9, 8, 7, 255], [0, 0, 0, 128]]], np.uint8)
    assert np.abs(decoded(pixels)[0].astype(int) - [[255] * 3, [9, 8, 7], [127] * 3]).max() <= 1


def test_sixteen_bits_are_scaled_to_eight() -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    assert (decoded(levels * 257) == levels[..., None]).all()
    assert (decoded(levels) <= 1).all()  # nearly black: clipping would have left it as it is


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colours(form: str) -> None:
    ink = Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK")
    assert np.abs(decoded(ink, form).astype(int) - (200, 30, 60)).max() <= 6


@pytest.mark.parametrize("form", ["GIF", "PNG", "TIFF"])
def test_first_frame_of_an_animation_counts(form: str) -> None:
    assert colour(two_frames(form)) == (255, 0, 0)


UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored.swapaxes(0, 1), 2),
    8: lambda stored: np.rot90(stored, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decoded(PHOTO, exif=exif), UPRIGHT[orientation](PHOTO))


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_broken_exif_does_not_cost_the_image(exif: bytes) -> None:
    assert decoded(PHOTO, "JPEG", exif=exif).shape == PHOTO.shape


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP"])
def test_half_a_file_is_truncated(form: str) -> None:
    whole = encode(noise(1, 60, 60)[0], form)
    with pytest.raises(BrokenImage, match="truncated"):
        decode(whole[: len(whole) * 6 // 10])


@pytest.mark.parametrize("size", [(20_000, 20_000), (12_000, 10_000)])  # Pillow's own limit, and ours below it
def test_gigantic_images_are_refused_unread(size: tuple[int, int]) -> None:
    with pytest.raises(BrokenImage, match="gigantic"):
        decode(gigantic(*size))


@pytest.mark.parametrize(
    "data",
    [
        b"this is a letter, whatever its name says",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        encode(PHOTO, "ICO"),  # Pillow could; it may try only the formats that we list
        b"",
        bytes(64),
    ],
    ids=["text", "svg", "postscript", "ico", "empty", "zeros"],
)
def test_what_is_no_image_is_called_so(data: bytes) -> None:
    with pytest.raises(BrokenImage, match="not an image"):
        decode(data)


def test_floating_point_pixels_are_refused() -> None:
    with pytest.raises(BrokenImage, match="floating-point"):
        decode(encode(Image.new("F", (8, 8), 0.5), "TIFF"))


def image_or_reason(data: bytes) -> None:
    try:
        image = decode(data)
    except BrokenImage as broken:
        assert 0 < len(str(broken)) < 40
    else:
        assert image.mode == "RGB"
        assert np.asarray(image).shape == (image.height, image.width, 3)


@settings(deadline=None, max_examples=100)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF", b"BM", b"II*\0", b"P6 "]),
    rest=st.binary(max_size=200),
)
def test_any_bytes_are_an_image_or_have_a_reason(start: bytes, rest: bytes) -> None:
    image_or_reason(start + rest)


@settings(deadline=None, max_examples=250)
@given(
    form=st.sampled_from(FORMATS),
    places=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=4),
    head=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=3),
    kept=st.just(1.0) | st.floats(0, 1),
)
def test_damaged_images_are_an_image_or_have_a_reason(
    form: str, places: list[tuple[float, bytes]], head: list[tuple[int, int]], kept: float
) -> None:
    data = bytearray(SAMPLES[form])
    for share, patch in places:
        start = int(share * len(data))
        data[start : start + len(patch)] = patch
    for place, value in head:  # sizes, offsets and depths stand in the first bytes
        data[place] = value
    image_or_reason(bytes(data[: int(kept * len(data))]))


def test_a_line_of_pixels_is_squared_or_refused() -> None:
    # A file of some kilobytes; resized whole before the crop it would be 64 pixels by 1.3 thousand million.
    line = gigantic(20_000_000, 1)
    try:
        image = decode(line)
    except BrokenImage:
        return
    assert square(image, 64, "bilinear").shape == (64, 64, 3)


@pytest.mark.parametrize(("resize", "antialias"), [("bilinear", False), ("antialias", True)])
@pytest.mark.parametrize("shape", [(40, 64), (57, 33), (100, 20), (9, 12), (16, 16), (50, 50)])
def test_square_resizes_as_torch_does(resize: str, antialias: bool, shape: tuple[int, int]) -> None:
    size, short = 16, min(shape)
    image = noise(1, *shape)[0]
    high, wide = (round(side * size / short) for side in shape)
    levels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = torch.nn.functional.interpolate(
        levels, (high, wide), mode="bilinear", align_corners=False, antialias=antialias
    )
    top, left = (high - size) // 2, (wide - size) // 2
    expected = resized[0, :, top : top + size, left : left + size].permute(1, 2, 0).numpy()
    got = square(Image.fromarray(image), size, resize)
    assert got.dtype == np.uint8
    assert np.abs(got - expected).max() <= 1.5


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 20), st.integers(1, 60), st.booleans(), st.sampled_from(["bilinear", "antialias"]))
def test_square_crops_the_centre(size: int, more: int, portrait: bool, resize: str) -> None:
    image = noise(1, size, size + more)[0]
    start = more // 2
    expected = image[:, start : start + size]
    if portrait:
        image, expected = image.swapaxes(0, 1), expected.swapaxes(0, 1)
    assert (square(Image.fromarray(image), size, resize) == expected).all()


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.integers(1, 5), st.integers(1, 3), st.integers(0, 3))
def test_grid_lays_images_out_row_by_row(count: int, columns: int, scale: int, gap: int) -> None:
    images = noise(count, 3, 4) // 2  # never white
    left_over = np.asarray(grid(images, columns, scale, gap)).copy()
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        top, left = gap + row * (3 * scale + gap), gap + column * (4 * scale + gap)
        tile = left_over[top : top + 3 * scale, left : left + 4 * scale]
        assert (tile == np.kron(image, np.ones((scale, scale, 1), np.uint8))).all()
        tile[:] = 255
    assert (left_over == 255).all()
    rows = -(-count // columns)
    assert left_over.shape == (rows * (3 * scale + gap) + gap, columns * (4 * scale + gap) + gap, 3)


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0.6, 1), st.floats(0.6, 1)),
    st.sampled_from(["bilinear", "antialias"]),
)
def test_a_region_is_squeezed_and_nothing_beyond_it_counts(
    shape: tuple[int, int], region: tuple[float, float, float, float], resize: str
) -> None:
    """What lies in the region is white, and far outside of it black; the region's own middle is never dark."""
    high, wide = shape
    left, top, right, bottom = region
    image = np.zeros((high, wide, 3), np.uint8)
    image[int(top * high) : -int(-bottom * high // 1), int(left * wide) : -int(-right * wide // 1)] = 255
    found = square(Image.fromarray(image), 6, resize, region)
    assert found.shape == (6, 6, 3)
    # Less than two pixels of the region are interpolated with those beside it, which are black.
    of_its_own = min(high * (bottom - top), wide * (right - left)) >= 2
    assert found[2:4, 2:4].min() >= (255 if of_its_own else 63)


def test_a_whole_image_as_a_region_is_itself() -> None:
    image = noise(1, 16, 16)[0]
    assert (square(Image.fromarray(image), 16, "antialias", (0, 0, 1, 1)) == image).all()


PHOTOGRAPH = scene(3, 600, 400)


@pytest.mark.parametrize("region", [None, (0.1, 0.2, 0.9, 0.8)])
@pytest.mark.parametrize(("size", "drafted"), [(24, True), (90, True), (150, False)])
def test_a_large_jpeg_is_decoded_no_larger_than_is_wanted(
    size: int, drafted: bool, region: tuple[float, float, float, float] | None
) -> None:
    data = encode(PHOTOGRAPH, "JPEG", quality=92)
    whole = square(decode(data), size, "antialias", region)
    found = squared(data, size, "antialias", region)
    assert (decode(data, 2 * size).width < 600) == drafted
    assert np.abs(found.astype(int) - whole).mean() < 1
    assert (squared(data, size, "bilinear", region) == square(decode(data), size, "bilinear", region)).all()


@pytest.mark.parametrize("least", [1, 49, 50, 51, 99, 100, 101, 399, 400, 401])
def test_no_side_falls_below_what_is_asked_for(least: int) -> None:
    image = decode(encode(PHOTOGRAPH, "JPEG"), least)
    assert min(image.size) >= min(least, 400)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_jpeg_stands_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(PHOTOGRAPH, "JPEG", exif=exif.tobytes())
    found, whole = squared(data, 32, "antialias"), square(decode(data), 32, "antialias")
    assert np.abs(found.astype(int) - whole).mean() < 1


def verdict(work: Callable[[bytes], object], data: bytes) -> str:
    try:
        work(data)
    except BrokenImage as broken:
        return str(broken)
    return "usable"


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from([("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("GIF", {})]),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=3),
)
def test_what_is_measured_is_what_can_be_decoded(
    form: tuple[str, dict[str, bool]], kept: float, damage: list[tuple[float, int]]
) -> None:
    whole = encode(scene(5, 120, 90), form[0], **form[1])
    data = bytearray(whole[: 2 + int(kept * (len(whole) - 2))] if kept < 0.9 else whole)
    for place, byte in damage:
        data[int(place * (len(data) - 1))] = byte
    assert verdict(measure, bytes(data)) == verdict(decode, bytes(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_measured_upright_and_whole(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(PHOTOGRAPH, "JPEG", exif=exif.tobytes())
    assert measure(data) == decode(data).size == ((600, 400) if orientation < 5 else (400, 600))
