"""Image files: one of each kind that is accepted, and what decoders are attacked with."""

import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from corpus.hostile import Input, Kind, altered, numbers
from corpus.pictures import encode, noise, two_frames
from PIL import Image

PHOTO = Image.fromarray(noise(1, 24, 36)[0])
SMOOTH = Image.linear_gradient("L").resize((48, 32))
Tag = tuple[int, int, int, bytes]  # of a TIFF: which, type, count, value or where it lies
SHORT, LONG, RATIONAL, UNDEFINED = 3, 4, 5, 7


@cache
def valid() -> list[bytes]:
    """One of each kind, all of them usable."""
    alpha, grey, few = PHOTO.convert("RGBA"), PHOTO.convert("L"), PHOTO.quantize(16)
    alpha.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    turned = Image.Exif()
    turned[0x0112], turned[0x010E] = 6, "a caption"
    frames = [PHOTO, PHOTO.transpose(Image.Transpose.ROTATE_180), PHOTO]
    moving: dict[str, Any] = {"save_all": True, "append_images": frames}
    return [
        *(encode(PHOTO, "JPEG", quality=80, subsampling=sampling) for sampling in (0, 1, 2)),
        *(encode(PHOTO, "JPEG", progressive=True, exif=turned), encode(grey, "JPEG", comment=b"grey")),
        encode(PHOTO.convert("CMYK"), "JPEG", progressive=True),
        encode(PHOTO.resize((200, 120)), "JPEG", restart_marker_blocks=3, icc_profile=bytes(500)),
        *(encode(image) for image in (PHOTO, alpha, grey, few, deep, SMOOTH, PHOTO.convert("LA"), PHOTO.convert("1"))),
        *(encode(few, transparency=3), encode(PHOTO, exif=turned, icc_profile=b"icc"), encode(PHOTO, **moving)),
        *(png(9, 7, depth, 2, interlaced=interlaced) for depth in (8, 16) for interlaced in (0, 1)),
        *(encode(few, "GIF"), encode(few, "GIF", interlace=0, transparency=2), encode(PHOTO, "GIF", **moving)),
        *(encode(image, "BMP") for image in (PHOTO, alpha, grey, few, PHOTO.convert("1"))),
        *(bmp_of_runs(32, 8), encode(PHOTO, "WEBP", exif=turned), encode(PHOTO, "WEBP", lossless=True)),
        *(encode(alpha, "WEBP"), encode(PHOTO, "WEBP", **moving), encode(alpha, "WEBP", lossless=True, **moving)),
        *(encode(PHOTO, "TIFF", compression=f"tiff_{way}") for way in ("lzw", "deflate", "adobe_deflate", "jpeg")),
        *(encode(image, "TIFF") for image in (PHOTO, alpha, grey, few, deep, PHOTO.convert("CMYK"))),
        *(encode(PHOTO, "TIFF", big_tiff=True, exif=turned), encode(PHOTO.convert("1"), "TIFF", compression="group4")),
        *(two_frames("TIFF"), tiff_of_a_tile(16, 10), encode(PHOTO, "TIFF", compression="packbits")),
        *(encode(PHOTO, "PPM"), encode(grey, "PPM"), encode(PHOTO.convert("1"), "PPM"), encode(deep, "PPM")),
        *(b"P3\n# by hand\n2 1\n100\n0 50 # half\n 100 1 2 3\n", b"P2 2 2 65535 0 1 2 3", b"P1\n3 1\n101"),
        *(encode(PHOTO, "AVIF", speed=10), encode(alpha, "AVIF", speed=10, subsampling="4:4:4")),
        *(
            encode(grey, "AVIF", speed=10),
            encode(PHOTO, "AVIF", speed=10, exif=turned),
            encode(PHOTO, "AVIF", speed=10, **moving),
        ),
    ]


def altered_image(rng: random.Random) -> bytes:
    """A PNG's checksums are made right again at times: behind them lies all that can go wrong."""
    data = altered(valid(), rng)
    if data.startswith(b"\x89PNG") and rng.random() < 0.8:
        return reordered_png(data, rng)
    return data


def made() -> Iterator[Input]:
    """What is valid, and what no accident makes."""
    for number, data in enumerate(valid()):
        yield Input("", f"valid {number}", data, 1)
    for name, data in (*_bombs(), *_pngs(), *_jpegs(), *_tiffs(), *_others()):
        yield Input("", name, data)


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Small files that announce, or are, far more pixels than there is room for."""
    yield "PNG of 64 million pixels, all there", png(8000, 8000, 8, 2)
    yield "PNG of 16 bits, 25 million pixels, all there", png(5000, 5000, 16, 6)
    for wide, high in ((20_000, 20_000), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (2**32 - 1, 2**32 - 1), (0, 0)):
        for depth, colour in ((1, 0), (8, 3), (16, 6)):
            head = numbers(">IIBBBBB", wide, high, depth, colour, 0, 0, 0)
            yield f"PNG {wide}x{high}", b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (b"IHDR" + head, b"IDAT", b"IEND")))
        yield f"PPM {wide}x{high}", b"P6 %d %d 255\n" % (wide, high)
        yield f"plain PPM {wide}x{high}", b"P3 %d %d 255\n1 2 3" % (wide, high)
        yield f"BMP {wide}x{high}", b"BM" + bytes(8) + numbers("<IIIIHHIIIIII", 54, 40, wide, high, 1, 24, *[0] * 6)
        yield f"TIFF {wide}x{high}", tiff([*_plain_tags(wide % 2**32, high % 2**32), (259, SHORT, 1, short(8))])
        sides = numbers("<I", wide - 1 & 0xFFFFFF)[:3] + numbers("<I", high - 1 & 0xFFFFFF)[:3]
        yield f"WEBP {wide}x{high}", riff(b"VP8X" + numbers("<I", 10) + bytes(4) + sides)
        yield f"lossless WEBP {wide}x{high}", riff(b"VP8L" + numbers("<IBI", 5, 0x2F, (wide | high << 14) & 0xFFFFFFF))
        avif = encode(PHOTO, "AVIF", speed=10)
        place = avif.index(b"ispe") + 8
        yield f"AVIF {wide}x{high}", avif[:place] + numbers(">II", wide % 2**32, high % 2**32) + avif[place + 8 :]
    yield (
        "GIF of 65535x65535",
        b"GIF89a" + numbers("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\2\0;",
    )
    yield "GIF with a frame larger than itself", encode(PHOTO, "GIF").replace(b",\0\0\0\0", b",\xff\xff\xff\xff", 1)
    yield "a WEBP of 16383x16383", encode(Image.new("RGB", (1, 1)), "WEBP", lossless=True)[:21] + b"\xff" * 40
    yield "an AVIF of 10x10 whose picture has 2048x2048", _lying_avif(2048)


def _lying_avif(side: int) -> bytes:
    true = encode(Image.new("L", (side, side), 9), "AVIF", speed=10)
    return true.replace(numbers(">II", side, side), numbers(">II", 10, 10))


def _pngs() -> Iterator[tuple[str, bytes]]:
    whole = encode(PHOTO)
    zeros = zlib.compress(bytes(16 << 20), 9)
    odd = {
        "a text that inflates to 16 MB": b"zTXtkey\0\0" + zeros,
        "a profile that inflates to 16 MB": b"iCCPname\0\0" + zeros,
        "an international text that inflates to 16 MB": b"iTXtkey\0\1\0\0\0" + zeros,
        "a text of 20 MB": b"tEXtkey\0" + b"x" * (20 << 20),
        "EXIF that leads in circles": b"eXIfII*\0" + numbers("<IHHHII", 8, 1, 0x8769, 4, 1, 8) + numbers("<I", 8),
        "EXIF of rationals": b"eXIf" + rational_exif(200_000),
        "an animation of 2**31 frames": b"acTL" + numbers(">II", 2**31, 0),
        "an animation without frames": b"acTL" + numbers(">II", 0, 0),
        "a frame outside": b"acTL"
        + numbers(">II", 1, 0)
        + b"fcTL"
        + numbers(">IIIIIHHBB", 0, 9, 9, 99, 99, 0, 0, 0, 0),
        "an unknown chunk that matters": b"CRIT" + bytes(10),
        "a palette of no colours": b"PLTE",
        "transparency of a single byte": b"tRNS\0",
    }
    for name, data in odd.items():
        yield f"PNG with {name}", whole[:33] + chunk(data) + whole[33:]
        yield f"PNG with {name} at its end", whole[:-12] + chunk(data) + whole[-12:]
    yield "PNG with 200,000 texts", whole[:33] + chunk(b"tEXtk\0v") * 200_000 + whole[33:]
    yield "PNG with 300,000 private chunks", whole[:33] + chunk(b"prVt") * 300_000 + whole[33:]
    yield "PNG with a chunk of 2**32 - 1", whole[:33] + numbers(">I", 2**32 - 1) + b"tEXt" + whole[33:]
    yield "PNG in 100,000 pieces", whole[:33] + chunk(b"IDAT") * 100_000 + whole[33:]
    inflated = zlib.compress(bytes(32 << 20), 9)
    yield "PNG with far more pixels than it has", png(10, 10, 8, 2, pixels=inflated)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    plain, scanned = encode(PHOTO, "JPEG"), encode(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    last = scanned[scanned.rindex(b"\xff\xda") : -2]
    yield "JPEG of 60 scans", scanned[:-2] + last * 50 + scanned[-2:]
    yield "JPEG of 20,000 scans", scanned[:-2] + last * 20_000 + scanned[-2:]
    yield "JPEG of a million scans", scanned[:-2] + last * 1_000_000 + scanned[-2:]
    end, hidden = b"\xff\xd9", b"\xff\xfe\0\x06"
    yield "JPEG of scans behind a false end", scanned[:-2] + (hidden + end * 2 + last) * 20_000 + end
    yield "JPEG whose scans are all of it", scanned[:-2] + (last[:14]) * 20_000 + end
    yield "JPEG with 300,000 segments", plain[:2] + b"\xff\xe1\0\x02" * 300_000 + plain[2:]
    exif = b"".join(segment(b"\xe1Exif\0\0" + bytes(60_000)) for _ in range(200))
    yield "JPEG with 12 MB of EXIF", plain[:2] + exif + plain[2:]
    yield "JPEG with 60 MB of EXIF", plain[:2] + exif * 5 + plain[2:]
    pieces = rational_exif(100_000)
    pieces = b"".join(segment(b"\xe1Exif\0\0" + pieces[at : at + 60_000]) for at in range(0, len(pieces), 60_000))
    yield "JPEG with EXIF of rationals", plain[:2] + pieces + plain[2:]
    yield "JPEG behind 2 MB of nothing", plain[:2] + bytes(2 << 20) + plain[2:]
    yield "JPEG with an odd index of pictures", plain[:2] + segment(b"\xe2MPF\0II*\0" + bytes(3)) + plain[2:]
    frame = plain.index(b"\xff\xc0")
    for wide, high in ((65535, 65535), (65500, 65500), (0, 0), (65535, 1)):
        yield f"JPEG of {wide}x{high}", plain[: frame + 5] + numbers(">HH", high, wide) + plain[frame + 9 :]
    for kind in (*range(0xC0, 0xD0), 0xDE):
        yield f"JPEG of kind {kind:x}", plain[: frame + 1] + bytes([kind]) + plain[frame + 2 :]
    for layers in (0, 2, 4, 5, 255):
        yield f"JPEG of {layers} layers", plain[: frame + 9] + bytes([layers]) + plain[frame + 10 :]
    for sampling in (0x00, 0xFF, 0x14, 0x41, 0x44):
        yield f"JPEG sampled {sampling:x}", plain[: frame + 11] + bytes([sampling]) + plain[frame + 12 :]


def _tiffs() -> Iterator[tuple[str, bytes]]:
    tags = _plain_tags(100, 100)
    loop = tiff(tags)
    yield "TIFF whose directory follows itself", loop[:-100] + numbers("<I", 8)
    yield "TIFF of 65,535 tags", tiff([(number, LONG, 1, long(1)) for number in range(65_535)])
    shared = [(number, UNDEFINED, 5 << 20, long(8)) for number in range(40_000, 50_000)]
    yield "TIFF of 10,000 tags that share 5 MB", tiff([*tags, *shared], bytes(6 << 20))
    yield "TIFF with a tag of 2**32 - 1 numbers", tiff([*tags, (282, RATIONAL, 2**32 - 1, long(8))])
    yield "TIFF with 300,000 rationals", tiff([*tags, (282, RATIONAL, 300_000, long(8))], bytes(3 << 20))
    yield "TIFF with a million tags", _big_tiff(1_000_000)
    for compression in (1, 5, 8, 32773, 7, 4, 34925, 50000, 50001):
        yield f"TIFF of a strip {compression}", tiff([*tags, (259, SHORT, 1, short(compression))], bytes(100))
    yield "TIFF of a tile of 100 million pixels", tiff_of_a_tile(10_000, 100)
    yield "TIFF of a tile of 2 thousand million pixels", tiff_of_a_tile(46_336, 100, zlib.compress(bytes(16 << 20), 9))
    yield "TIFF of a tile of no pixels", tiff_of_a_tile(0, 100, b"")
    strip = zlib.compress(bytes(60_000_000), 1)
    pixels = [
        *_plain_tags(8000, 7500)[:2],
        (258, SHORT, 1, short(8)),
        (259, SHORT, 1, short(8)),
        (262, SHORT, 1, short(1)),
    ]
    place = 8 + 2 + 12 * 9 + 4
    where = [(273, LONG, 1, long(place)), (277, SHORT, 1, short(1)), (278, LONG, 1, long(7500))]
    yield "TIFF of one strip of 60 million pixels", tiff([*pixels, *where, (279, LONG, 1, long(len(strip)))], strip)
    yield "TIFF with rows of 2**32 - 1", tiff([*tags[:-2], (278, LONG, 1, long(2**32 - 1)), tags[-1]], bytes(10_000))
    odd = rational_exif(50_000)
    yield "TIFF with an odd directory inside", tiff([*tags, (34665, LONG, 1, long(8))], bytes(10_000) + odd)


def _others() -> Iterator[tuple[str, bytes]]:
    frame = b",\0\0\0\0\1\0\1\0\0\2\2D\1\0"
    yield "GIF of a million frames", b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + frame * 1_000_000 + b";"
    yield "GIF with 3 MB of comments", encode(PHOTO, "GIF")[:-1] + b"!\xfe" + b"\2ab" * 1_000_000 + b"\0;"
    yield "GIF with comments first", b"GIF89a\1\0\1\0\0\0\0!\xfe" + b"\2ab" * 1_000_000 + b"\0" + frame + b";"
    yield "GIF that never ends a block", encode(PHOTO, "GIF")[:-2] + b"\xff" * 100_000
    moving = encode(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(180)])
    place = moving.index(b"ANMF")
    size = 8 + int.from_bytes(moving[place + 4 : place + 8], "little")
    yield "WEBP of 30,000 frames", riff(moving[12:place] + moving[place : place + size] * 30_000)
    yield (
        "WEBP with a chunk of 30 MB",
        riff(encode(PHOTO, "WEBP")[12:] + b"JUNK" + numbers("<I", 30 << 20) + bytes(30 << 20)),
    )
    yield "plain PPM of comments", b"P3\n10 10\n255\n" + b"#\n" * 1_000_000 + b"1 " * 300
    yield "plain PPM of comments between numbers", b"P3\n300 300\n255\n" + b"1#\n" * 270_000
    yield "PPM with a head of 1 MB", b"P6 #" + b"x" * (1 << 20) + b"\n2 2 255\n" + bytes(12)
    yield "PPM of a million pixels up to 254", b"P6 1000 1000 254\n" + bytes(3_000_000)
    yield "plain bitmap", b"P1 1000 1000\n" + b"1" * 1_000_000
    yield "BMP of lines that are one pixel", _bmp(5000, 1000, 1, b"\1\1\0\0" * 1000)
    yield "BMP of jumps", _bmp(10_000, 5000, 1, b"\0\2\xff\xff" * 1000)
    for high in (-(2**31), -1, 2**31 - 1):
        yield f"BMP {high} high", b"BM" + bytes(8) + numbers("<IIiiHHIIIIII", 54, 40, 100, high, 1, 24, *[0] * 6)
    yield from (("empty", b""), ("text", b"Dear all"), ("zeros", bytes(10_000)), ("svg", b"<svg/>"))
    yield "a narrow line", png(4000, 1, 8, 0)
    yield "fractions", encode(Image.new("F", (8, 8), 0.5), "TIFF")


def reordered_png(data: bytes, rng: random.Random) -> bytes:
    """Its chunks with right checksums, at times one of them altered, doubled, left out, or in another's place."""
    chunks: list[bytes] = []
    place = 8
    while place + 8 <= len(data) and len(chunks) < 100:
        (size,) = struct.unpack(">I", data[place : place + 4])
        chunks.append(data[place + 4 : place + 8 + min(size, len(data))])
        place += 12 + size
    if chunks and (what := rng.random()) < 0.8:
        at, other = rng.randrange(len(chunks)), rng.randrange(len(chunks))
        if what < 0.4:
            kind, contents = chunks[at][:4], bytearray(chunks[at][4:])
            for _ in range(rng.choice((1, 3)) if contents else 0):
                contents[rng.randrange(len(contents))] = rng.choice((0, 1, 255, rng.randrange(256)))
            chunks[at] = kind + bytes(contents)
        elif what < 0.55:
            chunks.insert(other, chunks[at])
        elif what < 0.65:
            del chunks[at]
        else:
            chunks[at], chunks[other] = chunks[other], chunks[at]
    return data[:8] + b"".join(map(chunk, chunks))


def chunk(kind_and_contents: bytes) -> bytes:
    """Of a PNG, with its length and its checksum."""
    checksum = zlib.crc32(kind_and_contents)
    return numbers(">I", len(kind_and_contents) - 4) + kind_and_contents + numbers(">I", checksum)


def png(wide: int, high: int, depth: int, colour: int, interlaced: int = 0, pixels: bytes | None = None) -> bytes:
    """A black one."""
    bits = depth * {0: 1, 2: 3, 6: 4}[colour]
    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    sizes = [(wide, high)] if not interlaced else [(-(-(wide - x) // a), -(-(high - y) // b)) for x, y, a, b in steps]
    if pixels is None:
        pixels = zlib.compress(
            bytes(sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0))
        )
    head = numbers(">IIBBBBB", wide, high, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, (b"IHDR" + head, b"IDAT" + pixels, b"IEND")))


def segment(kind_and_contents: bytes) -> bytes:
    """Of a JPEG, with its length."""
    return b"\xff" + kind_and_contents[:1] + numbers(">H", len(kind_and_contents) + 1) + kind_and_contents[1:]


def riff(chunks: bytes) -> bytes:
    """A WEBP of these."""
    return b"RIFF" + numbers("<I", 4 + len(chunks)) + b"WEBP" + chunks


def short(value: int) -> bytes:
    return numbers("<HH", value, 0)


def long(value: int) -> bytes:
    return numbers("<I", value)


def tiff(tags: list[Tag], rest: bytes = b"") -> bytes:
    """One directory, and what follows it."""
    listed = b"".join(numbers("<HHI", kind, form, count) + value for kind, form, count, value in sorted(tags))
    return b"II*\0" + numbers("<IH", 8, len(tags) % 65_536) + listed + numbers("<I", 0) + rest


def _plain_tags(wide: int, high: int) -> list[Tag]:
    """Of grey pixels in one strip."""
    sides = [
        (256, LONG, 1, long(wide)),
        (257, LONG, 1, long(high)),
        (258, SHORT, 1, short(8)),
        (262, SHORT, 1, short(1)),
    ]
    return [
        *sides,
        (273, LONG, 1, long(8)),
        (277, SHORT, 1, short(1)),
        (278, LONG, 1, long(high)),
        (279, LONG, 1, long(100)),
    ]


def tiff_of_a_tile(side: int, shown: int, pixels: bytes | None = None) -> bytes:
    """`shown` pixels high and wide, in a tile of `side` of them."""
    packed = zlib.compress(bytes(side * side), 1) if pixels is None else pixels
    place = 8 + 2 + 12 * 10 + 4
    tags = [*_plain_tags(shown, shown)[:4], (259, SHORT, 1, short(8)), (277, SHORT, 1, short(1))]
    tags += [(322, LONG, 1, long(side)), (323, LONG, 1, long(side))]
    return tiff([*tags, (324, LONG, 1, long(place)), (325, LONG, 1, long(len(packed)))], packed)


def _big_tiff(count: int) -> bytes:
    tags = b"".join(numbers("<HHQQ", number % 65_536, 4, 1, 1) for number in range(count))
    return b"II+\0" + numbers("<HHQQ", 8, 0, 16, count) + tags + bytes(8)


def rational_exif(count: int) -> bytes:
    """An orientation of so many fractions."""
    return b"II*\0" + numbers("<IHHHIII", 8, 1, 0x0112, RATIONAL, count, 26, 0) + numbers("<II", 1, 1) * count


def bmp_of_runs(wide: int, high: int) -> bytes:
    return _bmp(wide, high, 1, b"".join(numbers("BBBB", wide, line, 0, 0) for line in range(high)) + b"\0\1")


def _bmp(wide: int, high: int, compression: int, pixels: bytes) -> bytes:
    """Of a byte a pixel, in a grey palette."""
    palette = b"".join(numbers("BBBB", level, level, level, 0) for level in range(256))
    head = numbers("<IIIIHHIIIIII", 54 + 1024, 40, wide, high, 1, 8, compression, len(pixels), 0, 0, 256, 0)
    return b"BM" + numbers("<IHH", 54 + 1024 + len(pixels), 0, 0) + head + palette + pixels


KINDS = (Kind("image", 0.55, made, altered_image),)
