import torch
from torch import Tensor

from ganpipe.training.regularisers import squared_gradient, unit_gradient


def images(seed: int, count: int = 5) -> Tensor:
    return torch.randn(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_squared_gradient_of_a_quadratic() -> None:
    x = images(0).requires_grad_()
    logits = x.square().sum((1, 2, 3))  # whose gradient is 2 x
    expected = 0.5 * (2 * x.detach()).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(squared_gradient(logits, x).double(), expected, rtol=1e-5, atol=0)


def test_the_penaltys_own_gradient_reaches_the_weights() -> None:
    weight = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    x = images(0).requires_grad_()
    penalty = squared_gradient(weight * x.sum((1, 2, 3)), x)  # |grad|^2 = weight^2 * 48
    (by_weight,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(by_weight, torch.tensor(3.0 * 48, dtype=torch.float64))


def test_a_gradient_of_length_one_costs_nothing() -> None:
    direction = torch.nn.functional.normalize(torch.ones(3, 4, 4, dtype=torch.float64).flatten(), dim=0).view(3, 4, 4)

    def unit(x: Tensor) -> Tensor:
        return (x * direction).sum((1, 2, 3))

    mix = torch.rand(5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    assert unit_gradient(unit, images(0), images(1), mix) < 1e-12
    torch.testing.assert_close(
        unit_gradient(lambda x: 3 * unit(x), images(0), images(1), mix).double(), torch.tensor(4.0).double()
    )


def test_the_place_between_is_each_images_own() -> None:
    seen: list[Tensor] = []

    def look(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return x.square().sum((1, 2, 3))

    real, fake, mix = images(0), images(1), torch.tensor([0.0, 1.0, 0.25, 0.5, 0.75], dtype=torch.float64)
    unit_gradient(look, real, fake, mix)
    for place, share in enumerate(mix):
        torch.testing.assert_close(seen[0][place], share * real[place] + (1 - share) * fake[place])


def test_numbers_are_mixed_as_images_are() -> None:
    seen: list[Tensor] = []

    def look(x: Tensor) -> Tensor:
        seen.append(x.detach())
        return 3 * x.squeeze(1)

    real, fake, mix = torch.tensor([[8.0], [4.0]]), torch.tensor([[0.0], [0.0]]), torch.tensor([0.25, 0.5])
    assert unit_gradient(look, real, fake, mix) == 4
    torch.testing.assert_close(seen[0], torch.tensor([[2.0], [2.0]]))
