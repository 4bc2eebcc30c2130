"""Only rows that the list leaves out remain; a list of another form gets a sentence that names file and line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ganpipe.errors import UserError
from ganpipe.evaluation.cifair import clean_rows

HEAD = "TestID,TrainID,Distance,Judgment\n"
PLACE = Path("duplicates.csv")

pairs = st.tuples(
    st.integers(0, 19),
    st.integers(0, 49_999),
    st.floats(0, 2, width=32),
    st.sampled_from([0, 1, 2]),
)


def of(text: str | bytes, count: int = 20) -> list[int]:
    PLACE.write_bytes(text if isinstance(text, bytes) else text.encode())
    return clean_rows(PLACE, count).tolist()


@settings(deadline=None)
@given(st.lists(pairs, max_size=30), st.sampled_from(["\n", "\r\n"]))
def test_what_is_in_no_pair_is_clean(listed: list[tuple[int, int, float, int]], end: str) -> None:
    text = HEAD + "".join(f"{test},{train},{distance!r},{judgment}\n" for test, train, distance, judgment in listed)
    assert of(text.replace("\n", end)) == sorted(set(range(20)) - {pair[0] for pair in listed})


def test_the_published_form_is_read() -> None:
    lines = "3438,7715,9.99999993922529e-09,0\n159,5863,0.1836291402578354,1\n6394,9644,0.2428169697523117,1\n"
    assert len(of(HEAD + lines, 10_000)) == 10_000 - 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,0.5", "3 values stand there, not 4"),
        ("1,2,0.5,1,9", "5 values"),
        ("", "0 values"),
        ("20,2,0.5,1", "TestID is 20, but there are 20 test images"),
        ("-1,2,0.5,1", "TestID is '-1', not a number from 0"),
        ("1.0,2,0.5,1", "TestID is '1.0'"),
        ("١,2,0.5,1", "TestID is '"),
        ("1" * 5000 + ",2,0.5,1", "TestID is '11111111111111111111', not"),
        ("1,x,0.5,1", "TrainID is 'x', not a number from 0"),
        ("1,2,far,1", "Distance is 'far', not a number from 0"),
        ("1,2,nan,1", "Distance is 'nan'"),
        ("1,2,1e999,1", "Distance is '1e999'"),
        ("1,2,0.5,3", "Judgment is '3', not one of 0, 1, 2"),
        ("1,2,0.5,", "Judgment is ''"),
        (HEAD.strip(), "TestID is 'TestID'"),
        ('1,2,0.5,"1', "unexpected end of data"),
    ],
)
def test_a_line_of_another_form_is_named(line: str, reason: str) -> None:
    with pytest.raises(UserError, match=rf"^duplicates\.csv, line 3: {reason}.*: this is not ciFAIR's list"):
        of(f"{HEAD}1,2,0.5,1\n{line}\n")


@pytest.mark.parametrize(
    "text", ["", "\n", "1,2,0.5,1\n", "TestID;TrainID;Distance;Judgment\n", "<html>", "\0", b"\x80\xff"]
)
def test_other_files_are_refused_at_their_first_line(text: str | bytes) -> None:
    with pytest.raises(UserError, match=r"^duplicates\.csv, line 1: "):
        of(text)


def test_what_cannot_be_read_is_named() -> None:
    with pytest.raises(UserError, match="evaluate.duplicates is nowhere.csv, which cannot be read: No such file"):
        clean_rows(Path("nowhere.csv"), 20)
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        clean_rows(Path(), 20)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)), max_size=4) | st.binary(),
)
def test_damaged_lists_are_read_or_refused(patches: list[tuple[float, bytes]] | bytes) -> None:
    data = bytearray((HEAD + "1,2,0.5,1\n12,43210,0.08,0\n7,7,9.5e-09,2\n").encode())
    if isinstance(patches, bytes):
        data += patches
    else:
        for share, patch in patches:
            start = int(share * len(data))
            data[start : start + len(patch)] = patch
    try:
        rows = of(bytes(data))
    except UserError as error:
        assert str(error).startswith("duplicates.csv, line ")
    else:
        assert set(rows) < set(range(20))
