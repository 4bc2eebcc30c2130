import numpy as np
import pytest
from PIL import Image

from ganpipe.corpus.images import square
from ganpipe.dedupe import likeness
from ganpipe.dedupe.likeness import REACH, alike, edges
from ganpipe.dedupe.perturb import PERTURBATIONS
from support.scenes import scenes

COUNT = 24


def verdicts(these: np.ndarray, others: np.ndarray) -> np.ndarray:
    return alike(edges(these), edges(others), np.ones((len(these), len(others)), bool))


def moved(images: np.ndarray, right: int, down: int) -> np.ndarray:
    return np.roll(images, (down, right), (1, 2))


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name != "flip"])
def test_copies_are_near_duplicates_of_their_sources_and_of_nothing_else(name: str) -> None:
    images = scenes(COUNT)
    copies = [PERTURBATIONS[name](Image.fromarray(image), np.random.default_rng(i)) for i, image in enumerate(images)]
    squares = np.stack([square(copy, 32, "bilinear") for copy in copies])
    assert (verdicts(images, squares) == np.eye(COUNT, dtype=bool)).all()
    assert (verdicts(squares, images) == np.eye(COUNT, dtype=bool)).all()


def test_what_is_not_asked_is_not_so() -> None:
    images = scenes(COUNT)
    images[7] = images[3]
    images[[1, 2]] = 255
    asked = np.random.default_rng(0).random((COUNT, COUNT)) < 0.5
    verdict = alike(edges(images), edges(images), asked)
    assert (verdict == (verdicts(images, images) & asked)).all()


def test_colours_and_light_are_no_difference() -> None:
    images = scenes(COUNT)
    tinted = (images * 0.7 + [60, 0, 30]).astype(np.uint8)
    assert verdicts(images, tinted).diagonal().all()


@pytest.mark.parametrize(("right", "down"), [(REACH, -REACH), (-REACH, 0), (1, REACH)])
def test_displacements_up_to_the_reach_are_no_difference(right: int, down: int) -> None:
    images = scenes(COUNT)
    assert verdicts(images, moved(images, right, down)).diagonal().all()
    fine = edges(moved(images, right, down)).fine
    assert likeness.correlation(edges(images).fine, fine, REACH) == pytest.approx(np.ones(COUNT), abs=1e-5)


def test_larger_displacements_are() -> None:
    images = scenes(COUNT)
    assert not verdicts(images, moved(images, 3 * REACH, 0)).any()


def test_correlation_is_the_best_of_all_displacements() -> None:
    these, others = edges(scenes(COUNT)).fine, edges(scenes(COUNT)[::-1]).fine
    side = 30 - 2 * REACH
    for this, other, found in zip(these, others, likeness.correlation(these, others, REACH), strict=True):
        inner = this[REACH:-REACH, REACH:-REACH].ravel()
        best = max(
            inner @ part / np.linalg.norm(inner) / np.linalg.norm(part)
            for top in range(5)
            for left in range(5)
            for part in [other[top : top + side, left : left + side].ravel()]
        )
        assert found == pytest.approx(best, abs=1e-5)


def test_pairs_that_are_looked_at_together_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    images = scenes(COUNT)[np.arange(3 * COUNT) % COUNT]
    due = np.equal.outer(np.arange(3 * COUNT) % COUNT, np.arange(3 * COUNT) % COUNT)
    monkeypatch.setattr(likeness, "PAIRS", 7)
    assert (verdicts(images, images) == due).all()


def test_blank_images_are_like_each_other_and_like_no_other() -> None:
    noisy = np.random.default_rng(0).integers(127, 130, (32, 32, 3))  # what compression leaves of a plain ground
    images = np.stack([np.full((32, 32, 3), 255), np.full((32, 32, 3), 9), noisy, *scenes(3)]).astype(np.uint8)
    expected = np.eye(6, dtype=bool)
    expected[:3, :3] = True
    assert (verdicts(images, images) == expected).all()


def test_an_edge_in_common_does_not_decide_alone() -> None:
    images = scenes(COUNT) // 2
    images[:, 16:] += 60  # a horizon, twice as strong as anything else
    verdict = verdicts(images, images)
    assert verdict.diagonal().all()
    assert verdict.mean() < 0.1


def test_pairs_are_judged_alike_one_by_one_and_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.concatenate([scenes(COUNT), moved(scenes(COUNT), 1, 1), np.full((2, 32, 32, 3), 255, np.uint8)])
    i, j = np.triu_indices(len(images), 1)
    due = verdicts(images, images)[i, j]
    assert 0 < due.sum() < len(due)
    assert (likeness.alike_in_pairs(*(edges(images[at]) for at in (i, j))) == due).all()
    monkeypatch.setattr(likeness, "PAIRS", 100)
    asked = []

    def squares(numbers: np.ndarray) -> np.ndarray:
        asked.append(numbers)
        return images[numbers]

    assert (likeness.verify(j, i, squares) == due).all()
    assert all(len(numbers) <= 200 and (np.diff(numbers) > 0).all() for numbers in asked)
    assert likeness.verify(i[:0], j[:0], squares).shape == (0,)
