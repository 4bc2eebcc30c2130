import pytest

from ganpipe.compare import words
from ganpipe.compare.tables import Change, Row, compare_runs
from support.compared import accuracies, training


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        ("digits/accuracy", 0.93333, "93.33%"),
        ("digits/class/0", 1.0, "100.00%"),
        ("train/real_accuracy", 0.5, "0.5"),
        ("dedupe/kept", 11168.0, "11,168"),
        ("digits/C", 0.00032, "0.00032"),
        ("x/y", 1e20, "1e+20"),
    ],
)
def test_figures_are_shown_as_what_they_are(key: str, value: float, shown: str) -> None:
    assert words.figure(key, value) == shown


@pytest.mark.parametrize(
    ("key", "difference", "shown"),
    [
        ("digits/accuracy", 0.0142, "+1.42"),
        ("digits/accuracy", -0.0142, "-1.42"),
        ("digits/accuracy", -0.00001, "0.00"),
        ("dedupe/kept", -3.0, "-3"),
        ("dedupe/kept", 0.0, "0"),
    ],
)
def test_differences_have_a_sign(key: str, difference: float, shown: str) -> None:
    assert words.difference(Row(key, key, [], []), Change(difference, None, None, None, None)) == shown


def test_the_verdict_names_what_moved_but_controls() -> None:
    one = training("one", figures={f"a/{k}": v for k, v in accuracies(0.6, 10_000, accuracy_pixels=0.4).items()})
    up = training("two", figures={f"a/{k}": v for k, v in accuracies(0.65, 10_000, accuracy_pixels=0.45).items()})
    said = words.verdict(compare_runs([one, up]), 1, str.upper)
    assert said == "A test up by 5.00 points (+3.66 to +6.34); 1 figure of controls moved, too"
    assert words.verdict(compare_runs([one, one]), 1, str) == "no accuracy moved beyond chance"
    assert words.verdict(compare_runs([one, training("x")]), 1, str) == "no accuracy that both have"
    bare = training("x", figures={"a/accuracy": 0.9})
    assert words.verdict(compare_runs([bare, bare]), 1, str) == "no interval to tell a change by"


def test_notes_say_by_what_it_is_told() -> None:
    shares = training("one", figures={f"a/{name}": value for name, value in accuracies(0.6, 10_000).items()})
    ends = training("two", figures={"a/accuracy": 0.6, "a/accuracy_low": 0.5, "a/accuracy_high": 0.7})
    assert "shares of 10,000 images" in " ".join(words.notes(compare_runs([shares, shares])))
    assert "two intervals lie apart" not in " ".join(words.notes(compare_runs([shares, shares])))
    assert "two intervals lie apart" in " ".join(words.notes(compare_runs([shares, ends])))
    assert words.notes(compare_runs([training("x"), training("y")])) == []
