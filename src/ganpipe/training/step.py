"""One step of the training: a batch of real samples drives the discriminator, the generator, or both."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ganpipe.models.networks import AVERAGE, DISCRIMINATOR, GENERATOR, Networks
from ganpipe.runtime import average_over_processes, mix_seed, world
from ganpipe.training.averages import Average
from ganpipe.training.batches import DROPOUT
from ganpipe.training.capture import Captured
from ganpipe.training.losses import OBJECTIVES, scaled_loss, smoothed_targets
from ganpipe.training.params import Training
from ganpipe.training.schedules import SCHEDULES

ADAM_EPSILON = 1e-8
Seen = dict[str, Tensor]  # scalars that stay on the device


class Step(ABC):
    """Both networks with their optimisers and averages. A step is a pure function of these and of a batch.

    Each kind of training says what the networks' losses are.
    """

    def __init__(
        self, params: Training, generator: nn.Module, discriminator: nn.Module, precision: torch.dtype
    ) -> None:
        self.settings, self.precision = params, precision
        self.networks: Networks = {GENERATOR: generator, DISCRIMINATOR: discriminator}
        self.device = next(generator.parameters()).device
        self.objective = OBJECTIVES[params.objective]
        if params.label_smoothing:
            smoothed = smoothed_targets if params.smoothing == "target" else scaled_loss
            self.objective = self.objective._replace(discriminator=smoothed(params.label_smoothing))
        own = {  # the discriminator's, where it has its own
            name: params.__dict__[name] if (value := params.__dict__[f"discriminator_{name}"]) is None else value
            for name in ("learning_rate", "beta1", "beta2", "schedule")
        }
        self.optimizers = {
            GENERATOR: _adam(generator, params.learning_rate, params.beta1, params.beta2),
            DISCRIMINATOR: _adam(discriminator, own["learning_rate"], own["beta1"], own["beta2"]),
        }
        self.rates = {
            GENERATOR: (params.learning_rate, SCHEDULES[params.schedule]),
            DISCRIMINATOR: (own["learning_rate"], SCHEDULES[own["schedule"]]),
        }
        updates: list[Callable[[Any], Seen]] = [self.update_both, self.update_generator, self.update_discriminator]
        if self.device.type == "cuda" and world()[1] == 1:
            updates = [Captured(update) for update in updates]
        self._both, self._g, self._d = updates
        followed = self.networks if params.average else {}
        self.averages = {name: Average(network, params.average) for name, network in followed.items()}

    @abstractmethod
    def make(self, batch: Any) -> Tensor:
        """What the generator makes of a batch."""

    @abstractmethod
    def descend_generator(self, batch: Any, made: Tensor) -> Seen:
        """One step of G down its loss, of what it made."""

    @abstractmethod
    def descend_discriminator(self, batch: Any, made: Tensor) -> Seen:
        """One step of D down its loss, of what G made."""

    def update_generator(self, batch: Any) -> Seen:
        """G's half of the alternation."""
        with self.autocast():
            return self.descend_generator(batch, self.make(batch))

    def update_discriminator(self, batch: Any) -> Seen:
        """D's half of the alternation."""
        with self.autocast():
            with torch.no_grad():
                made = self.make(batch)
            return self.descend_discriminator(batch, made)

    def update_both(self, batch: Any) -> Seen:
        """D, then G against the D of that moment, on what G made once."""
        with self.autocast():
            made = self.make(batch)
            return {**self.descend_discriminator(batch, made.detach()), **self.descend_generator(batch, made)}

    @property
    def drops_out(self) -> bool:
        """Whether a network draws at random what it drops."""
        return False

    @property
    def all_networks(self) -> Networks:
        """The averages too, by the names that files use."""
        return {**self.networks, **{f"{name}{AVERAGE}": average.network for name, average in self.averages.items()}}

    def __call__(self, step: int, batch: Any) -> Seen:
        """Update one network, or both; what was seen on the way. Even steps of an alternation update G, odd ones D."""
        for name, (rate, schedule) in self.rates.items():
            _set_rate(self.optimizers[name], rate * schedule(step / self.settings.steps))
        if self.drops_out:  # what is dropped follows from the step, as all else does
            torch.manual_seed(mix_seed(self.settings.seed, DROPOUT, step, world()[0]))
        if self.settings.updates == "simultaneous":
            return self._update(self._both, batch, GENERATOR, DISCRIMINATOR)
        if step % 2 == 0:
            return self._update(self._g, batch, GENERATOR)
        return self._update(self._d, batch, DISCRIMINATOR)

    def _update(self, update: Callable[[Any], Seen], batch: Any, *names: str) -> Seen:
        seen = update(batch)
        for name in names:
            if name in self.averages:
                self.averages[name].follow(self.networks[name])
        return seen

    def descend(self, name: str, loss: Tensor) -> Tensor:
        """One step of the optimiser; the norm of all its gradients together."""
        optimizer, parameters = self.optimizers[name], list(self.networks[name].parameters())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        average_over_processes(gradients)
        optimizer.step()
        return nn.utils.get_total_norm(gradients)

    def autocast(self) -> torch.autocast:
        """What the networks run in."""
        # Without a cache of cast weights, which a captured step could not renew.
        kind = self.device.type
        return torch.autocast(kind, self.precision, self.precision != torch.float32, cache_enabled=kind != "cuda")

    def state(self) -> dict[str, Any]:
        """Weights, optimisers and averages, for a checkpoint."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "averages": {name: average.state() for name, average in self.averages.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
            optimizer = self.optimizers[name]
            optimizer.load_state_dict(state["optimizers"][name])
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # loaded on the CPU
                    group["lr"] = group["lr"].to(self.device)
        for name, average in self.averages.items():
            average.load_state(state["averages"][name])


def _adam(network: nn.Module, rate: float, beta1: float, beta2: float) -> torch.optim.Adam:
    on_gpu = next(network.parameters()).is_cuda
    return torch.optim.Adam(
        network.parameters(),
        # A captured step reads its rate from the device.
        lr=torch.tensor(rate, device=next(network.parameters()).device) if on_gpu else rate,
        betas=(beta1, beta2),
        eps=ADAM_EPSILON,
        fused=True,
        capturable=on_gpu,
    )


def _set_rate(optimizer: torch.optim.Adam, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
