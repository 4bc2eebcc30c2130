"""The names that settings accept are those that exist, and combinations that mean nothing are refused."""

from typing import Any, get_args

import pytest

from ganpipe.models.dcgan import ARCHITECTURES, Normalisation
from ganpipe.models.mlp import PERCEPTRONS
from ganpipe.models.unet import UNETS
from ganpipe.training.losses import OBJECTIVES
from ganpipe.training.params import Schedule, TrainParams, TranslateParams
from ganpipe.training.schedules import SCHEDULES
from support.settings import train_params


def accepted(field: str) -> tuple[str, ...]:
    return get_args(TrainParams.model_fields[field].annotation)


def test_every_name_that_is_accepted_exists_and_the_other_way_round() -> None:
    assert set(accepted("network")) == {*ARCHITECTURES, *PERCEPTRONS}
    assert set(get_args(TranslateParams.model_fields["network"].annotation)) == set(UNETS)
    assert set(accepted("objective")) == set(OBJECTIVES)
    assert set(accepted("normalisation")) == set(get_args(Normalisation))
    assert set(get_args(Schedule)) == set(SCHEDULES)


@pytest.mark.parametrize("objective", sorted({*OBJECTIVES} - {"non_saturating", "saturating", "wasserstein"}))
def test_smoothing_needs_a_target(objective: str) -> None:
    with pytest.raises(ValueError, match=f"{objective} has none"):
        train_params(objective=objective, label_smoothing=0.1)


def test_a_penalty_on_each_images_gradient_goes_with_no_batch_statistics() -> None:
    with pytest.raises(ValueError, match="gradient_penalty needs .* none or spectral, not batch"):
        train_params(gradient_penalty=1.0)


def test_a_critic_needs_a_bounded_gradient() -> None:
    with pytest.raises(ValueError, match="needs gradient_penalty above 0 .*, or spectral"):
        train_params(objective="wasserstein")
    allowed: list[dict[str, Any]] = [
        {"gradient_penalty": 1.0, "normalisation": "none"},
        {"normalisation": "spectral"},
    ]
    for changes in allowed:
        assert train_params(objective="wasserstein", **changes).objective == "wasserstein"
