"""What the file of an image may take: told beforehand as it is measured, and refused by the system beyond."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpus.hostile_images import chunk, png, tiff_of_a_tile
from corpus.pictures import encode
from PIL import Image

from ganpipe.corpus import bounds
from ganpipe.corpus.images import BrokenImage, decode

SIDE = 2400  # pixels of a square
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process holds")


def forms() -> dict[str, bytes]:
    """An image of that side in each format and mode that takes memory of its own."""
    blocks = np.random.default_rng(0).integers(0, 256, (SIDE // 40, SIDE // 40, 3), np.uint8)
    photo = Image.fromarray(np.kron(blocks, np.ones((40, 40, 1), np.uint8)))
    grey, ink, alpha, few = photo.convert("L"), photo.convert("CMYK"), photo.convert("RGBA"), photo.quantize(16)
    alpha.putalpha(grey)
    turned = Image.Exif()
    turned[0x0112] = 6
    made: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "JPEG": (photo, {"subsampling": 0}),
        "JPEG turned": (photo, {"exif": turned}),
        "JPEG progressive": (photo, {"subsampling": 0, "progressive": True, "exif": turned}),
        "JPEG progressive 420": (photo, {"subsampling": 2, "progressive": True}),
        "JPEG progressive CMYK": (ink, {"progressive": True}),
        "PNG": (photo, {}),
        "PNG grey": (grey, {}),
        "PNG transparent": (alpha, {"exif": turned}),
        "PNG few": (few, {"transparency": 3}),
        "PNG LA": (alpha.convert("LA"), {}),
        "PNG 16": (Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), {}),
        "GIF": (few, {"transparency": 3}),
        "BMP": (photo, {}),
        "PPM": (photo, {}),
        "TIFF": (photo, {}),
        "TIFF deflated": (ink, {"compression": "tiff_deflate", "exif": turned}),
        "TIFF in one strip": (alpha, {"compression": "tiff_deflate", "strip_size": 1 << 30}),
        "WEBP": (photo, {"quality": 50, "method": 0}),
        "WEBP transparent": (alpha, {"lossless": True, "quality": 0, "method": 0}),
        "AVIF": (photo, {"speed": 10, "subsampling": "4:4:4"}),
        "AVIF transparent": (alpha, {"speed": 10, "subsampling": "4:4:4", "exif": turned}),
    }
    files = {name: encode(image, name.split()[0], **options) for name, (image, options) in made.items()}
    return {
        **files,
        "PNG of 16 bits": png(SIDE, SIDE, 16, 6, interlaced=1),
        "PPM up to 254": b"P6 500 500 254\n" + bytes(750_000),
    }


CHILD = """
import io, json, os, sys
from pathlib import Path
from PIL import Image
from ganpipe.corpus import bounds
from ganpipe.corpus.images import FORMATS, BrokenImage, _turn, decode

def kept(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) * 1024

for path in sorted(Path(sys.argv[1]).iterdir()):
    data = path.read_bytes()
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:  # loads what all images share
        told = bounds.needed(image, len(data), bounds.prepared(data)[1], _turn(image) is not None)
    del image
    bounds.ROOM = int(sys.argv[2])
    if os.fork():
        os.wait()
        continue
    Path("/proc/self/clear_refs").write_text("5")
    before, came = kept("VmRSS"), "image"
    try:
        decode(data)
    except BrokenImage as broken:
        came = str(broken)
    print(json.dumps([path.name, came, told, kept("VmHWM") - before + len(data)]), flush=True)
    os._exit(0)
"""


def decoded(folder: Path, contents: dict[str, bytes], room: int) -> dict[str, tuple[str, int, int]]:
    """By name what came of an image where there is so much room, what was told of its memory, and what it took."""
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    command = [sys.executable, "-c", CHILD, str(folder), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name: (came, told, took) for name, came, told, took in map(json.loads, done.stdout.splitlines())}


@linux
def test_no_form_takes_more_than_is_told(tmp_path: Path) -> None:
    contents = forms()
    found = decoded(tmp_path, contents, bounds.ROOM)
    assert {name: came for name, (came, *_) in found.items()} == dict.fromkeys(contents, "image")
    slack = 8 << 20  # of the allocator, which keeps small pieces, of a decoder's lines, and of code that is loaded
    assert {name: each for name, each in found.items() if each[2] > each[1] + slack} == {}
    loose = {name: each for name, each in found.items() if each[2] < each[1] / 2}
    assert loose.keys() <= {"PNG grey", "PNG 16", "PPM up to 254"}, loose  # what is told is no wild guess either


@linux
def test_what_no_check_foresees_is_set_aside(tmp_path: Path) -> None:
    text = b"tEXtkey\0" + bytes(40 << 20)
    plain = encode(Image.new("RGB", (8, 8)))
    whole = plain[:33] + chunk(text) + plain[33:]
    for room, came in ((60 << 20, "too much memory"), (400 << 20, "image")):  # the file, and not a copy of its text
        assert decoded(tmp_path, {"text": whole}, room)["text"][0] == came


BOUND = """
from ganpipe.corpus import bounds

with bounds.limited(bounds.held() + (64 << 20)):
    print(len(bytes(16 << 20)))
    try:
        bytes(128 << 20)
    except MemoryError:
        print("refused")
print(len(bytes(128 << 20)))
"""


@linux
def test_memory_beyond_the_bound_is_refused_and_then_to_be_had_again() -> None:
    done = subprocess.run([sys.executable, "-c", BOUND], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(16 << 20), "refused", str(128 << 20)]


def scans(count: int, between: bytes = b"") -> bytes:
    whole = encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:-2] + (between + whole[last:-2]) * count + whole[-2:]


@pytest.mark.parametrize("between", [b"", b"\xff\xfe\0\x06\xff\xd9\xff\xd9"], ids=["plain", "behind a false end"])
def test_a_jpeg_of_very_many_scans_is_refused(between: bytes) -> None:
    assert decode(scans(50, between)).size == (64, 64)
    with pytest.raises(BrokenImage, match="too many scans"):
        decode(scans(200, between))


@pytest.mark.parametrize("hidden", [b"\xff\xe1", b"\xff\xfe"], ids=["thumbnails", "comments"])
def test_scans_in_what_is_no_scan_do_not_count(hidden: bytes) -> None:
    whole = encode(Image.new("RGB", (64, 64)), "JPEG")
    thumbnails = hidden + (2 + 2 * 1000).to_bytes(2) + b"\xff\xda" * 1000
    behind = whole[:2] + thumbnails + whole[2:] + b"\xff\xda\0\2" * 1000  # as a film behind a photograph has them
    assert decode(behind).size == (64, 64)


def test_very_much_before_the_pixels_of_a_jpeg_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MAX_HEAD", 100_000)
    whole = encode(Image.effect_noise((400, 400), 90), "JPEG", quality=95)
    assert len(whole) > 100_000
    assert decode(whole).size == (400, 400)
    piece = b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65527)
    with pytest.raises(BrokenImage, match="too much metadata"):
        decode(whole[:2] + piece * 2 + whole[2:])


@pytest.mark.parametrize("body", [b"1 2 3\n4 5 6\n", b"1 2 3 # three\n4#\n5\r\n# x\r6\n"])
def test_comments_in_a_plain_image_are_left_out(body: bytes) -> None:
    image = decode(b"P3\n# a comment\n2 1\n255\n" + body)
    assert np.asarray(image).tolist() == [[[1, 2, 3], [4, 5, 6]]]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: tiff_of_a_tile(40_000, 10, b"x"), "gigantic"),
        (lambda: tiff_of_a_tile(1000, 10, b"x"), "broken"),
        (lambda: b"P3 12000 12000 255\n", "gigantic"),
        (lambda: b"P6 12000 12000 255\n", "truncated"),
    ],
    ids=["tile", "small tile", "in digits", "in bytes"],
)
def test_what_is_unpacked_on_the_way_counts(make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(BrokenImage, match=reason):
        decode(make())
