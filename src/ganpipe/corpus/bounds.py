"""What the file of one image may take on its way to pixels: memory, and times that a decoder goes over it.

Small files unpack to gigabytes, and headers lie. What can be told beforehand is; the operating system refuses the rest.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import AvifImagePlugin, Image, ImageFile, JpegImagePlugin, TiffImagePlugin

if sys.platform == "linux":
    import resource

    FREE, MOST = resource.getrlimit(resource.RLIMIT_DATA)

ROOM = 840 << 20  # bytes, the file's own among them: the download stage holds up to 180 MiB without any image
MAX_SCANS = 100  # of a JPEG, as libtiff has it: a progressive one has about ten, and each goes over all its pixels
MAX_HEAD = 32 << 20  # bytes of a JPEG before its pixels: Pillow joins them again with each piece
END, SCAN, LONELY = b"\xff\xd9", b"\xff\xda", range(0xD0, 0xDA)  # those that no length follows
MARKER = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
COMMENTS = re.compile(rb"(?:#[^\r\n]*+[\r\n]*+)++")

Image.MAX_IMAGE_PIXELS = ROOM // 8  # Pillow refuses twice as many: there is no room for four bytes of each
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each would take memory, and the pool has a process for each core


class OutOfBounds(ValueError):
    """The message is the reason, short."""


def prepared(data: bytes) -> tuple[bytes, int]:
    """The file as it may be opened, and a JPEG's scans. Raises OutOfBounds where opening it would take for ever."""
    if data[:2] in (b"P1", b"P2", b"P3"):  # pixels in digits: Pillow moves a megabyte at each comment among them
        return COMMENTS.sub(b"\n", data), 0
    scans = 0
    if data.startswith(b"\xff\xd8"):
        head, scans = _jpeg(data)
        if head > MAX_HEAD:
            raise OutOfBounds("too much metadata")
        if scans > MAX_SCANS:
            raise OutOfBounds("too many scans")
    return data, scans


def needed(image: ImageFile.ImageFile, size: int, scans: int, turned: bool) -> int:
    """Bytes at the peak of decoding an image that is open, of a file of `size` bytes, as measured with Pillow 13.

    `scans` is how many a JPEG has.
    """
    pixels = image.width * image.height
    # Four bytes a pixel as it is decoded, and four more where it is turned or converted.
    each = 4.0 if image.mode == "RGB" and "transparency" not in image.info and not turned else 8.0
    if image.format == "WEBP":
        return 4 * size + 17 * pixels  # two canvases, and the frame, beside the image
    if image.format == "AVIF":
        return size + (13 if image.mode == "RGBA" else 11) * pixels  # planes of 8 bits, and the frame
    if image.format == "PPM" and image.tile[0].codec_name != "raw":
        return size + 12 * pixels  # the frame, twice
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.info.get("compression") != "raw":
        tags = image.tag_v2
        bits = max(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,))) * tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
        strip = min(pixels, tags.get(TiffImagePlugin.ROWSPERSTRIP, pixels) * max(image.size))
        tile = tags.get(TiffImagePlugin.TILEWIDTH, 0) * tags.get(TiffImagePlugin.TILELENGTH, 0)
        size += (tile or strip) * bits // 8  # of which one is unpacked at a time
    if isinstance(image, JpegImagePlugin.JpegImageFile) and (image.info.get("progressive") or scans > 1):
        widest, highest = (max(layer[side] for layer in image.layer) for side in (1, 2))
        coefficients = sum(layer[1] * layer[2] for layer in image.layer) / (widest * highest)
        each = max(each, 4 + 2 * coefficients)  # of two bytes each, all held
    return size + int(each * pixels)


def held() -> int:
    """Bytes of memory that this process may write to: on Linux, and 0 elsewhere."""
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 (a tenth of what a Path takes)
        return int(file.read(200).split()[5]) * resource.getpagesize()


@contextmanager
def limited(most: int) -> Iterator[None]:
    """Let this process hold no more than `most` bytes: who asks for more gets a MemoryError, or his library's own.

    On Linux, where no limit is set already; of the whole process, so that other threads are bound by it, too.
    """
    if sys.platform != "linux" or FREE != resource.RLIM_INFINITY:
        yield
        return
    resource.setrlimit(resource.RLIMIT_DATA, (most, MOST))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (FREE, MOST))


def _jpeg(data: bytes) -> tuple[int, int]:
    """Bytes before its first scan, and how many scans there are, up to one too many."""
    if len(data) <= MAX_HEAD and data.count(SCAN) == 1:
        return 0, 1
    head = scans = 0
    at = 2
    while scans <= MAX_SCANS and (scans or at <= MAX_HEAD) and (found := MARKER.search(data, at)) is not None:
        at = found.end()
        if found[0] == SCAN:
            head, scans = head or found.start(), scans + 1
        elif found[0] == END and scans:
            break
        if found[0][1] not in LONELY:
            at += int.from_bytes(data[at : at + 2])
    return head or len(data), scans
