from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.dedupe import vetoes
from ganpipe.dedupe.vetoes import Veto
from ganpipe.errors import UserError

FILE = Path("vetoes.csv")
DIGESTS = st.text("0123456789abcdef", min_size=1, max_size=64)
FEW = st.sampled_from(["0", "0a", "0a0", "b", "bb"])  # some begin with others, as no two real digests do


def pairs(digests: st.SearchStrategy[str]) -> st.SearchStrategy[frozenset[Veto]]:
    return st.frozensets(st.frozensets(digests, min_size=2, max_size=2), max_size=12)


@settings(deadline=None)  # a file is flushed to the disk
@given(pairs(DIGESTS))
def test_what_is_written_is_read(given_vetoes: frozenset[Veto]) -> None:
    vetoes.write(FILE, given_vetoes)
    assert vetoes.read(FILE) == given_vetoes


@settings(deadline=None)
@given(pairs(DIGESTS).flatmap(lambda found: st.tuples(st.permutations(sorted(found, key=sorted)), st.just(found))))
def test_order_does_not_show_in_the_file(orders: tuple[list[Veto], frozenset[Veto]]) -> None:
    held = []
    for order in orders:
        vetoes.write(FILE, order)
        held.append(FILE.read_bytes())
    assert held[0] == held[1]


def test_file_is_sorted_text() -> None:
    vetoes.write(FILE, [frozenset({"e1", "0c"}), frozenset({"b2", "0a"})])
    assert FILE.read_bytes() == b"image,kept\n0a,b2\n0c,e1\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_comments_blank_lines_quotes_and_a_byte_order_mark_are_passed_over(end: str) -> None:
    lines = ["\ufeff# by hand", "", "image, kept", " ", '"0a",b2', "  # again, the other way round", "b2 ,0a", "0c,e1"]
    FILE.write_bytes(end.join(lines).encode())
    assert vetoes.read(FILE) == {frozenset({"0a", "b2"}), frozenset({"0c", "e1"})}


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "must be `image,kept`"),
        (b"\n# nothing else\n", 1, "must be `image,kept`"),
        (b"# no header\n0a,b2\n", 2, "must be `image,kept`, not '0a,b2'"),
        (b"image;kept\n0a;b2\n", 1, "must be `image,kept`, not 'image;kept'"),
        (b"kept,image\n", 1, "must be `image,kept`"),
        (b"image,kept\n0a\n", 2, "two hex digests"),
        (b"image,kept\n0a,b2\n\n0a,b2,0c\n", 4, "two hex digests"),
        (b"image,kept\r\n0a,b2\r\n0a,\r\n", 3, "two hex digests"),
        (b"image,kept\n0a,B2\n", 2, "two hex digests"),
        (b"image,kept\n0a,1E+25\n", 2, "two hex digests"),
        (b"image,kept\n0a,../etc\x1b[31m\n", 2, "not '0a,../etc\\x1b[31m'"),
        (b"image,kept\n0a," + b"z" * 200_000, 2, "not CSV: field larger"),
        (b"image,kept\n0a," + b"z" * 200, 2, "zzz..."),
        (b"image,kept\n0a,0a\n", 2, "equal images are duplicates"),
        (b'image,kept\n"0a,b2\n0c,e1\n', 2, "not CSV"),
        (b'image,kept\n0a,"b2"x\n', 2, "not CSV"),
        (b"image,kept\n0a,b2\n0a,\xff\n", 3, "not UTF-8"),
        ("image,kept\n0a,b2\n".encode("utf-16"), 1, "not UTF-8"),
    ],
)
def test_what_is_malformed_is_told_with_its_line(content: bytes, line: int, said: str) -> None:
    FILE.write_bytes(content)
    with pytest.raises(UserError) as told:
        vetoes.read(FILE)
    assert str(told.value).startswith(f"vetoes.csv, line {line}: ")
    assert said in str(told.value)
    assert len(str(told.value)) < 200


CELLS = st.lists(
    st.sampled_from(["image", "kept", "0a", "b2", '"', ",", "\n", "#", "\x00", "\xff", " ", "x", "\u2028"])
)


@settings(deadline=None)
@given(st.binary() | CELLS.map(lambda cells: ("image,kept\n" + "".join(cells)).encode()))
def test_any_bytes_are_read_or_refused_in_a_sentence(content: bytes) -> None:
    FILE.write_bytes(content)
    try:
        found = vetoes.read(FILE)
    except UserError:
        return
    assert all(len(veto) == 2 for veto in found)


def test_a_missing_file_is_told() -> None:
    with pytest.raises(UserError, match=r"vetoes\.csv is missing.*Save vetoes"):
        vetoes.read(FILE)


def test_a_folder_is_told() -> None:
    with pytest.raises(UserError, match=r"\. cannot be read \(Is a directory\)"):
        vetoes.read(Path())


@given(pairs(FEW), st.lists(FEW | st.just("c")), st.sampled_from("US"))
def test_forbidden_pairs_are_those_of_brute_force(given_vetoes: frozenset[Veto], keys: list[str], kind: str) -> None:
    expected = {(i, j) for j in range(len(keys)) for i in range(j) if frozenset({keys[i], keys[j]}) in given_vetoes}
    assert vetoes.forbidden(given_vetoes, np.array(keys, dtype=kind)) == expected


def test_forbidden_pairs_are_plain_numbers() -> None:
    (pair,) = vetoes.forbidden([frozenset({"0a", "b2"})], np.array([b"b2", b"c3", b"0a"]))
    assert [type(place) for place in pair] == [int, int]
