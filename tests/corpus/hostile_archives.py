"""Archives: tar and zip in every form that is read, WebDataset's shards, and what they are attacked with."""

import bz2
import gzip
import io
import json
import lzma
import random
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache

from corpus.hostile import Input, Kind, altered, numbers
from corpus.pictures import encode, noise

PICTURE = encode(noise(1, 8, 9)[0])
PICTURES = {f"{folder}/{n}.png": encode(noise(1, 8, 9, n)[0]) for n, folder in enumerate(("rose", "rose", "lily"))}
# Where archives try to write: beside the folder that they are unpacked in, above it, and anywhere.
OUTSIDE = (
    "../escaped.png",
    "../../escaped.png",
    "../../../../../../tmp/escaped.png",
    "/tmp/escaped.png",
    "a/../../escaped.png",
)
PACK: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lambda data: lzma.compress(data, preset=1),
}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def tar(contents: dict[str, bytes], form: int = tarfile.USTAR_FORMAT, *others: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as packed:
        for name, data in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            packed.addfile(member, io.BytesIO(data))
        for other in others:
            packed.addfile(other)
    return buffer.getvalue()


def zipped(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, data in contents.items():
            packed.writestr(name, data)
    return buffer.getvalue()


def header(name: bytes = b"a.png", size: int = 0, kind: bytes = b"0", link: bytes = b"") -> bytes:
    """Of a tar archive's member, of any size, below zero too, and with a right checksum."""
    octal = b"%011o\0" % size if 0 <= size < 8**11 else b"\x80" if size >= 0 else b"\xff"
    field = octal if len(octal) > 1 else octal + (size % 2**88).to_bytes(11, "big")
    fields = (name[:100].ljust(100, b"\0"), b"0000644\0" + b"0000000\0" * 2, field, b"%011o\0" % 0, b" " * 8, kind)
    made = bytearray(b"".join((*fields, link[:100].ljust(100, b"\0"), b"ustar\x0000")).ljust(512, b"\0"))
    made[148:156] = b"%06o\0 " % sum(made)
    return bytes(made)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def extended(records: bytes, kind: bytes = b"x") -> bytes:
    """A PAX header of these."""
    return header(b"pax", len(records), kind) + padded(records)


def record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    whole = size + len(str(size))
    return b"%d %s=%s\n" % (size + len(str(whole)), key, value)


PLAIN = header(b"a.png", len(PICTURE)) + padded(PICTURE)
END = bytes(1024)
SPARSE = {b"major": b"1", b"minor": b"0", b"realsize": b"9"}  # of a file with holes, whose map comes before its bytes


@cache
def tars() -> list[bytes]:
    long = {f"{'deep/' * 30}{name}": data for name, data in PICTURES.items()}
    inner = {f"{name.split('/')[0]}.tar": tar({name: data}) for name, data in PICTURES.items()}
    plain = [tar(PICTURES), tar(long, tarfile.PAX_FORMAT), tar(long, tarfile.GNU_FORMAT), tar(inner)]
    return [*plain, *(pack(tar(PICTURES)) for pack in PACK.values())]


@cache
def zips() -> list[bytes]:
    return [zipped(PICTURES, method) for method in METHODS]


def altered_tar(rng: random.Random) -> bytes:
    """At times altered before it is compressed, and with the checksums of its headers made right again."""
    if rng.random() < 0.3:
        return altered(tars(), rng)
    data = bytearray(altered(tars()[:4], rng))
    if rng.random() < 0.7:
        for place in range(0, len(data) - 511, 512):
            if data[place + 257 : place + 262] == b"ustar":
                data[place + 148 : place + 156] = b" " * 8
                data[place + 148 : place + 156] = b"%06o\0 " % sum(data[place : place + 512])
    return rng.choice(list(PACK.values()))(bytes(data)) if rng.random() < 0.3 else bytes(data)


def altered_zip(rng: random.Random) -> bytes:
    return altered(zips(), rng)


def made_tars() -> Iterator[Input]:
    for number, data in enumerate(tars()):
        yield Input("", f"valid {number}", data, 2 if number == 3 else 3)
    for name, data in (*_traversing(), *_odd_headers(), *_packed()):
        yield Input("", name, data)


def _traversing() -> Iterator[tuple[str, bytes]]:
    for outside in OUTSIDE:
        yield f"a name {outside}", header(outside.encode(), len(PICTURE)) + padded(PICTURE) + END
        for kind, what in ((b"1", "hard link"), (b"2", "link")):
            link = header(b"here.png", 0, kind, outside.encode()) + header(b"here.png", len(PICTURE)) + padded(PICTURE)
            yield f"a {what} to {outside}", link + END
            folder = header(b"here", 0, kind, outside.rpartition("/")[0].encode() or b"..")
            yield (
                f"a {what} {outside} as a folder",
                folder + header(b"here/x.png", len(PICTURE)) + padded(PICTURE) + END,
            )
        inner = header(outside.replace(".png", ".tar").encode(), len(PLAIN + END)) + PLAIN + END
        yield f"an archive {outside}", inner + END
    for number in b"34567DKLMNSVXgx\0\x01\xff":
        yield f"a member of kind {number:#x}", header(b"a.png", 0, bytes([number])) + PLAIN + END
        yield f"a full member of kind {number:#x}", header(b"a.png", 600, bytes([number])) + bytes(1024) + PLAIN + END


def _odd_headers() -> Iterator[tuple[str, bytes]]:
    for size in (-1, -512, -513, -1024, -(2**40), -(2**63), 2**31, 2**33, 2**63 - 1, 2**63, 2**80):
        yield f"a size of {size}", PLAIN + header(b"b.png", size) + PLAIN + END
        yield f"a PAX size of {size}", PLAIN + extended(record(b"size", b"%d" % size)) + PLAIN + END
        yield f"a PAX header of {size}", PLAIN + header(b"pax", size, b"x") + PLAIN + END
        yield f"a long name of {size}", PLAIN + header(b"././@LongLink", size, b"L") + PLAIN + END
        yield f"an archive of {size}", PLAIN + header(b"b.tar", size) + PLAIN + END
    chain = extended(record(b"comment", b"x"))
    for count in (300, 3000):
        yield f"{count} PAX headers in a row", chain * count + PLAIN + END
        yield f"{count} long names in a row", (header(b"", 9, b"L") + padded(b"a/b/c.png")) * count + PLAIN + END
        yield f"{count} archives in a row", header(b"a.tar", 512 * count, b"0") + header(b"b.tar", 512) * count + END
    many = b"".join(record(b"k%d" % number, b"v") for number in range(200_000))
    yield "a PAX header of 200,000 records", extended(many) + PLAIN + END
    copies = extended(many[:600_000], b"g") + (chain + PLAIN) * 2000
    yield "a header for all of 50,000 records, and 2,000 members", copies + END
    yield (
        "a name of a million characters",
        header(b"", 1_000_000, b"L") + padded(b"n" * 999_996 + b".png") + PLAIN + END,
    )
    yield "a PAX name of a million characters", extended(record(b"path", b"n" * 1_000_000)) + PLAIN + END
    for records in (
        b"x",
        b"0 a=b\n",
        b"-5 a=b\n",
        b"99999999999999999999 a=b\n",
        b"6 a=b",
        b"5 =b\n",
        b"9" * 5000 + b" a=b\n",
    ):
        yield f"PAX records {records[:20]!r}", extended(records) + PLAIN + END
    for key, value in {
        b"size": b"9" * 5000,
        b"mtime": b"inf",
        b"path": b"\0\xff\xfe",
        b"hdrcharset": b"BINARY",
        b"linkpath": b"../../x",
        b"GNU.sparse.map": b"0,9223372036854775807,1",
        b"GNU.sparse.size": b"9223372036854775807",
        b"GNU.sparse.numblocks": b"99999999",
    }.items():
        yield f"PAX {key!r}", extended(record(key, value)) + PLAIN + END
    sparse = (
        record(b"GNU.sparse.major", b"1") + record(b"GNU.sparse.minor", b"0") + record(b"GNU.sparse.realsize", b"9")
    )
    for map_ in (b"1\n0\n9\n", b"9" * 1000 + b"\n", b"99999999\n" + b"0\n" * 500_000, b"-5\n", b"x", b"1" * 100_000):
        yield f"a sparse map {map_[:10]!r}", extended(sparse) + header(b"s.png", len(map_)) + padded(map_) + PLAIN + END
    old = bytearray(header(b"s.png", 0, b"S"))
    old[386 : 386 + 24] = b"77777777777\0" * 2
    old[482] = 1
    old[148:156] = b" " * 8
    old[148:156] = b"%06o\0 " % sum(old)
    yield "an old sparse map that never ends", bytes(old) + (b"7" * 504 + b"\1" + bytes(7)) * 1000 + END
    for tail in (b"", b"x", bytes(511), bytes(512), b"x" * 512, b"x" * 513, PLAIN[:700]):
        yield f"an end of {tail[:1]!r} {len(tail)}", PLAIN + tail


def _packed() -> Iterator[tuple[str, bytes]]:
    """Bombs of compression."""
    zeros = PLAIN + header(b"zeros.png", 24 << 20) + bytes(24 << 20) + END
    for name, pack in PACK.items():
        yield f"a picture of 24 MB of zeros, {name}", pack(zeros)
    empty = b"".join(header(b"%d.png" % number) for number in range(110_000))
    yield "110,000 empty files, gz", gzip.compress(empty + END, 1)
    yield "110,000 folders, gz", gzip.compress(b"".join(header(b"%d" % n, 0, b"5") for n in range(110_000)) + END, 1)
    yield "a PAX header of 24 MB, xz", PACK["xz"](header(b"pax", 24 << 20, b"x") + bytes(24 << 20) + PLAIN + END)
    yield "a name of 24 MB, bz2", bz2.compress(header(b"", 24 << 20, b"L") + b"n" * (24 << 20) + PLAIN + END)
    sparse = extended(b"".join(record(b"GNU.sparse." + key, value) for key, value in SPARSE.items()))
    zeros = sparse + header(b"s.png", 40 << 20) + padded(b"99999999\n" + b"0\n" * (20 << 20))
    yield "a sparse map of 40 MB, gz", gzip.compress(zeros + END, 1)
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 20}]
    asking = bytearray(lzma.compress(tar(PICTURES), lzma.FORMAT_XZ, filters=filters))
    asking[asking.index(b"\x21\x01") + 2] = 40  # a dictionary of 4 GiB
    asking[20:24] = numbers("<I", zlib.crc32(asking[12:20]))
    yield "xz that asks for 4 GiB", bytes(asking)
    whole = tar(PICTURES)
    for name, pack in PACK.items():
        yield f"two streams, {name}", pack(whole[:1000]) + pack(whole[1000:])
        yield f"zeros behind, {name}", pack(whole) + bytes(1000)
        yield f"nothing, {name}", pack(b"")
        yield f"{name} in {name}", pack(pack(whole))
    yield "gz with an endless name", b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 1_000_000
    yield "gz with too long a field", b"\x1f\x8b\x08\x04" + bytes(6) + b"\xff\xff"


def made_zips() -> Iterator[Input]:
    for number, data in enumerate(zips()):
        yield Input("", f"valid {number}", data, 3)
    for outside in OUTSIDE:
        yield Input("", f"a name {outside}", zipped({outside: PICTURE, "b.png": PICTURE}), 2)
        yield Input("", f"a name {outside}", zipped({outside.replace("/", "\\"): PICTURE}), 1)
    for name, data in (*_odd_zips(), *_zip_bombs()):
        yield Input("", name, data)


def _odd_zips() -> Iterator[tuple[str, bytes]]:
    whole = zipped({"a.png": PICTURE, "b.png": PICTURE}, zipfile.ZIP_STORED)
    local, central, end = (whole.index(mark) for mark in (b"PK\3\4", b"PK\1\2", b"PK\5\6"))
    fields = {"needed": (4, 2), "flags": (6, 2), "method": (8, 2), "crc": (14, 4), "packed": (18, 4), "size": (22, 4)}
    for name, (place, size) in {**fields, "name": (26, 2), "extra": (28, 2)}.items():
        for value in (0, 1, 8, 12, 14, 93, 99, 2 ** (8 * size - 1), 2 ** (8 * size) - 1):
            made = bytearray(whole)
            odd = (value % 2 ** (8 * size)).to_bytes(size, "little")
            made[local + place : local + place + size] = odd
            made[central + place + 2 : central + place + 2 + size] = odd
            yield f"a member's {name} of {value}", bytes(made)
    for place, size in ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)):
        for value in (0, 1, 3, 2 ** (8 * size - 1), 2 ** (8 * size) - 1):
            made = bytearray(whole)
            made[end + place : end + place + size] = value.to_bytes(size, "little")
            yield f"the end's {place} of {value}", bytes(made)
    for mode in (0o120777, 0o010644, 0o020644, 0o060644, 0o140644, 0o040755):
        info = zipfile.ZipInfo("odd.png")
        info.external_attr = mode << 16
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as packed:
            packed.writestr(info, "../../escaped.png")
            packed.writestr("a.png", PICTURE)
        yield f"a member of mode {mode:o}", buffer.getvalue()
    yield "nothing", zipped({})
    yield "a million bytes before", bytes(1_000_000) + whole
    yield "a comment with an end in it", whole[:-2] + numbers("<H", 22) + whole[-22:]
    yield "one name twice", zipped({"a.png": PICTURE, "A.png": PICTURE}).replace(b"A.png", b"a.png")
    for method in METHODS[1:]:
        yield f"a picture cut short {method}", lying(PICTURE, method, len(PICTURE) + 5)
        yield f"a picture with more {method}", lying(PICTURE, method, len(PICTURE) - 5)


def lying(data: bytes, method: int, size: int) -> bytes:
    """Of a member that announces another size than it has."""
    whole = bytearray(zipped({"a.png": data}, method))
    for mark, place in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        at = whole.index(mark) + place
        whole[at : at + 4] = numbers("<I", size)
    return bytes(whole)


def _zip_bombs() -> Iterator[tuple[str, bytes]]:
    zeros = bytes(24 << 20)
    for method in METHODS[1:]:
        yield f"a picture of 24 MB of zeros {method}", zipped({"a.png": zeros}, method)
        yield f"24 MB that are said to be 1000 {method}", lying(zeros, method, 1000)
    whole = zipped({"a.png": zeros})
    central, end = whole.index(b"PK\1\2"), whole.index(b"PK\5\6")
    entry = whole[central:end]
    for count in (3, 1000, 60_000):
        tail = numbers("<HHHHIIH", 0, 0, count, count, len(entry) * count, central, 0)
        yield f"{count} names for the same 24 MB", whole[:central] + entry * count + b"PK\5\6" + tail
    yield "20,000 empty files", zipped({f"{number}.png": b"" for number in range(20_000)}, zipfile.ZIP_STORED)
    nested = zipped({"a.png": PICTURE})
    for _ in range(50):
        nested = zipped({"a.zip": nested, "a.png": PICTURE})
    yield "a zip archive in a zip archive in ...", nested


SHARD = {
    "a.png": PICTURE,
    "a.cls": b"1",
    "a.json": json.dumps({"caption": "a rose", "n": 1}).encode(),
    "b.png": PICTURE,
}


@cache
def shards() -> list[bytes]:
    return [tar(SHARD), tar({f"x/{name}": data for name, data in SHARD.items()}, tarfile.PAX_FORMAT)]


def made_shards() -> Iterator[Input]:
    for number, data in enumerate(shards()):
        yield Input("", f"valid {number}", data, 2)
    facts = {
        "deep": b"[" * 200_000,
        "deep and whole": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        "half a surrogate pair": b'{"caption": "\\ud800", "\\udfff": "\\udc00x"}',
        "no text": b'{"caption": "\xff\xfe"}',
        "a number of 5,000 digits": b'{"n": ' + b"9" * 5000 + b"}",
        "a number of 4,000 digits": b'{"n": ' + b"9" * 4000 + b"}",
        "no numbers": b'{"n": NaN, "m": Infinity, "l": -Infinity}',
        "names of ours": b'{"name": 5, "width": "wide", "height": null, "url": [], "key": {}}',
        "a text of a megabyte": b'{"a": "' + b"x" * 1_000_000 + b'"}',
        "NUL": b'{"a\\u0000": "\\u0000"}',
        "a list": b"[1, 2]",
        "nothing": b"",
    }
    for name, data in facts.items():
        yield Input("", f"facts that are {name}", tar({**SHARD, "a.json": data}), 2)
    for label in (b"", b"-1", b"1e9", b"99999999999999999999", b"1_0", b" 1 ", b"\xff", b"1" * 31, b"\xd9\xa1", b"1\0"):
        yield Input("", f"a label {label!r}", tar({**SHARD, "a.cls": label}))
    for outside in OUTSIDE:
        yield Input("", f"a name {outside}", header(outside.encode(), len(PICTURE)) + padded(PICTURE) + END, 1)
    for name in (".png", "..png", "a.b.png", "a/.png", "a/b.PNG", "a\xff.png", "a\n.png", "/", "png", "\\.png"):
        yield Input("", f"a name {name!r}", tar({"ok.png": PICTURE})[: -1024 * 9] + tar({name: PICTURE}))
    for name, data in _odd_headers():
        yield Input("", name, data)


def altered_shard(rng: random.Random) -> bytes:
    return altered(shards(), rng)


KINDS = (
    Kind("tar", 0.08, made_tars, altered_tar),
    Kind("zip", 0.08, made_zips, altered_zip),
    Kind("webdataset", 0.04, made_shards, altered_shard),
)
