import numpy as np
import pytest
import torch
from analysis.drawing import tinted

from ganpipe.analysis.attributes import ROWS, SHOWN, Judge, attributes, direction, exemplars, first, learn
from ganpipe.analysis.found import Analysis
from ganpipe.errors import UserError
from ganpipe.evaluation.features import extract, scale
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.models.dcgan import Discriminator, fold, initialise, place
from ganpipe.models.draws import drawn, noise
from ganpipe.models.pixels import freeze_on

CPU, LATENT = torch.device("cpu"), 6
Z, OTHERS = noise(300, LATENT, "uniform", 0), noise(40, LATENT, "uniform", 1)


@pytest.fixture(scope="module")
def discriminator() -> Discriminator:
    network = Discriminator(2, "dcgan28")
    initialise(network, torch.Generator().manual_seed(0))
    images = colours(256, 5)
    freeze_on(place(fold(network), CPU), len(images), lambda rows: images[rows], CPU)
    return network


def colours(count: int, seed: int) -> np.ndarray:
    """Images of one colour each, and noise."""
    source = np.random.default_rng(seed)
    levels = source.integers(128, 250, (count, 1, 1, 3)) + source.normal(0, 4, (count, 28, 28, 3))
    return levels.clip(0, 255).astype(np.uint8)


def known(images: np.ndarray) -> dict[str, np.ndarray]:
    """Whether they are red, of a tenth unknown; whether green; and what is not to be seen in them."""
    red, green = ((images[..., number].mean((1, 2)) > 190).astype(float) for number in range(2))
    red[::10] = np.nan
    return {"red": red, "green>190": green, "lucky": np.random.default_rng(0).integers(0, 2, len(images)).astype(float)}


@pytest.fixture(scope="module")
def judge(discriminator: Discriminator) -> Judge:
    images = colours(500, 1)
    return learn(discriminator, images, known(images), 0, CPU)


def test_what_is_to_be_seen_is_learned_and_what_is_not_is_told_as_chance(judge: Judge) -> None:
    for name in ("red", "green>190"):
        probe = judge.probes[name]
        assert probe.auc > 0.93 and probe.accuracy > 0.8 > probe.majority
    lucky = judge.probes["lucky"]
    assert 0.3 < lucky.auc < 0.7 and 0.3 < lucky.accuracy < 0.7
    assert (judge.probes["red"].tested, lucky.tested) == (90, 100)


def test_scores_are_the_machines_own_on_standardised_features(judge: Judge, discriminator: Discriminator) -> None:
    images, others = colours(500, 1), colours(20, 7)
    train, test = (extract(discriminator, pixels, CPU, "") for pixels in (images[:400], others))
    scale(train, [test], "standardised")
    machine = L2SVM(judge.probes["green>190"].C, tol=1e-6).fit(train, known(images)["green>190"][:400])
    np.testing.assert_allclose(judge.scores(others)["green>190"], machine.decision_function(test), atol=0.01)


def test_an_attribute_that_z_has_is_found_and_walked_along(judge: Judge) -> None:
    found, again = Analysis(), Analysis()
    scores = attributes(found, tinted(LATENT), judge, Z, OTHERS, 5, 3.0, CPU)
    for number, name in enumerate(["red", "green>190"]):
        assert np.corrcoef(scores[name], Z[:, number])[0, 1] > 0.8
        way = direction(Z, scores[name], 3.0)
        assert int(way.abs().argmax()) == number and way[number] > 0
        assert way.norm() == pytest.approx(3 * float(Z.std()), rel=1e-5)
    assert float(found.metrics["attribute_red_rises"]) > 0.95
    assert float(found.metrics["attribute_green_over_190_rise"]) > 1
    assert found.metrics["attribute_red_auc"] == judge.probes["red"].auc
    assert {"attribute_red", "attribute_red_ranked", "attribute_green_over_190"} <= found.pictures.keys()
    assert found.pictures["attribute_red"].size[0] == 5 * 57 + 1
    ranked = np.asarray(found.pictures["attribute_red_ranked"]).astype(int)[18:]
    assert found.pictures["attribute_red_ranked"].size == (SHOWN * 57 + 1, 18 + 2 * 57 + 1)
    assert (
        ranked[10, 10, 0] > ranked[70, 10, 0] + 50
    )  # of the upper row the first is the reddest, of the lower the least
    walked = np.asarray(found.pictures["attribute_red"]).astype(int)[18:]
    assert walked[10, 10 + 4 * 57, 0] > walked[10, 10, 0] + 20
    assert walked.shape[0] == ROWS * 57 + 1
    attributes(again, tinted(LATENT), judge, Z, OTHERS, 5, 3.0, CPU)
    assert again.metrics == found.metrics


def test_concepts_are_the_samples_that_their_attributes_ask_for(judge: Judge) -> None:
    samples = drawn(tinted(LATENT), Z, CPU)
    scores = judge.scores(samples)
    red, green = samples[:, 0, 0, 0].astype(int), samples[:, 0, 0, 1].astype(int)
    assert (red[first(scores, "red", 9)] > np.quantile(red, 0.8)).all()
    both = first(scores, "red & !green>190", 9)
    assert (red[both] > np.median(red)).all() and (green[both] < np.median(green)).all()
    found = exemplars({"picked": [4, 2], "described": "!red"}, scores)
    assert found == {"picked": [4, 2], "described": first(scores, "!red", 3)}
    assert (red[found["described"]] < np.quantile(red, 0.2)).all()
    with pytest.raises(UserError, match="asks for 'blue', which is none of the attributes: red, green>190, lucky"):
        exemplars({"described": "blue"}, scores)


@pytest.mark.parametrize(
    ("positive", "said"),
    [
        (
            range(0, 95, 5),
            "the attribute rare is known to hold for 19 of 100 images, and not to for the others: at least 20",
        ),
        (range(30), "the attribute rare is known to hold for 30"),  # and of those tested for none
        (range(100), "known to hold for 100 of 100"),
    ],
)
def test_too_few_of_either_kind_are_told(discriminator: Discriminator, positive: range, said: str) -> None:
    rare = np.isin(np.arange(100), list(positive)).astype(float)
    with pytest.raises(UserError, match=said):
        learn(discriminator, colours(100, 0), {"rare": rare}, 0, CPU)
