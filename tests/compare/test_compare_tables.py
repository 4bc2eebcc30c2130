import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganpipe.compare import tables, words
from ganpipe.compare.tables import Comparison, Measure, Row, change, compare_runs, newcombe
from ganpipe.intervals import wilson
from support.compared import accuracies, training

COUNTS = st.integers(1, 100_000)


def row(comparison: Comparison, key: str) -> Row:
    return next(row for row in comparison.accuracies if row.key == key)


def settings(comparison: Comparison) -> dict[str, list[str | None]]:
    return {setting.name: setting.values for setting in comparison.settings}


def images(share: float, count: int) -> Measure:
    return Measure(share, *wilson(share, count), "images", count)


def test_the_interval_of_a_difference_is_the_one_that_was_published() -> None:
    # Newcombe 1998, table II, method 10: 56 of 70 against 48 of 80; 9 of 10 against 3 of 10; 10 of 10 against 0 of 10.
    for (right, count), (others, total), ends in (
        ((48, 80), (56, 70), (0.0524, 0.3339)),
        ((3, 10), (9, 10), (0.1705, 0.8090)),
        ((0, 10), (10, 10), (0.6075, 1.0000)),
    ):
        found = newcombe(right / count, count, others / total, total)
        assert found == pytest.approx(ends, abs=5e-5)


@given(st.data(), COUNTS, COUNTS)
def test_the_interval_of_a_difference_holds_it_and_turns_around_with_it(
    data: st.DataObject, one: int, two: int
) -> None:
    share, other = (data.draw(st.integers(0, count)) / count for count in (one, two))
    low, high = newcombe(share, one, other, two)
    assert -1 - 1e-9 <= low <= other - share + 1e-9
    assert other - share - 1e-9 <= high <= 1 + 1e-9
    assert newcombe(other, two, share, one) == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("base", "other", "moved", "by"),
    [
        (images(0.60, 10_000), images(0.62, 10_000), "up", "difference"),
        (images(0.62, 10_000), images(0.60, 10_000), "down", "difference"),
        (images(0.60, 360), images(0.62, 360), "no", "difference"),
        # The intervals overlap here, and yet the difference is beyond chance: it is what is asked for.
        (images(0.60, 10_000), images(0.615, 10_000), "up", "difference"),
        (Measure(0.60, 0.59, 0.61, "ends"), Measure(0.63, 0.62, 0.64, "ends"), "up", "overlap"),
        (Measure(0.60, 0.59, 0.61, "ends"), Measure(0.57, 0.56, 0.58, "ends"), "down", "overlap"),
        (Measure(0.60, 0.59, 0.61, "ends"), images(0.615, 10_000), "no", "overlap"),
        (Measure(0.60, 0.59, 0.61, "draws"), Measure(0.618, 0.608, 0.628, "draws"), "up", "difference"),
        (Measure(0.60, 0.59, 0.61, "draws"), Measure(0.612, 0.602, 0.622, "draws"), "no", "difference"),
        (Measure(0.60), images(0.9, 10_000), None, None),
    ],
)
def test_what_moved_is_told_by_the_best_interval_that_there_is(
    base: Measure, other: Measure, moved: str | None, by: str | None
) -> None:
    found = change(base, other)
    assert found is not None
    assert (found.moved, found.by) == (moved, by)
    assert found.difference == pytest.approx(other.value - base.value)


def test_without_a_figure_there_is_no_change() -> None:
    assert change(None, Measure(0.5)) is None
    assert change(Measure(0.5), None) is None


def test_only_settings_that_differ_are_told_and_the_others_counted() -> None:
    one = training("one", parameters={"train.width": "32", "train.steps": "100", "train.augment": None})
    two = training("two", parameters={"train.width": "64", "train.steps": "100", "train.r1": "0"})
    found = compare_runs([one, two])
    assert settings(found) == {"train.width": ["32", "64"], "train.augment": [None, ""], "train.r1": ["", "0"]}
    assert found.equal_settings == 1


def test_settings_of_measurements_are_told_by_set_only_where_the_sets_of_a_run_differ() -> None:
    both = {"digits": {"evaluate.pooling": "max"}, "svhn": {"evaluate.pooling": "max"}}
    one, other = (
        training("one", evaluations=both),
        training("two", evaluations={"digits": {"evaluate.pooling": "mean"}}),
    )
    assert settings(compare_runs([one, other])) == {"evaluate.pooling": ["max", "mean"]}
    mixed = training("two", evaluations={**both, "svhn": {"evaluate.pooling": "mean"}})
    assert settings(compare_runs([one, mixed])) == {"evaluate.pooling (svhn)": ["max", "mean"]}


def test_data_that_differ_are_told_where_both_are_here() -> None:
    one = training("one", data={"data/processed": "abc", "data/evaluation/digits": "1"})
    two = training("two", data={"data/processed": "xyz"})
    assert settings(compare_runs([one, two])) == {"checksum of data/processed": ["abc", "xyz"]}


def test_accuracies_come_by_set_with_their_intervals_and_controls_last() -> None:
    figures = {
        **accuracies(0.9, 360, accuracy_validation=0.95, accuracy_pixels=0.8, accuracy_400_a_class=0.7),
        **{"accuracy_error_400_a_class": 0.01, "accuracy_clean": 0.88, "test_images_clean": 300, "C": 0.1},
    }
    named = {f"digits/{name}": value for name, value in figures.items()} | {"svhn/accuracy": 0.5, "train/accuracy": 1.0}
    run = training("one", figures=named, evaluations={"digits": {"evaluate.validation": "0.2"}})
    found = compare_runs([run, run])
    assert [(row.labelled, row.name) for row in found.accuracies] == [
        ("digits", "test"),
        ("digits", "test without duplicates"),
        ("digits", "validation"),
        ("digits", "test, 400 labels a class"),
        ("digits", "test, pixels"),
        ("svhn", "test"),
    ]
    measured = {row.key.removeprefix("digits/"): row.measures[0] for row in found.accuracies}
    assert measured["accuracy"] == Measure(0.9, *wilson(0.9, 360), "images", 360)
    assert measured["accuracy_clean"] == Measure(0.88, *wilson(0.88, 300), "images", 300)
    assert measured["accuracy_validation"] == Measure(0.95, *wilson(0.95, 1000), "images", 1000)  # 0.2 of 5,000
    assert measured["accuracy_400_a_class"] == Measure(0.7, 0.7 - 0.01, 0.7 + 0.01, "draws")
    assert measured["accuracy_pixels"] == Measure(0.8, *wilson(0.8, 360), "images", 360)
    assert measured["svhn/accuracy"] == Measure(0.5)


@pytest.mark.parametrize(("validation", "count"), [("0.2", 1000), ("700", 700), (None, 0), ("many", 0), ("-1", 0)])
def test_the_number_of_validation_images_follows_from_the_settings(validation: str | None, count: int) -> None:
    figures = {"digits/accuracy_validation": 0.5, "digits/train_images": 5000.0}
    run = training("one", figures=figures, evaluations={"digits": {"evaluate.validation": validation}})
    (row,) = compare_runs([run, run]).accuracies
    assert row.measures[0] == (Measure(0.5, *wilson(0.5, count), "images", count) if count else Measure(0.5))


def test_figures_that_differ_are_told_and_equal_ones_counted() -> None:
    one = training("one", figures={"dedupe/kept": 10, "dedupe/groups": 3, "train/loss_d": 1.0, "digits/C": 0.1})
    two = training("two", figures={"dedupe/kept": 12, "dedupe/groups": 3, "train/loss_d": 2.0, "digits/C": 0.1})
    found = compare_runs([one, two])
    assert [row.key for row in found.counts] == ["dedupe/kept"]
    assert [row.key for row in found.rest] == ["train/loss_d"]
    assert found.equal_figures == 2


def test_a_run_without_any_figure_of_a_stage_makes_none_of_them_differ() -> None:
    one = training("one", figures={"dedupe/kept": 10, "dedupe/groups": 3})
    assert compare_runs([one, training("two")]).counts == []
    some = training("two", figures={"dedupe/kept": 10})
    assert [row.key for row in compare_runs([one, some]).counts] == ["dedupe/groups"]


def test_what_is_no_number_equals_its_like() -> None:
    one, two = (training(name, figures={"train/loss_d": math.nan}) for name in ("one", "two"))
    assert compare_runs([one, two]).rest == []
    other = training("three", figures={"train/loss_d": math.inf})
    (found,) = compare_runs([one, other]).rest
    assert [words.figure(found.key, each.value) for each in found.measures if each] == ["nan", "inf"]
    assert found.changes[1] is not None
    assert words.difference(found, found.changes[1]) == "nan"


def test_sets_that_only_one_has_are_named() -> None:
    one = training("one", figures={"a/accuracy": 0.6, "b/accuracy": 0.6})
    two = training("two", figures={"b/accuracy": 0.6, "c/accuracy_validation": 0.6})
    assert tables.alone(compare_runs([one, two]), 1) == {0: ["a"], 1: ["c"]}
