import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ganpipe.analysis.labels import Attribute, conditions, facts, parse, truth
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images, write_encoded
from ganpipe.errors import UserError
from support.settings import preprocess_params

HUGE = 10**400  # JSON has such numbers, and no float is so large
KNOWN = ["smiling", "male", "age>50"]


@pytest.mark.parametrize(
    ("text", "attribute"),
    [
        ("smiling", Attribute("smiling")),
        (" wearing hat ", Attribute("wearing hat")),
        ("gender=male", Attribute("gender", "=", "male")),
        ("age > 50", Attribute("age", ">", "50")),
        ("age<1e1", Attribute("age", "<", "1e1")),
    ],
)
def test_an_attribute_is_read_as_it_is_written(text: str, attribute: Attribute) -> None:
    assert parse(text) == attribute


@given(st.text(max_size=20) | st.text("ab=<>!& 1", max_size=9))
def test_any_text_is_an_attribute_or_refused(text: str) -> None:
    try:
        fact, relation, value = parse(text)
    except UserError as error:
        assert "attribute" in str(error) or "no number" in str(error)
    else:
        assert fact and bool(relation) == bool(value)
        assert parse(f"{fact} {relation} {value}") == (fact, relation, value)


@pytest.mark.parametrize("text", ["", "=male", "age>", "age>old", "age>nan", "a=b=c", "a&b", "!a"])
def test_what_is_no_attribute_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no attribute|which is no number"):
        parse(text)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(KNOWN)), min_size=1, max_size=4))
def test_conditions_are_read_as_they_are_written(wanted: list[tuple[bool, str]]) -> None:
    text = " & ".join(("" if sign else "! ") + name for sign, name in wanted)
    assert conditions(text, KNOWN) == wanted
    assert conditions(text.replace(" ", ""), KNOWN) == wanted


@pytest.mark.parametrize("text", ["", "young", "male &", "male & !!smiling", "male + smiling"])
def test_conditions_on_what_is_not_known_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="none of the attributes: smiling, male, age>50"):
        conditions(text, KNOWN)


@pytest.mark.parametrize(
    ("text", "held", "expected"),
    [
        ("smiling", [0.5, 0.49, True, 0, None, math.nan, [1]], [1, 0, 1, 0, math.nan, math.nan, math.nan]),
        ("gender=male", ["male", "female", None, "Male"], [1, 0, math.nan, 0]),
        ("age=50", [50, 50.0, "50", 51, HUGE], [1, 1, 1, 0, 0]),
        ("age>50", [50, 51, None, math.inf, HUGE], [0, 1, math.nan, 1, 1]),
        ("age<50", [50, 49.5], [0, 1]),
    ],
)
def test_what_holds_of_an_image_is_told_from_its_facts(text: str, held: list[Any], expected: list[float]) -> None:
    attribute = parse(text)
    np.testing.assert_array_equal(truth(attribute, [{attribute.fact: each} for each in held]), expected)
    assert np.isnan(truth(attribute, [{}])).all()


@pytest.mark.parametrize(
    ("text", "fact", "said"),
    [
        ("gender", "male", "gender is a word, such as 'male': write gender=WORD"),
        ("age>1", "x", "age is a word"),
        ("age", 50, "age is a number, such as 50: write age>N or age<N"),
        pytest.param("age", HUGE, "age is a number, such as 1000.*: write age>N", id="huge"),
    ],
)
def test_a_fact_of_another_kind_is_told(text: str, fact: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        truth(parse(text), [{parse(text).fact: fact}])


def encoded(count: int, folder: Path) -> Images:
    """Grey images, each with its level as a fact."""
    folder.mkdir()

    def made() -> Any:
        for level in range(count):
            file = io.BytesIO()
            Image.new("RGB", (8, 8), (level,) * 3).save(file, "PNG")
            yield "png", file.getvalue(), {"level": level}, None

    write_encoded(folder, made(), {"name": folder.name, "title": "", "licence": "", "classes": [], "splits": {}})
    return Images(folder)


def test_facts_are_found_behind_the_order_of_the_corpus(corpus: Images) -> None:
    raw = encoded(30, Path("raw"))
    preprocess(preprocess_params(side=8), raw, np.arange(5, 30), Path("processed"))
    processed, rows = Images(Path("processed")), np.array([3, 0, 24])
    levels = [each["level"] for each in facts(processed, raw, rows)]
    assert levels == processed.pixels(rows)[:, 0, 0, 0].tolist()
    with pytest.raises(UserError, match="processed was not made of other as it is now"):
        facts(processed, encoded(29, Path("other")), rows)
    with pytest.raises(UserError, match="holds pixels alone"):
        facts(processed, corpus, rows)
