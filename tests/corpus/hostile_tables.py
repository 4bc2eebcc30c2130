"""Tables and databases of images, and the files of published sets: Parquet, LMDB, MATLAB's, idx, CIFAR's."""

import gzip
import io
import json
import pickle
import random
import tempfile
import zlib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from corpus.hostile import BATCH, Input, Kind, altered, numbers
from corpus.hostile_archives import PACK, PICTURE, header, tar, zipped
from corpus.mat import mat, svhn_arrays
from corpus.pictures import encode, noise

STRUCTS = [{"bytes": encode(noise(1, 8, 9, n)[0]), "path": f"{n}.png"} for n in range(12)]
COLUMNS: dict[str, Any] = {"image": STRUCTS, "label": [n % 3 for n in range(12)], "caption": ["a rose é"] * 12}


def table(columns: dict[str, Any], metadata: dict[bytes, bytes] | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    made = pa.table(columns)
    pq.write_table(made.replace_schema_metadata(metadata) if metadata else made, buffer, **options)
    return buffer.getvalue()


@cache
def tables() -> list[bytes]:
    plain = {**COLUMNS, "image": [each["bytes"] for each in STRUCTS]}
    return [
        table(columns, compression=compression, row_group_size=5, write_page_index=columns is plain)
        for compression in ("snappy", "gzip", "zstd", "brotli", "lz4", "none")
        for columns in (COLUMNS, plain)
    ]


def altered_table(rng: random.Random) -> bytes:
    """At times only at its end, where it says what lies where."""
    data = rng.choice(tables())
    if rng.random() < 0.5:
        return altered([data, *tables()], rng)
    foot = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return data[:foot] + altered([data[foot:-8]], rng) + data[-8:]


def made_tables() -> Iterator[Input]:
    for number, data in enumerate(tables()):
        yield Input("", f"valid {number}", data, 12)
    for name, data in _odd_tables():
        yield Input("", name, data)


def _odd_tables() -> Iterator[tuple[str, bytes]]:
    large = b"\x89PNG" + bytes(12 << 20)
    same = {"image": pa.array([large]).take(pa.array([0] * 20))}
    for where, dictionary in (("a page", False), ("a dictionary", True)):
        made = table(same, compression="lz4", use_dictionary=dictionary, dictionary_pagesize_limit=1 << 30)
        yield f"20 times the same 12 MB, in {where}", made
    nothing = pa.nulls(5_000_000, pa.binary())
    yield "5 million rows of nothing", table({"image": nothing}, compression="zstd")
    labels = pa.repeat(pa.scalar(1, pa.int64()), 90_000)
    yield "90,000 rows of nothing", table({"image": pa.nulls(90_000, pa.binary()), "label": labels}, compression="zstd")
    kinds: dict[str, Any] = {
        "lists": [[1, 2]] * 12,
        "text": ["x"] * 12,
        "structs of lists": [{"bytes": [1, 2]}] * 12,
        "structs of text": [{"bytes": "x"}] * 12,
        "structs of structs": [{"bytes": {"bytes": b"x"}}] * 12,
        "structs with times": pa.StructArray.from_arrays(
            [pa.array([PICTURE] * 12), pa.array([2**62] * 12, pa.timestamp("ms"))], ["bytes", "at"]
        ),
        "structs of nothing": [{"bytes": None, "path": None}] * 12,
        "nothing": [None] * 12,
        "large binary": pa.array([PICTURE] * 12, pa.large_binary()),
        "binary of a fixed size": pa.array([PICTURE[:20]] * 12, pa.binary(20)),
        "binary views": pa.array([PICTURE] * 12, pa.binary_view()),
        "a dictionary": pa.array([PICTURE] * 12).dictionary_encode(),
    }
    for name, column in kinds.items():
        yield f"pictures that are {name}", table({**COLUMNS, "image": column})
    for name, column in {
        "far too large": [2**40] * 12,
        "below zero": [-1] * 12,
        "nothing": pa.nulls(12, pa.int64()),
        "the largest there are": pa.array([2**64 - 1] * 12, pa.uint64()),
        "text": ["x"] * 12,
        "fractions": [0.5] * 12,
    }.items():
        yield f"labels that are {name}", table({**COLUMNS, "label": column})
    for name, column in {
        "text that is none": pa.Array.from_buffers(pa.string(), 12, pa.array([b"\xff\xfe"] * 12).buffers()),
        "times beyond all years": pa.array([2**62] * 12, pa.timestamp("ms")),
        "times in between": pa.array([1] * 12, pa.timestamp("ns")),
        "durations": pa.array([2**62] * 12, pa.duration("s")),
        "decimals": pa.array([10**30] * 12, pa.decimal128(38)),
        "no numbers": [float("nan"), float("inf")] * 6,
        "maps": pa.array([[("a", 1)]] * 12, pa.map_(pa.string(), pa.int64())),
        "text of a megabyte": ["x" * (1 << 20)] * 12,
        "dictionaries": pa.array(["x"] * 12).dictionary_encode(),
    }.items():
        yield f"a column of {name}", table({**COLUMNS, "caption": column})
    deep: Any = 1
    for _ in range(500):
        deep = {"a": deep}
    for name, about in {
        "deep": b'{"a":' * 100_000,
        "no object": b"[1]",
        "no text": b"\xff",
        "of odd kinds": b'{"info": {"features": {"label": 5}}}',
        "a list": b'{"info": {"features": [1]}}',
        "with names of numbers": b'{"info": {"features": {"label": {"names": [1, null, {}]}}}}',
        "with half surrogate pairs": b'{"info": {"features": {"label": {"names": ["\\ud800", "b", "c"]}}}}',
        "with names that are text": b'{"info": {"features": {"label": {"names": "abc"}}}}',
        "with a million names": json.dumps({"info": {"features": {"label": {"names": ["x"] * 1_000_000}}}}).encode(),
    }.items():
        yield f"metadata that are {name}", table(COLUMNS, {b"huggingface": about})
    yield "columns as deep as can be", table({"image": [PICTURE], "deep": [deep]})
    twice = pa.Table.from_arrays(
        [pa.array([PICTURE] * 3)] * 2 + [pa.array([1, 2, 3])] * 2, ["image", "image", "label", "label"]
    )
    buffer = io.BytesIO()
    pq.write_table(twice, buffer)
    yield "columns of one name", buffer.getvalue()
    yield "3,000 columns", table({"image": [PICTURE], **{f"c{number}": [number] for number in range(3000)}})
    yield "an odd name", table({"image": [PICTURE], "\0\n\x1b[31m": ["x"], "a.b": [1], "": [2]})
    whole = tables()[0]
    for size in (0, 1, 2**31 - 1, 2**31, 2**32 - 1):
        yield f"an end of {size}", whole[:-8] + numbers("<I", size) + b"PAR1"
    yield "encrypted", whole[:-4] + b"PARE"
    yield "no rows", table({"image": pa.nulls(0, pa.binary())})


@cache
def databases() -> list[bytes]:
    import lmdb

    made = []
    for count, size in ((3, 1), (60, 1), (5, 300)):
        with tempfile.TemporaryDirectory() as folder:
            with lmdb.open(folder, map_size=1 << 22) as held, held.begin(write=True) as transaction:
                for number in range(count):
                    picture = encode(noise(1, 8, 9, number % 7)[0]) + bytes(size * 17)
                    transaction.put(b"key%05d" % number, picture)
            made.append(Path(folder, "data.mdb").read_bytes())
    return made


def made_databases() -> Iterator[Input]:
    for number, (data, count) in enumerate(zip(databases(), (3, 60, 5), strict=True)):
        yield Input("", f"valid {number}", data, count)
        yield Input("", f"valid {number} in a zip archive", zipped({"x/data.mdb": data}), count)
    whole = databases()[1]
    for place in (*range(16, 152, 4), *range(4096 + 16, 4096 + 152, 4)):
        for value in (0, 1, 2**31, 2**32 - 1):
            made = whole[:place] + numbers("<I", value) + whole[place + 4 :]
            yield Input("", f"{value} at {place}", made)
    yield Input("", "nothing", b"")
    yield Input("", "zeros", bytes(100_000))


def altered_database(rng: random.Random) -> bytes:
    """Mostly in the numbers that lead from page to page."""
    data = bytearray(rng.choice(databases()))
    for _ in range(rng.choice((1, 2, 5))):
        page = 4096 * rng.randrange(len(data) // 4096)
        place = page + rng.choice((rng.randrange(16), rng.randrange(64), rng.randrange(4096)))
        data[place] = rng.choice((0, 1, 2, 255, rng.randrange(256)))
    return bytes(data) if rng.random() < 0.7 else altered([bytes(data)], rng)


@cache
def matrices() -> list[bytes]:
    return [mat(svhn_arrays(3), compressed) for compressed in (True, False)]


def made_matrices() -> Iterator[Input]:
    for number, data in enumerate(matrices()):
        yield Input("", f"valid {number}", data, 3)
    head = b" " * 116 + bytes(8) + b"\0\1IM"
    zeros = zlib.compress(bytes(300 << 20), 1)
    yield Input("", "an array that inflates to 300 MB", head + numbers("<II", 15, len(zeros)) + zeros)
    for kind in (0, 1, 14, 15, 16, 2**16 + 15, 2**32 - 1):
        for size in (0, 1, 8, 2**31, 2**32 - 1):
            yield Input("", f"an element {kind} of {size}", head + numbers("<II", kind, size) + bytes(64))
    yield Input("", "a million elements", head + numbers("<II", 14, 0) * 1_000_000)


def altered_matrix(rng: random.Random) -> bytes:
    return altered(matrices(), rng)


def _idx(count: int, high: int = 28, wide: int = 28, magic: int = 0x803) -> bytes:
    return numbers(">IIII", magic, count, high, wide) + bytes(min(count * high * wide, 10_000))


def made_idx() -> Iterator[Input]:
    yield Input("", "valid", gzip.compress(_idx(3)), 3)
    for value in (0, 1, 59_999, 60_001, 2**31 - 1, 2**31, 2**32 - 1):
        yield Input("", f"{value} images", gzip.compress(_idx(value)))
        yield Input("", f"{value} high", gzip.compress(_idx(3, value)))
        yield Input("", f"magic {value}", gzip.compress(_idx(3, magic=value)))
    yield Input("", "24 MB", gzip.compress(_idx(3) + bytes(24 << 20), 1))


def altered_idx(rng: random.Random) -> bytes:
    return gzip.compress(altered([_idx(3)], rng)) if rng.random() < 0.7 else altered([gzip.compress(_idx(3))], rng)


NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


@cache
def _cifar() -> dict[str, dict[str, bytes]]:
    """By the kind of archive its members."""
    pixels = noise(1, BATCH, 3072)[0][..., 0]
    binary = {f"cifar-10-batches-bin/{name}.bin": (b"\1" + pixels[0].tobytes()) * BATCH for name in NAMES}
    pickled = pickle.dumps({b"data": np.ascontiguousarray(pixels), b"labels": [1] * BATCH}, 2)
    rows = encode(noise(1, BATCH, 1024)[0])
    pictures = {f"package/{name}.png": rows for name in NAMES}
    lists = {
        "package/train_lables.json": json.dumps([1] * 5 * BATCH).encode(),
        "package/test_lables.json": b"[1, 1, 1, 1]",
    }
    return {
        "cifar": binary,
        "cifar_pictures": {**pictures, **lists},
        "cifar_pickles": {f"cifar-10-batches-py/{name}": pickled for name in NAMES},
    }


def _archives(kind: str) -> list[bytes]:
    return [gzip.compress(tar(_cifar()[kind]), 1)]


def _made_cifar(kind: str) -> Iterator[Input]:
    yield Input("", "valid", _archives(kind)[0], 6 * BATCH)
    for name, contents in _cifar()[kind].items():
        for number in range(3):
            made = altered([contents], random.Random(f"{name} {number}"))
            yield Input("", f"{name} altered {number}", gzip.compress(tar({**_cifar()[kind], name: made}), 1))
    chain = tar(_cifar()[kind])
    huge = header(b"pax", 24 << 20, b"x") + bytes(24 << 20)
    yield Input("", "a PAX header of 24 MB", gzip.compress(huge + chain, 1))
    yield Input("", "another form", PACK["xz"](chain))


def _altered_cifar(kind: str, rng: random.Random) -> bytes:
    if rng.random() < 0.5:
        return altered(_archives(kind), rng)
    members = dict(_cifar()[kind])
    name = rng.choice(list(members))
    members[name] = altered([members[name]], rng)
    return gzip.compress(tar(members), 1)


KINDS = (
    Kind("parquet", 0.06, made_tables, altered_table),
    Kind("lmdb", 0.04, made_databases, altered_database),
    Kind("mat", 0.015, made_matrices, altered_matrix),
    Kind("idx", 0.005, made_idx, altered_idx),
    *(
        Kind(kind, 0.01, partial(_made_cifar, kind), partial(_altered_cifar, kind))
        for kind in ("cifar", "cifar_pictures", "cifar_pickles")
    ),
)
