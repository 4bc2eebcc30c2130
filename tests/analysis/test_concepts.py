import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.analysis.concepts import parse, read, spell
from ganpipe.errors import UserError

KNOWN = {"smiling woman": [12, 80, 31], "neutral woman": [1, 2, 3], "neutral man": "male & !smiling", "a": [0]}


@given(st.lists(st.tuples(st.sampled_from([1, -1]), st.sampled_from(sorted(KNOWN))), min_size=1, max_size=7))
def test_what_is_spelled_is_read_again(terms: list[tuple[int, str]]) -> None:
    terms[0] = (1, terms[0][1])
    assert parse(spell(terms), KNOWN) == terms
    assert parse(spell(terms).replace(" + ", "+").replace(" - ", "  -\t"), KNOWN) == terms


def test_a_sum_is_read_as_it_is_written() -> None:
    assert parse("smiling woman - neutral  woman + neutral man", KNOWN) == [
        (1, "smiling woman"),
        (-1, "neutral woman"),
        (1, "neutral man"),
    ]


@given(st.text(max_size=30) | st.text("a+- ", max_size=12))
def test_any_text_is_a_sum_of_what_is_known_or_refused_in_a_sentence(text: str) -> None:
    try:
        terms = parse(text, KNOWN)
    except UserError as error:
        assert "is no sum" in str(error) or "none of the concepts" in str(error)
    else:
        assert {name for _, name in terms} <= KNOWN.keys()
        assert text.count("-") == sum(sign < 0 for sign, _ in terms)


@pytest.mark.parametrize("text", ["", "+ a", "a +", "a - - a", "a" * 300, "a + " * 60 + "a"])
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no sum: write concepts with"):
        parse(text, KNOWN)


@pytest.mark.parametrize("text", ["a a", "a * a", "(a)", "__import__('os')", "a + b"])
def test_what_is_not_known_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="which is none of the concepts"):
        parse(text, KNOWN)


def written(**changes: Any) -> Path:
    held = {"concepts": KNOWN, "expressions": ["a - neutral man"], "turns": [["a", "neutral  woman"]], **changes}
    Path("concepts.json").write_text(json.dumps({key: value for key, value in held.items() if value is not None}))
    return Path("concepts.json")


def test_a_file_is_read_with_what_it_asks_for() -> None:
    picked = read("analyse.concepts", written(), 100)
    assert picked.concepts == KNOWN
    assert picked.expressions == [[(1, "a"), (-1, "neutral man")]]
    assert picked.turns == [("a", "neutral woman")]
    assert read("analyse.concepts", written(expressions=None, turns=None), 100)[1:] == ([], [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"concepts": None}, "it is to be an object with concepts, expressions, turns, the last two where wanted"),
        ({"concept": {}}, "it is to be an object with"),
        ({"concepts": [1]}, "concepts is to be an object of at most 100 names"),
        ({"concepts": {"a": []}}, "the concept 'a' is to have 1 to 100 numbers of samples, or attributes"),
        ({"concepts": {"a": [1.0]}}, "the concept 'a' is to have"),
        ({"concepts": {"a": [True]}}, "the concept 'a' is to have"),
        ({"concepts": {"a": None}}, "the concept 'a' is to have"),
        ({"concepts": {"a": [100]}}, "the concept 'a' has sample 100; they go from 0 to 99"),
        ({"concepts": {"a": [-1]}}, "has sample -1"),
        ({"concepts": {"a": [10**4000]}}, "has sample 1000"),
        ({"concepts": {"a-b": [1]}}, "'a-b' is no name of a concept"),
        ({"concepts": {" ": [1]}}, "is no name of a concept"),
        ({"concepts": {"a\n": [1]}}, "is no name of a concept"),
        ({"expressions": "a"}, "expressions is to be a list of at most 100"),
        ({"expressions": [1]}, "in expressions '1' is no text"),
        ({"expressions": ["a - b"]}, "concepts.json: 'a - b' names 'b', which is none of the concepts"),
        ({"expressions": ["a"] * 101}, "expressions is to be a list of at most 100"),
        ({"turns": [["a"]]}, "a turn is to name two of the concepts"),
        ({"turns": [["a", "b"]]}, "a turn is to name two of the concepts"),
        ({"turns": ["ab"]}, "turns is to be a list"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read("analyse.concepts", written(**changes), 100)


json_values = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["concepts", "expressions", "turns", "a"]), inner, max_size=3)
    ),
)


@given(json_values)
def test_whatever_a_file_holds_it_is_concepts_or_one_sentence(held: Any) -> None:
    Path("hostile.json").write_text(json.dumps(held))
    try:
        picked = read("analyse.concepts", Path("hostile.json"), 5)
    except UserError as error:
        assert "hostile.json" in str(error) and len(str(error)) < 400
    else:
        assert picked.concepts
