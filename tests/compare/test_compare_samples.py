import pytest

from ganpipe.compare.compared import Sample
from ganpipe.compare.samples import choose, png
from support.compared import png as picture
from support.compared import sample

A = list(range(0, 4201, 600))


def held(steps: list[int], size: int = 100) -> dict[int, Sample]:
    return {step: Sample(size, lambda: b"") for step in steps}


@pytest.mark.parametrize(
    ("one", "two", "rows", "said"),
    [
        (A, A, [(step, step) for step in A], "Shown are the steps that all have."),
        # The ends of both stand side by side, too.
        (
            A,
            [*range(0, 5001, 500)],
            [(0, 0), (3000, 3000), (4200, 5000)],
            "Shown are the steps that all have. The last are the ends, at steps of their own.",
        ),
        # Hardly a step in common.
        (
            [0, 100, 200],
            [0, 90, 180, 270],
            [(0, 0), (100, 90), (200, 180), (200, 270)],
            "The runs have step 0 only in common: those nearest to the first run's stand beside them. The last are the "
            "ends, at steps of their own.",
        ),
        (
            [10, 20],
            [14],
            [(10, 14), (20, 14)],
            "The runs have no step in common: those nearest to the first run's stand beside them.",
        ),
        ([30], [30], [(30, 30)], "Shown are the steps that all have."),
        ([30], [], [(30, None)], ""),
        ([], [20, 30], [(None, 20), (None, 30)], ""),
        ([], [], [], ""),
    ],
)
def test_steps_that_stand_side_by_side(
    one: list[int], two: list[int], rows: list[tuple[int | None, ...]], said: str
) -> None:
    assert choose([held(one), held(two)]) == (rows, said, "")


def test_of_more_than_fit_some_are_left_out_evenly_but_never_the_ends() -> None:
    found = choose([held(A), held(A)], size=600)
    assert found.rows == [(0, 0), (1800, 1800), (4200, 4200)] or found.rows == [(0, 0), (2400, 2400), (4200, 4200)]
    assert found.left_out == "Left out: 5 of 8 steps, for the page would be too large."
    assert choose([held(A), held(A)], size=399).rows == [(4200, 4200)]
    assert choose([held(A), held(A)], size=199).rows == []
    assert choose([held(A), held(A)], size=199).left_out == "Left out: 8 of 8 steps, for the page would be too large."


def test_a_picture_that_stands_at_several_steps_counts_once() -> None:
    assert len(choose([held([10, 20, 30]), held([20])], size=400).rows) == 3


def test_only_pngs_are_pictures() -> None:
    assert png(sample(picture("red"))) == picture("red")
    for content in (b"", b"<svg onload=alert(1)>", b"GIF89a"):
        with pytest.raises(ValueError, match="no picture"):
            png(sample(content))
