"""Tables are read row by row; what is damaged, or unpacks to far too much, gets a sentence."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ganpipe.corpus import tables
from ganpipe.errors import UserError

PLACE = Path("a.parquet")


def written(columns: dict[str, Any], **options: Any) -> tables.Table:
    pq.write_table(pa.table(columns), PLACE, **options)
    return tables.look(PLACE)


def test_rows_come_as_they_are() -> None:
    columns = {
        "n": list(range(1000)),
        "name": [f"é{n}" for n in range(1000)],
        "data": [bytes([n % 256]) for n in range(1000)],
    }
    table = written(columns, row_group_size=300)
    assert list(tables.rows(table, ["n", "data"])) == [{"n": n, "data": bytes([n % 256])} for n in range(1000)]
    assert (table.rows, table.at_once) == (1000, tables.ROWS)
    assert tables.extremes(table, "n") == {0, 999}
    assert tables.extremes(written({"n": pa.nulls(3, pa.int64())}), "n") == set()


def test_large_rows_are_read_a_few_at_a_time() -> None:
    table = written({"data": [bytes(1 << 20)] * 40}, use_dictionary=False, compression="none")
    assert 60 <= table.at_once <= 64


CHILD = """
import sys
from pathlib import Path
from ganpipe.corpus import tables  # before anything else imports pyarrow, as in the stage
from ganpipe.errors import UserError

tables.ROOM = 40 << 20
try:
    print(len(list(tables.rows(tables.look(Path(sys.argv[1])), ["data"]))))
except UserError as error:
    print(error, len(bytes(128 << 20)))  # the bound is gone
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds what a process holds")
@pytest.mark.parametrize(("dictionary", "count"), [(False, 24), (True, 24), (False, 2)])
def test_what_unpacks_to_too_much_is_refused(dictionary: bool, count: int) -> None:
    column = pa.array([bytes(4 << 20)]).take(pa.array([0] * count))
    written({"data": column}, use_dictionary=dictionary, dictionary_pagesize_limit=1 << 30, compression="lz4")
    assert PLACE.stat().st_size < 4 << 20
    done = subprocess.run([sys.executable, "-c", CHILD, str(PLACE)], capture_output=True, text=True, check=True)
    due = "a.parquet unpacks to more than 40 MiB at a time: write it again with smaller row groups, such as "
    assert done.stdout.strip() == ("2" if count == 2 else f"{due}row_group_size=100 {128 << 20}")


def test_more_rows_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(UserError, match="says that it holds 3,000,000 rows, for which it is too small"):
        written({"data": pa.nulls(3_000_000, pa.binary())})
    assert written({"data": pa.nulls(90_000, pa.binary())}).rows == 90_000


def test_damage_gets_a_sentence() -> None:
    table = written({"data": [bytes(range(256)) * 10] * 100}, compression="gzip", write_statistics=False)
    whole = bytearray(PLACE.read_bytes())
    whole[40:60] = bytes(20)
    PLACE.write_bytes(whole)
    with pytest.raises(UserError, match=r"a\.parquet is a damaged Parquet table \(.*\): fetch it again"):
        list(tables.rows(table, ["data"]))
    written({"data": pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())})
    with pytest.raises(UserError, match="is a damaged Parquet table"):
        list(tables.rows(tables.look(PLACE), ["data"]))
    PLACE.write_bytes(b"PAR1 no table PAR1")
    with pytest.raises(UserError, match="is no readable Parquet table"):
        tables.look(PLACE)


@pytest.mark.parametrize(
    ("kind", "holds", "plain"),
    [
        (pa.binary(), True, False),
        (pa.large_binary(), True, False),
        (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), True, False),
        (pa.struct([("bytes", pa.list_(pa.int8()))]), False, False),
        (pa.struct([("bytes", pa.struct([("bytes", pa.binary())]))]), False, False),
        (pa.string(), False, True),
        (pa.dictionary(pa.int8(), pa.string()), False, True),
        (pa.int8(), False, True),
        (pa.float64(), False, True),
        (pa.bool_(), False, True),
        (pa.timestamp("s"), False, False),
        (pa.list_(pa.string()), False, False),
    ],
)
def test_kinds_of_columns(kind: pa.DataType, holds: bool, plain: bool) -> None:
    assert (tables.holds_bytes(kind), tables.is_plain(kind)) == (holds, plain)
