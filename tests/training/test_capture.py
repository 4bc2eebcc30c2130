"""On a GPU: recorded steps do what plain ones do, and both do what a CPU does."""

from typing import Any

import pytest
import torch
from torch import nn

from ganpipe.corpus.shards import Images
from ganpipe.training.batches import Batches
from ganpipe.training.capture import WARM_UP, Captured
from ganpipe.training.loop import train
from ganpipe.training.sampling import SamplingStep, build
from support.settings import train_params

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here: steps are recorded on CUDA only")
CHANGES: list[dict[str, Any]] = [
    {},
    {"updates": "simultaneous", "objective": "relativistic", "r1": 1.0, "r2": 1.0, "average": 0.9},
    {"normalisation": "spectral", "augment": "diffaugment", "rotation": 1.0, "schedule": "cosine"},
]


@pytest.fixture(autouse=True)
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)  # 10 bits of a product's numbers are no rounding
    yield
    torch.use_deterministic_algorithms(False)


def tensors(step: SamplingStep) -> list[torch.Tensor]:
    return [
        tensor.cpu() for network in (step.generator, step.discriminator) for tensor in network.state_dict().values()
    ]


def run(corpus: Images, device: str, steps: int, captured: bool, **changes: Any) -> list[torch.Tensor]:
    params = train_params(width=4, **changes)
    step = SamplingStep(params, *build(params, torch.device(device)), torch.float32)
    if not captured:
        step._both, step._g, step._d = step.update_both, step.update_generator, step.update_discriminator
    batches = Batches(corpus, params, torch.device(device))
    for number in range(steps):
        step(number, batches(number))
    return tensors(step)


@pytest.mark.parametrize("changes", CHANGES)
def test_recorded_steps_have_the_same_bits(changes: dict[str, Any], corpus: Images) -> None:
    steps = 4 * WARM_UP
    for one, other in zip(
        run(corpus, "cuda", steps, captured=True, **changes),
        run(corpus, "cuda", steps, captured=False, **changes),
        strict=True,
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize("changes", CHANGES)
def test_a_step_on_a_gpu_is_the_cpus_to_rounding(changes: dict[str, Any], corpus: Images) -> None:
    for one, other in zip(
        run(corpus, "cuda", 2, captured=False, **changes), run(corpus, "cpu", 2, captured=False, **changes), strict=True
    ):
        # Adam makes a whole step of the sign of a gradient near 0.
        assert float((one - other).abs().max()) < 2.5e-3
        assert float((one - other).abs().median()) < 1e-5


def test_a_longer_training_continues_a_shorter_one_to_the_same_bits(
    corpus: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    device = torch.device("cuda")
    straight = train(train_params(steps=40), corpus, device)
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    train(train_params(steps=18), corpus, device)
    resumed = train(train_params(steps=40), corpus, device)
    for name, network in straight.networks.items():
        assert same(network, resumed.networks[name])


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_it_is_recorded_after_a_few_calls_and_then_replayed() -> None:
    calls = 0
    total = torch.zeros((), device="cuda")

    def add(batch: Any) -> dict[str, torch.Tensor]:
        nonlocal calls
        calls += 1
        total.add_(batch.z.sum())
        return {"total": total.clone()}

    from ganpipe.training.batches import Batch

    captured, empty = Captured(add), torch.zeros(0, device="cuda")
    for value in range(10):
        z = torch.full((2,), float(value), device="cuda")
        seen = captured(Batch(empty, z, empty, empty, empty, empty))
        assert float(seen["total"]) == 2 * sum(range(value + 1))
    assert calls == WARM_UP + 1
