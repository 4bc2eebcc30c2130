import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.analysis.concepts import Picked, parse, read, spell
from ganpipe.analysis.handwritten import Drawn
from ganpipe.errors import UserError

DRAWN, OTHER = Drawn("3f" * 32, 7), "4f" * 32
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


def read_here(path: Path, samples: int = 100) -> Picked:
    return read("analyse.concepts", path, samples, DRAWN, ["male", "smiling"])


def test_a_file_is_read_with_what_it_asks_for() -> None:
    picked = read_here(written())
    assert picked.concepts == KNOWN
    assert picked.expressions == [[(1, "a"), (-1, "neutral man")]]
    assert picked.turns == [("a", "neutral woman")]
    assert read_here(written(expressions=None, turns=None))[1:] == ([], [])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"concepts": None}, "it is to be an object with concepts, and where wanted expressions, turns, model, seed"),
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
        ({"concepts": {"a": "young & male"}}, "the concept 'a': 'young & male' asks for 'young', which is none of the"),
        ({"model": OTHER}, "concepts.json names samples of the generator 4f4f4f4f4f4f4f4f, but this one is 3f3f3f3f"),
        ({"model": OTHER[:8]}, "concepts.json names samples of the generator 4f4f4f4f, but this one is 3f3f3f3f"),
        ({"model": "3f3f3f3"}, "model is '3f3f3f3', but it is to be the checksum of the generator's weights"),
        ({"model": 3}, "model is '3', but it is to be the checksum"),
        ({"model": DRAWN.model, "seed": 8}, "names samples of the seed '8', but analyse.seed is 7"),
        ({"seed": 8}, "names samples of the seed '8'"),
        ({"seed": 7.0}, "names samples of the seed '7.0'"),
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
        read_here(written(**changes))


@pytest.mark.parametrize(
    ("said", "warned"),
    [
        ({}, True),
        ({"seed": 7}, True),
        ({"model": DRAWN.model}, False),
        ({"model": DRAWN.model[:8], "seed": 7}, False),
    ],
)
def test_a_file_that_does_not_say_whose_samples_it_names_is_taken_with_a_warning(
    said: dict[str, Any], warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read_here(written(**said)).concepts == KNOWN
    expected = 'let it say, in JSON, "model": "3f3f3f3f3f3f3f3f", "seed": 7'
    assert (expected in capsys.readouterr().out) is warned


def test_attributes_describe_concepts_for_any_model(capsys: pytest.CaptureFixture[str]) -> None:
    path = written(concepts={"men": "male"}, expressions=None, turns=None, model=OTHER, seed=8)
    assert read_here(path).concepts == {"men": "male"}
    assert "warning" not in capsys.readouterr().out


json_values = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["concepts", "expressions", "turns", "model", "a"]), inner, max_size=3)
    ),
)


@given(json_values)
def test_whatever_a_file_holds_it_is_concepts_or_one_sentence(held: Any) -> None:
    Path("hostile.json").write_text(json.dumps(held))
    try:
        picked = read_here(Path("hostile.json"), 5)
    except UserError as error:
        assert "hostile.json" in str(error) and len(str(error)) < 400
    else:
        assert picked.concepts
