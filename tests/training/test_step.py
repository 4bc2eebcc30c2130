import copy

import torch
from torch import nn

from ganpipe.corpus.shards import Images
from ganpipe.models.dcgan import Discriminator, Generator, initialise
from ganpipe.training.batches import RealBatches, noise
from ganpipe.training.step import AlternatingStep
from support.settings import train_params

CPU = torch.device("cpu")


def made() -> tuple[Generator, Discriminator]:
    generator, discriminator = Generator(4, 16), Discriminator(4)
    for network in (generator, discriminator):
        initialise(network, torch.Generator().manual_seed(1))
    return generator, discriminator


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(before: dict[str, torch.Tensor], network: nn.Module) -> bool:
    return all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_even_steps_move_only_g_and_odd_ones_only_d(corpus: Images) -> None:
    generator, discriminator = made()
    update = AlternatingStep(train_params(), generator, discriminator, torch.float32)
    real = RealBatches(corpus, 8, 0, CPU)
    for step in range(4):
        before = weights(generator), weights(discriminator)
        update(step, real(step), noise(8, 16, CPU, step))
        assert same(before[0], generator) == (step % 2 == 1)
        assert same(before[1], discriminator) == (step % 2 == 0)


def test_the_first_updates_are_adams_on_the_papers_gradients(corpus: Images) -> None:
    generator, discriminator = made()
    reference = copy.deepcopy((generator, discriminator))
    params = train_params(learning_rate=1e-3)
    update = AlternatingStep(params, generator, discriminator, torch.float32)
    real, z = RealBatches(corpus, 8, 0, CPU)(0), noise(8, 16, CPU, 5)
    update(0, real, z)
    update(1, real, z)
    # Adam's first step is rate * g / (|g| + eps), written out here for both networks in turn.
    g, d = reference
    loss = -torch.log(torch.sigmoid(d(g(z)))).mean()
    for weight, gradient in zip(g.parameters(), torch.autograd.grad(loss, list(g.parameters())), strict=True):
        weight.data -= 1e-3 * gradient / (gradient.abs() + 1e-8)
    loss = -torch.log(torch.sigmoid(d(real))).mean() - torch.log(1 - torch.sigmoid(d(g(z).detach()))).mean()
    for weight, gradient in zip(d.parameters(), torch.autograd.grad(loss, list(d.parameters())), strict=True):
        weight.data -= 1e-3 * gradient / (gradient.abs() + 1e-8)
    for mine, theirs in ((generator, g), (discriminator, d)):
        for name, tensor in mine.state_dict().items():
            assert torch.allclose(tensor, theirs.state_dict()[name], atol=2e-5), name


def test_state_continues_to_the_same_bits(corpus: Images) -> None:
    real = RealBatches(corpus, 8, 0, CPU)

    def run(update: AlternatingStep, steps: range) -> None:
        for step in steps:
            update(step, real(step), noise(8, 16, CPU, step))

    straight = AlternatingStep(train_params(), *made(), torch.float32)
    run(straight, range(6))
    middle = copy.deepcopy(straight.state())
    run(straight, range(6, 12))
    resumed = AlternatingStep(train_params(), *made(), torch.float32)
    resumed.load_state(middle)
    run(resumed, range(6, 12))
    assert same(weights(straight.generator), resumed.generator)
    assert same(weights(straight.discriminator), resumed.discriminator)


def test_bf16_keeps_weights_and_losses_in_single_precision(corpus: Images) -> None:
    generator, discriminator = made()
    update = AlternatingStep(train_params(), generator, discriminator, torch.bfloat16)
    real = RealBatches(corpus, 8, 0, CPU)
    seen = {**update(0, real(0), noise(8, 16, CPU, 0)), **update(1, real(1), noise(8, 16, CPU, 1))}
    assert {value.dtype for value in seen.values()} == {torch.float32}
    assert {tensor.dtype for tensor in generator.state_dict().values()} == {torch.float32}
