"""Parquet tables from anywhere, read a few rows at a time, and no more at once than there is room for."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

# Its own way to allocate keeps a gigabyte at hand, of which `bounds.limited` knows nothing. It is chosen at the import.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ganpipe.corpus import bounds
from ganpipe.errors import UserError

T = TypeVar("T")

ROWS, BATCH_BYTES = 256, 64 << 20  # read at a time, at most
ROOM = 700 << 20  # bytes that reading them may take: two pages, and the rows
LEAST_ROW, ALWAYS_HELD = 16, 100_000  # bytes of a file that a row of images or addresses takes, beyond so many rows


class Table(NamedTuple):
    """What is known of a table before it is read."""

    path: Path
    rows: int
    at_once: int  # rows
    types: dict[str, pa.DataType]  # of its columns
    metadata: dict[bytes, bytes]


def look(path: Path) -> Table:
    """UserError where it is none, or has more rows than its bytes can hold."""
    try:
        with pq.ParquetFile(path) as file:
            schema, about = file.schema_arrow, file.metadata
            types = {name: schema.field(name).type for name in schema.names}
            size = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no readable Parquet table ({_first_line(error)})") from None
    if not 0 <= about.num_rows <= max(ALWAYS_HELD, path.stat().st_size // LEAST_ROW):
        raise UserError(f"{path} says that it holds {about.num_rows:,} rows, for which it is too small: it is refused")
    at_once = min(ROWS, max(1, BATCH_BYTES * about.num_rows // max(1, size)))
    return Table(path, about.num_rows, at_once, types, schema.metadata or {})


def rows(table: Table, columns: list[str]) -> Iterator[dict[str, Any]]:
    """By the names of the columns. UserError as `batches` raises it."""
    for held in batches(table, columns, table.at_once, pa.RecordBatch.to_pylist):
        held.reverse()
        while held:  # what has been used is let go of before more is read
            yield held.pop()


def batches(table: Table, columns: list[str], size: int, take: Callable[[pa.RecordBatch], T]) -> Iterator[T]:
    """What is taken of `size` rows at a time. UserError where they are damaged, or too large to be read."""
    most = bounds.held() + ROOM
    try:
        with pq.ParquetFile(table.path, buffer_size=1 << 20) as file:
            held = file.iter_batches(size, columns=columns, use_threads=False)
            while True:
                with bounds.limited(most):
                    batch = next(held, None)
                    if batch is None:
                        return
                    taken = take(batch)
                del batch
                yield taken
    except MemoryError:
        raise UserError(
            f"{table.path} unpacks to more than {ROOM >> 20} MiB at a time: write it again with smaller row groups, "
            "such as row_group_size=100"
        ) from None
    except (pa.ArrowException, OSError, ValueError, ArithmeticError) as error:  # times may be beyond all years
        raise UserError(f"{table.path} is a damaged Parquet table ({_first_line(error)}): fetch it again") from None


def extremes(table: Table, column: str) -> set[int]:
    """The lowest and the highest number in a column, where there are any."""
    ends = list(batches(table, [column], 1 << 20, lambda batch: pc.min_max(batch.column(0)).as_py()))
    found = {end[which] for end in ends for which in ("min", "max")} - {None}
    return {min(found), max(found)} if found else set()


def holds_bytes(kind: pa.DataType) -> bool:
    """Whether its values are bytes, or structs with `bytes` in them."""
    if pa.types.is_struct(kind):
        kind = next((inner.type for inner in kind if inner.name == "bytes"), pa.null())
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_whole(kind: pa.DataType) -> bool:
    """Whether its values are whole numbers."""
    return bool(pa.types.is_integer(kind))


def is_plain(kind: pa.DataType) -> bool:
    """Whether its values are text, numbers, or true or false: such are kept with an image."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(text or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
