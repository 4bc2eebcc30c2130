"""Safe decoding of images from anywhere, and the paper's resize and crop.

Bytes are hostile: nothing here trusts an image's header before its size has been checked.
"""

import io
import math
import warnings

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from ganpipe.corpus import bounds

MAX_ASPECT = 100  # long side by short side: a line of pixels would grow a million times when its short side is resized
# Decoders of still images only: the many that Pillow carries for rare formats are attack surface.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF")
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # by EXIF's orientation
SIDEWAYS = {TURNS[number] for number in range(5, 9)}
FINER = 2  # times its size in pixels that a JPEG is decoded to, before it is made small
Region = tuple[float, float, float, float]  # left, top, right, bottom, in shares of an image's sides


class BrokenImage(ValueError):
    """Bytes that are no usable image; the message is the reason, short, for a manifest."""


def decode(data: bytes, least: int | None = None) -> Image.Image:
    """Bytes to an RGB image, upright: the first frame of an animation, transparency on white, 16 bits scaled to 8.

    Where `least` is given, a JPEG may come at a half, a quarter or an eighth of its size, with no side below `least`:
    its frequencies beyond that are never computed. Raises BrokenImage with a reason.
    """
    return _guarded(data, least)[0]


def measure(data: bytes) -> tuple[int, int]:
    """Width and height, upright, of what `decode` takes; BrokenImage for the same reasons as there.

    All of the file is read, but of a JPEG an eighth of the pixels' rows and columns is made: a third of the time.
    """
    return _guarded(data, 1)[1]


Measured = tuple[Image.Image, tuple[int, int]]  # an image, perhaps reduced, and its whole width and height


def _guarded(data: bytes, least: int | None) -> Measured:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata and of sizes that are checked below
            with bounds.limited(bounds.held() + bounds.ROOM - len(data)):
                return _rgb(*bounds.prepared(data), least)
    except BrokenImage:
        raise
    except bounds.OutOfBounds as error:
        raise BrokenImage(str(error)) from None
    except Image.DecompressionBombError:
        raise BrokenImage("gigantic") from None
    except UnidentifiedImageError:
        raise BrokenImage("not an image") from None
    except MemoryError:
        raise BrokenImage("too much memory") from None
    except OSError as error:
        raise BrokenImage("truncated" if "truncated" in str(error).lower() else "broken") from None
    except Exception:  # decoders raise nearly anything on hostile bytes: SyntaxError, struct.error, KeyError, ...
        raise BrokenImage("broken") from None


def _rgb(data: bytes, scans: int, least: int | None) -> Measured:
    """Each step lets go of what the one before it has made: at 100 million pixels, of 400 MB."""
    image, size = _loaded(data, scans, least)
    if image.mode.startswith("I"):  # 16 bits (`I;16`, or `I` from a PNG), which convert("RGB") would clip at 255
        image = image if image.mode == "I;16" else image.convert("I")
        image = image.point(lambda level: level * (1 / 257) + 0.5 / 257).convert("L")
    if image.mode == "F":
        raise BrokenImage("floating-point pixels")
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image)
        return white, size
    return image if image.mode == "RGB" else image.convert("RGB"), size


def _loaded(data: bytes, scans: int, least: int | None) -> Measured:
    """The image upright, as its format has it, without its file and its decoder."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        if bounds.needed(image, len(data), scans, _turn(image) is not None) > bounds.ROOM:
            raise BrokenImage("gigantic")
        if max(image.size) > MAX_ASPECT * min(image.size):
            raise BrokenImage("too narrow")
        wide, high = image.size
        if least is not None:
            image.draft(image.mode, (least, least))
        image.load()
        turn = _turn(image)  # again, for a PNG may say so after its pixels
        whole = (high, wide) if turn in SIDEWAYS else (wide, high)
        return image._new(image.im if turn is None else image.im.transpose(turn)), whole


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes it upright, where its metadata say so."""
    try:
        return TURNS.get(Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1))
    except Exception:  # metadata are as hostile as the rest, and cost no image
        return None


def square(image: Image.Image, size: int, resize: str, region: Region | None = None) -> np.ndarray:
    """Shorter side resized to `size`, then the centre crop; or `region`, squeezed: uint8 (size, size, 3).

    `bilinear` interpolates between the four nearest pixels whatever the scale, like OpenCV's INTER_LINEAR, which the
    authors used; `antialias` widens the filter with the scale.
    """
    if region is not None:
        wide, high = image.size
        left, top, right, bottom = region
        return np.asarray(_resized(image, (size, size), resize, (left * wide, top * high, right * wide, bottom * high)))
    if image.size == (size, size):
        return np.asarray(image)
    scale = size / min(image.size)
    wide, high = max(size, round(image.width * scale)), max(size, round(image.height * scale))
    # Of the resized image no more than the square is made.
    across, down = image.width / wide, image.height / high
    left, top = (wide - size) // 2 * across, (high - size) // 2 * down
    return np.asarray(_resized(image, (size, size), resize, (left, top, left + size * across, top + size * down)))


def squared(data: bytes, size: int, resize: str, region: Region | None = None) -> np.ndarray:
    """`square` of an image's bytes. Of a large JPEG, which is to be made small, no more is decoded than that takes."""
    if resize != "antialias":  # the four nearest pixels are those of the whole image
        return square(decode(data), size, resize, region)
    left, top, right, bottom = region or (0.0, 0.0, 1.0, 1.0)
    return square(decode(data, math.ceil(FINER * size / min(right - left, bottom - top))), size, resize, region)


def _resized(
    image: Image.Image, size: tuple[int, int], resize: str, box: tuple[float, float, float, float]
) -> Image.Image:
    if resize == "antialias":
        return image.resize(size, Image.Resampling.BILINEAR, box)
    return image.transform(size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR)


def grey(images: np.ndarray) -> np.ndarray:
    """The luminance of uint8 (N, H, W, 3), as Pillow weighs it: uint8 (N, H, W, 1)."""
    weighted = images.astype(np.uint32) @ np.array([19595, 38470, 7471], np.uint32)
    return ((weighted + 0x8000) >> 16).astype(np.uint8)[..., None]


def grid(images: np.ndarray, columns: int, scale: int = 1, gap: int = 1) -> Image.Image:
    """uint8 (N, H, W, 3), or grey (N, H, W, 1), as one picture, row by row, enlarged by a whole factor, on white."""
    count, high, wide, _ = images.shape
    rows = -(-count // columns)
    high, wide = high * scale + gap, wide * scale + gap
    canvas = np.full((rows * high + gap, columns * wide + gap, 3), 255, np.uint8)
    for place, image in enumerate(images):
        top, left = place // columns * high + gap, place % columns * wide + gap
        canvas[top : top + high - gap, left : left + wide - gap] = image.repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(canvas)
