import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ganpipe.corpus.shards import Images
from ganpipe.models.dcgan import Discriminator, Generator
from ganpipe.training.augment import augment, rotated
from ganpipe.training.averages import Average
from ganpipe.training.batches import Batch, Batches
from ganpipe.training.losses import smoothed_targets
from ganpipe.training.regularisers import squared_gradient, unit_gradient
from ganpipe.training.sampling import SamplingStep, build
from support.settings import train_params

CPU = torch.device("cpu")


def made(precision: torch.dtype = torch.float32, **changes: Any) -> SamplingStep:
    params = train_params(width=4, latent=16, **changes)
    return SamplingStep(params, *build(params, CPU), precision)


def copies(update: SamplingStep) -> tuple[Generator, Discriminator]:
    generator, discriminator = copy.deepcopy((update.generator, update.discriminator))
    assert isinstance(generator, Generator) and isinstance(discriminator, Discriminator)
    return generator, discriminator


def batches(corpus: Images, **changes: Any) -> Batches:
    return Batches(corpus, train_params(latent=16, **changes), CPU)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(before: dict[str, torch.Tensor], network: nn.Module) -> bool:
    return all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_even_steps_move_only_g_and_odd_ones_only_d(corpus: Images) -> None:
    update, given = made(), batches(corpus)
    for step in range(4):
        before = weights(update.generator), weights(update.discriminator)
        update(step, given(step))
        assert same(before[0], update.generator) == (step % 2 == 1)
        assert same(before[1], update.discriminator) == (step % 2 == 0)


def reference_step(network: nn.Module, loss: torch.Tensor, rate: float) -> None:
    """Adam's first step, written out: rate * g / (|g| + eps)."""
    for weight, gradient in zip(
        network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
    ):
        weight.data -= rate * gradient / (gradient.abs() + 1e-8)


def loss_g(g: Generator, d: Discriminator, z: torch.Tensor) -> torch.Tensor:
    return -torch.log(torch.sigmoid(d(g(z)))).mean()


def loss_d(g: Generator, d: Discriminator, real: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    return -torch.log(torch.sigmoid(d(real))).mean() - torch.log(1 - torch.sigmoid(d(g(z).detach()))).mean()


def close(update: SamplingStep, g: Generator, d: Discriminator) -> None:
    for mine, theirs in ((update.generator, g), (update.discriminator, d)):
        for name, tensor in mine.state_dict().items():
            torch.testing.assert_close(tensor, theirs.state_dict()[name], atol=2e-5, rtol=0)


def test_the_first_updates_are_adams_on_the_papers_gradients(corpus: Images) -> None:
    update, batch = made(learning_rate=1e-3), batches(corpus)(0)
    g, d = copies(update)
    update(0, batch)
    update(1, batch)
    reference_step(g, loss_g(g, d, batch.z), 1e-3)
    reference_step(d, loss_d(g, d, batch.real, batch.z), 1e-3)
    close(update, g, d)


def test_a_simultaneous_step_is_d_and_then_g_against_it(corpus: Images) -> None:
    update, batch = made(updates="simultaneous", learning_rate=1e-3), batches(corpus)(0)
    g, d = copies(update)
    update(0, batch)
    reference_step(d, loss_d(g, d, batch.real, batch.z), 1e-3)
    reference_step(g, loss_g(g, d, batch.z), 1e-3)
    close(update, g, d)


OPTIONS: list[dict[str, Any]] = [
    {"objective": "saturating"},
    {"objective": "hinge"},
    {"objective": "least_squares"},
    {"objective": "wasserstein", "normalisation": "none", "gradient_penalty": 10.0},
    {"objective": "relativistic"},
    {"label_smoothing": 0.1},
    {"label_smoothing": 0.1, "smoothing": "loss"},
    {"r1": 1.0},
    {"r2": 1.0},
    {"normalisation": "none", "gradient_penalty": 10.0},
    {"normalisation": "spectral"},
    {"normalisation": "none"},
    {"augment": "diffaugment"},
    {"rotation": 1.0},
    {"updates": "simultaneous"},
    {"generator_width": 3},
    {"noise": "normal"},
    {"schedule": "linear"},
    {"schedule": "cosine"},
    {"discriminator_schedule": "cosine"},
    {"discriminator_learning_rate": 1e-4},
    {"discriminator_beta1": 0.0},
    {"discriminator_beta2": 0.9},
    {"average": 0.9},
]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("changes", OPTIONS, ids=lambda changes: ",".join(f"{k}={v}" for k, v in changes.items()))
def test_every_option_moves_both_networks_its_own_way(
    changes: dict[str, Any], precision: torch.dtype, corpus: Images
) -> None:
    plain, update = made(precision), made(precision, **changes)
    before = [weights(network) for network in (update.generator, update.discriminator)]
    for step in range(16):
        plain(step, batches(corpus)(step))
        seen = update(step, batches(corpus, **changes)(step))
        assert all(torch.isfinite(value) for value in seen.values())
    for held, network in zip(before, (update.generator, update.discriminator), strict=True):
        assert all(torch.isfinite(tensor).all() for tensor in network.state_dict().values())
        assert not same(held, network)
    if "average" in changes:  # which leaves the training itself alone
        assert not same(weights(update.generator), update.averages["generator"].network)
        assert same(weights(plain.generator), update.generator)
    else:
        ours, theirs = (list(step.discriminator.state_dict().values()) for step in (update, plain))
        assert len(ours) != len(theirs) or not all(map(torch.equal, ours, theirs))


def test_each_player_has_its_own_rate_and_decays(corpus: Images) -> None:
    own: dict[str, Any] = {"discriminator_learning_rate": 1e-5, "discriminator_beta1": 0.0, "discriminator_beta2": 0.9}
    update = made(
        learning_rate=1e-3, beta1=0.5, beta2=0.999, schedule="linear", discriminator_schedule="constant", **own
    )
    update(15, batches(corpus)(15))  # of 20: three quarters
    g, d = (update.optimizers[name].param_groups[0] for name in ("generator", "discriminator"))
    assert (g["lr"], g["betas"]) == (pytest.approx(1e-3 * 0.5), (0.5, 0.999))
    assert (d["lr"], d["betas"]) == (1e-5, (0.0, 0.9))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"updates": "simultaneous", "average": 0.9, "normalisation": "spectral", "rotation": 1.0, "schedule": "cosine"},
    ],
)
def test_state_continues_to_the_same_bits(changes: dict[str, Any], corpus: Images) -> None:
    given = batches(corpus, **changes)

    def run(update: SamplingStep, steps: range) -> None:
        for step in steps:
            update(step, given(step))

    straight = made(**changes)
    run(straight, range(6))
    middle = copy.deepcopy(straight.state())
    run(straight, range(6, 12))
    resumed = made(**changes)
    resumed.load_state(middle)
    run(resumed, range(6, 12))
    assert same(weights(straight.generator), resumed.generator)
    assert same(weights(straight.discriminator), resumed.discriminator)
    for name, average in straight.averages.items():
        assert same(weights(average.network), resumed.averages[name].network)


def test_bf16_keeps_weights_and_losses_in_single_precision(corpus: Images) -> None:
    update, given = made(torch.bfloat16), batches(corpus)
    seen = {**update(0, given(0)), **update(1, given(1))}
    assert {value.dtype for value in seen.values()} == {torch.float32}
    assert {tensor.dtype for tensor in update.generator.state_dict().values()} == {torch.float32}


EVERYTHING: dict[str, Any] = {
    "normalisation": "none",
    "augment": "diffaugment",
    "r1": 3.0,
    "r2": 5.0,
    "gradient_penalty": 7.0,
    "rotation": 2.0,
}


def everything_d(g: Generator, d: Discriminator, batch: Batch) -> torch.Tensor:
    pairs = ((batch.real, batch.distort_real), (g(batch.z), batch.distort_fake))
    real, fake = (augment(images, draws).detach().requires_grad_() for images, draws in pairs)
    real_logits, fake_logits = d(real), d(fake)
    total = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    total = total + 3 * squared_gradient(real_logits, real) + 5 * squared_gradient(fake_logits, fake)
    total = total + 7 * unit_gradient(d, real, fake, batch.mix)
    return total + 2 * F.cross_entropy(d.rotations(rotated(real, batch.turns)), batch.turns)


def everything_g(g: Generator, d: Discriminator, batch: Batch) -> torch.Tensor:
    shown = augment(g(batch.z), batch.distort_fake)
    turning = F.cross_entropy(d.rotations(rotated(shown, batch.turns)), batch.turns)
    return F.softplus(-d(shown)).mean() + 0.2 * 2 * turning


def test_all_terms_together_are_the_sum_that_the_settings_say(corpus: Images) -> None:
    update, batch = made(learning_rate=1e-3, **EVERYTHING), batches(corpus, **EVERYTHING)(0)
    g, d = copies(update)
    update(1, batch)
    reference_step(d, everything_d(g, d, batch), 1e-3)
    update(0, batch)
    reference_step(g, everything_g(g, d, batch), 1e-3)
    close(update, g, d)


def test_a_paired_generator_sees_distorted_real_images(corpus: Images) -> None:
    changes: dict[str, Any] = {"objective": "relativistic", "augment": "diffaugment"}
    update, batch = made(learning_rate=1e-3, **changes), batches(corpus, **changes)(0)
    g, d = copies(update)
    update(0, batch)
    real, shown = augment(batch.real, batch.distort_real), augment(g(batch.z), batch.distort_fake)
    reference_step(g, F.softplus(d(real) - d(shown)).mean(), 1e-3)
    close(update, g, d)


def test_what_is_seen_is_what_happened(corpus: Images) -> None:
    update, batch = made(rotation=1.0), batches(corpus, rotation=1.0)(0)
    (_, d), fake = copies(update), update.generator(batch.z).detach()
    real_logits, fake_logits = d(batch.real), d(fake)
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    turning = F.cross_entropy(d.rotations(rotated(batch.real, batch.turns)), batch.turns)
    expected = {
        "loss_d": loss,
        "loss_rotation": turning,
        "gradient_d": nn.utils.get_total_norm(torch.autograd.grad(loss + turning, list(d.parameters()))),
        "real_accuracy": (real_logits > 0).float().mean(),
        "fake_accuracy": (fake_logits < 0).float().mean(),
    }
    seen = update(1, batch)
    assert seen.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(seen[name], value.detach())
    loss_only = F.softplus(-update.discriminator(update.generator(batch.z))).mean()
    seen = update(0, batch)
    assert seen.keys() == {"loss_g", "gradient_g"}
    torch.testing.assert_close(seen["loss_g"], loss_only.detach())


@pytest.mark.parametrize("updates", ["alternating", "simultaneous"])
def test_each_average_follows_its_network_when_that_moves(updates: str, corpus: Images) -> None:
    update, given = made(updates=updates, average=0.9), batches(corpus)
    g, d = Average(update.generator, 0.9), Average(update.discriminator, 0.9)
    for step in range(4):
        update(step, given(step))
        if updates == "simultaneous" or step % 2 == 0:
            g.follow(update.generator)
        if updates == "simultaneous" or step % 2 == 1:
            d.follow(update.discriminator)
    assert same(weights(g.network), update.averages["generator"].network)
    assert same(weights(d.network), update.averages["discriminator"].network)
    assert [held["updates"] for held in update.state()["averages"].values()] == [g.updates, d.updates]


def test_smoothing_of_the_target_is_what_the_name_says() -> None:
    update = made(label_smoothing=0.1)
    real, fake = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.0])
    assert torch.equal(update.objective.discriminator(real, fake), smoothed_targets(0.1)(real, fake))
