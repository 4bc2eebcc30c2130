"""What happens to an image on its way through the web: the known changes that near-duplicates differ by.

Each takes an RGB image of at least 8 x 8 pixels and a generator, and gives an RGB image, of the same size but where it
says otherwise. Amounts that are random are drawn from the generator and from nothing else.
"""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

Perturbation = Callable[[Image.Image, np.random.Generator], Image.Image]

FAINTEST, STRONGEST = 0.15, 0.3  # share by which brightness and contrast change


def _recompressed(image: Image.Image, source: np.random.Generator, quality: int) -> Image.Image:
    written = io.BytesIO()
    image.save(written, "JPEG", quality=quality)
    return Image.open(written).convert("RGB")


def _resized(image: Image.Image, source: np.random.Generator, scale: float) -> Image.Image:
    """Smaller by that scale, and left so: a hash brings every image to one size."""
    return image.resize((round(scale * image.width), round(scale * image.height)), Image.Resampling.BILINEAR)


def _shifted(image: Image.Image, source: np.random.Generator) -> Image.Image:
    """Moved by 1/32 of each side in one of 8 directions; what comes in repeats the edge."""
    right, down = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))[source.integers(8)]
    rows = np.arange(image.height) - down * max(1, round(image.height / 32))
    columns = np.arange(image.width) - right * max(1, round(image.width / 32))
    pixels = np.asarray(image)
    return Image.fromarray(pixels[rows.clip(0, image.height - 1)][:, columns.clip(0, image.width - 1)])


def _cropped(image: Image.Image, source: np.random.Generator) -> Image.Image:
    """A window of 0.95 of each side, rounded down, anywhere in the image, and left that small."""
    wide, high = int(0.95 * image.width), int(0.95 * image.height)
    left, top = int(source.integers(image.width - wide + 1)), int(source.integers(image.height - high + 1))
    return image.crop((left, top, left + wide, top + high))


def _enhanced(
    image: Image.Image,
    source: np.random.Generator,
    enhance: type[ImageEnhance.Brightness] | type[ImageEnhance.Contrast],
) -> Image.Image:
    """Brightness or contrast, less or more by a random share."""
    return enhance(image).enhance(1 + source.choice((-1, 1)) * source.uniform(FAINTEST, STRONGEST))


def _blurred(image: Image.Image, source: np.random.Generator) -> Image.Image:
    """Gaussian blur with a standard deviation of 1/48 of the shorter side: 2/3 pixel at 32, 10 at 480."""
    return image.filter(ImageFilter.GaussianBlur(min(image.size) / 48))


def _overlaid(image: Image.Image, source: np.random.Generator) -> Image.Image:
    """A mark in a random corner, as stock agencies and sites print theirs: words on a block, black and white.

    Half as wide and a sixth as high as the shorter side.
    """
    side = min(image.size)
    block = Image.new("RGB", (side // 2, max(1, side // 6)), "black")
    font = ImageFont.load_default(max(1.0, 0.13 * side))
    ImageDraw.Draw(block).text((block.width / 2, block.height / 2), "site.net", fill="white", font=font, anchor="mm")
    marked = image.copy()
    left, top = source.integers(2) * (image.width - block.width), source.integers(2) * (image.height - block.height)
    marked.paste(ImageOps.invert(block) if source.integers(2) else block, (int(left), int(top)))
    return marked


def _grey(image: Image.Image, source: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def _flipped(image: Image.Image, source: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image)


PERTURBATIONS: dict[str, Perturbation] = {
    "jpeg_90": partial(_recompressed, quality=90),
    "jpeg_75": partial(_recompressed, quality=75),
    "jpeg_50": partial(_recompressed, quality=50),
    "resize_0.8": partial(_resized, scale=0.8),
    "resize_0.5": partial(_resized, scale=0.5),
    "shift_1": _shifted,
    "crop_0.95": _cropped,
    "brightness": partial(_enhanced, enhance=ImageEnhance.Brightness),
    "contrast": partial(_enhanced, enhance=ImageEnhance.Contrast),
    "blur": _blurred,
    "overlay": _overlaid,
    "greyscale": _grey,
    "flip": _flipped,
}
MILD = ("jpeg_75", "resize_0.8", "shift_1")  # what any hash that is called semantic should not notice
