"""Safe decoding of images from anywhere, and the paper's resize and crop.

Bytes are hostile: nothing here trusts an image's header before its size has been checked.
"""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = (
    100_000_000  # 400 MB once decoded, 1.2 GB at the most on the way; beyond, an image is set aside as gigantic
)
MAX_ASPECT = 100  # long side by short side: a line of pixels would grow a million times when its short side is resized
# Decoders of still images only: the many that Pillow carries for rare formats are attack surface.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF")


class BrokenImage(ValueError):
    """Bytes that are no usable image; the message is the reason, short, for a manifest."""


def decode(data: bytes) -> Image.Image:
    """Bytes to an RGB image, upright: the first frame of an animation, transparency on white, 16 bits scaled to 8.

    Raises BrokenImage with a reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of sizes that are checked below
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise BrokenImage("gigantic")
                if max(image.size) > MAX_ASPECT * min(image.size):
                    raise BrokenImage("too narrow")
                image.load()
                return _to_rgb(ImageOps.exif_transpose(image))
    except BrokenImage:
        raise
    except Image.DecompressionBombError:
        raise BrokenImage("gigantic") from None
    except UnidentifiedImageError:
        raise BrokenImage("not an image") from None
    except MemoryError:
        raise
    except OSError as error:
        raise BrokenImage("truncated" if "truncated" in str(error).lower() else "broken") from None
    except Exception:  # decoders raise nearly anything on hostile bytes: SyntaxError, struct.error, KeyError, ...
        raise BrokenImage("broken") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits (`I;16`, or `I` from a PNG), which convert("RGB") would clip at 255
        levels = np.array(image)
        np.clip(levels, 0, 65535, out=levels)
        levels //= 257
        return Image.fromarray(levels.astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise BrokenImage("floating-point pixels")
    if image.has_transparency_data:
        layered = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", layered.size, "white")
        white.paste(layered, mask=layered)
        return white
    return image.convert("RGB")


def square(image: Image.Image, size: int, resize: str) -> np.ndarray:
    """Shorter side resized to `size`, then the centre crop: uint8 (size, size, 3).

    `bilinear` interpolates between the four nearest pixels whatever the scale, like OpenCV's INTER_LINEAR, which the
    authors used; `antialias` widens the filter with the scale.
    """
    if image.size == (size, size):
        return np.asarray(image)
    scale = size / min(image.size)
    wide, high = max(size, round(image.width * scale)), max(size, round(image.height * scale))
    if resize == "antialias":
        resized = image.resize((wide, high), Image.Resampling.BILINEAR)
    else:
        extent = (0, 0, image.width, image.height)
        resized = image.transform((wide, high), Image.Transform.EXTENT, extent, Image.Resampling.BILINEAR)
    left, top = (wide - size) // 2, (high - size) // 2
    return np.asarray(resized.crop((left, top, left + size, top + size)))


def grid(images: np.ndarray, columns: int, scale: int = 1, gap: int = 1) -> Image.Image:
    """uint8 (N, H, W, 3) as one picture, row by row, enlarged by a whole factor, on white."""
    count, high, wide, _ = images.shape
    rows = -(-count // columns)
    high, wide = high * scale + gap, wide * scale + gap
    canvas = np.full((rows * high + gap, columns * wide + gap, 3), 255, np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * high + gap, place % columns * wide + gap
        canvas[top : top + high - gap, left : left + wide - gap] = image.repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(canvas)
