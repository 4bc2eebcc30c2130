from typing import Any

import pytest
import torch

from ganpipe.training.curves import Row
from ganpipe.training.health import LASTING, WARM_UP, Watch, mean_distance, symptoms, vitals

WELL = {
    "loss_d": 1.0,
    "loss_g": 1.0,
    "real_accuracy": 0.8,
    "fake_accuracy": 0.8,
    "gradient_g": 1.0,
    "sample_distance": 0.9,
    "saturated": 0.1,
}


def rows(count: int, start: int = 1, **ill: Any) -> list[Row]:
    """Ticks of 100 steps; losses wobble as they do."""
    return [
        {**WELL, "loss_d": 1 + 0.01 * (n % 7), "loss_g": 1 + 0.01 * (n % 5), "step": 100 * n, **ill}
        for n in range(start, start + count)
    ]


def test_a_healthy_training_has_no_symptoms() -> None:
    assert symptoms(rows(40)) == {}


ILL = {
    "collapsed": ({"sample_distance": 0.025}, "samples differ 40 times less than real images since step 2,100"),
    "saturated": ({"saturated": 0.97}, "97% of its values are black or white since step 2,100"),
    "won": ({"real_accuracy": 1.0, "fake_accuracy": 1.0}, "tells 99.5% of all images right since step 2,100"),
    "faded": ({"gradient_g": 1e-9}, "gradient has vanished: .* since step 2,100"),
    "loss_g": ({"loss_g": 0.693}, "loss_g has not changed since step"),
}


@pytest.mark.parametrize("name", ILL)
def test_each_illness_is_told_once_in_plain_words_when_it_has_lasted(name: str) -> None:
    changes, sentence = ILL[name]
    curves, watch, told = rows(20), Watch([]), []
    for row in rows(10, start=21, **changes):
        curves.append(row)
        told.append(watch.look(curves))
    first = next(number for number, sentences in enumerate(told) if sentences)
    assert first in (LASTING - 1, LASTING)
    assert [len(sentences) for sentences in told] == [int(number == first) for number in range(10)]
    (said,) = watch.said
    assert __import__("re").search(sentence, said)


def test_what_has_passed_and_comes_back_is_told_again() -> None:
    curves, watch = rows(20), Watch([])
    for part in (rows(5, 21, saturated=0.99), rows(5, 26), rows(5, 31, saturated=0.99)):
        for row in part:
            curves.append(row)
            watch.look(curves)
    assert len(watch.said) == 2


def test_a_resumed_watch_knows_what_was_said() -> None:
    curves = [*rows(20), *rows(5, 21, saturated=0.99)]
    watch = Watch(curves)
    assert len(watch.said) == 1
    assert watch.look([*curves, *rows(1, 26, saturated=0.99)]) == []


def test_the_grey_beginning_is_no_collapse() -> None:
    assert symptoms(rows(WARM_UP - 1, sample_distance=0.01)) == {}
    assert "collapsed" in symptoms(rows(WARM_UP, sample_distance=0.01))


def test_vitals_of_known_images() -> None:
    two = torch.stack([torch.zeros(3, 2, 2), torch.full((3, 2, 2), 1.0)])
    assert mean_distance(two) == pytest.approx(12**0.5)
    assert vitals(two, real_distance=2 * 12**0.5) == pytest.approx({"sample_distance": 0.5, "saturated": 0.5})
    assert vitals(torch.zeros(4, 3, 2, 2), 1.0)["sample_distance"] == 0


LIMITS = [
    ("sample_distance", 0.11, 0.09, "collapsed"),
    ("saturated", 0.89, 0.91, "saturated"),
    ("gradient_g", 1.1e-7, 0.9e-7, "faded"),
]


@pytest.mark.parametrize(("name", "well", "ill", "symptom"), LIMITS)
def test_an_illness_begins_at_its_limit_once_it_has_lasted(name: str, well: float, ill: float, symptom: str) -> None:
    good: dict[str, Any] = {name: well}
    bad: dict[str, Any] = {name: ill}
    assert symptoms(rows(20, **good)) == {}
    assert set(symptoms(rows(20, **bad))) == {symptom}
    assert symptoms([*rows(20), *rows(LASTING - 1, 21, **bad)]) == {}
    assert set(symptoms([*rows(20), *rows(LASTING, 21, **bad)])) == {symptom}


@pytest.mark.parametrize("name", ["real_accuracy", "fake_accuracy"])
def test_being_right_about_one_kind_of_image_is_no_victory(name: str) -> None:
    all_right: dict[str, Any] = {name: 1.0}
    assert symptoms(rows(20, **all_right)) == {}


@pytest.mark.parametrize("name", ["loss_d", "loss_g"])
@pytest.mark.parametrize("still", [0.693, -0.693])
def test_a_loss_that_stands_still_is_told_with_the_step_since_when(name: str, still: float) -> None:
    def changing(share: float) -> list[Row]:
        held: dict[str, Any] = {name: still}
        curves = rows(20, **held)
        return [{**row, name: row[name] * (1 + share * (number % 2))} for number, row in enumerate(curves)]

    assert list(symptoms(changing(1e-8)).values()) == [f"{name} has not changed since step 1,700: nothing is learned"]
    assert symptoms(changing(1e-4)) == {}


def test_black_and_almost_white_are_saturated() -> None:
    samples = torch.tensor([-1.0, 0.995, 0.98, 0.0]).expand(2, 3, 1, 4)
    assert vitals(samples, 1.0)["saturated"] == 0.5
    apart = torch.stack([samples[0], samples[0] + 1])
    assert vitals(apart, 0.5)["sample_distance"] == pytest.approx(12**0.5 / 0.5)
