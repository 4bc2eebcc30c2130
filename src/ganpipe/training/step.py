"""One step of the training: a batch of real images drives the discriminator, the generator, or both."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ganpipe.models.dcgan import Discriminator, Generator
from ganpipe.runtime import average_over_processes, world
from ganpipe.training.augment import augment, rotated
from ganpipe.training.averages import Average
from ganpipe.training.batches import Batch
from ganpipe.training.capture import Captured
from ganpipe.training.losses import OBJECTIVES, scaled_loss, smoothed_targets
from ganpipe.training.params import TrainParams
from ganpipe.training.regularisers import squared_gradient, unit_gradient
from ganpipe.training.schedules import SCHEDULES

ADAM_EPSILON = 1e-8
GENERATORS_ROTATION = 0.2  # of the discriminator's weight of rotations (Chen et al. 2019, section 4)
Seen = dict[str, Tensor]  # scalars that stay on the device


class Step:
    """Both networks with their optimisers and averages. A step is a pure function of these and of a `Batch`."""

    def __init__(
        self, params: TrainParams, generator: Generator, discriminator: Discriminator, precision: torch.dtype
    ) -> None:
        self.params, self.generator, self.discriminator, self.precision = params, generator, discriminator, precision
        self.objective = OBJECTIVES[params.objective]
        if params.label_smoothing:
            smoothed = smoothed_targets if params.smoothing == "target" else scaled_loss
            self.objective = self.objective._replace(discriminator=smoothed(params.label_smoothing))
        own = {  # the discriminator's, where it has its own
            name: params.__dict__[name] if (value := params.__dict__[f"discriminator_{name}"]) is None else value
            for name in ("learning_rate", "beta1", "beta2", "schedule")
        }
        self.optimizers = {
            "generator": _adam(generator, params.learning_rate, params.beta1, params.beta2),
            "discriminator": _adam(discriminator, own["learning_rate"], own["beta1"], own["beta2"]),
        }
        self.rates = {
            "generator": (params.learning_rate, SCHEDULES[params.schedule]),
            "discriminator": (own["learning_rate"], SCHEDULES[own["schedule"]]),
        }
        updates: list[Callable[[Batch], Seen]] = [self.update_both, self.update_generator, self.update_discriminator]
        if next(generator.parameters()).is_cuda and world()[1] == 1:
            updates = [Captured(update) for update in updates]
        self._both, self._g, self._d = updates
        self.generator_average = Average(generator, params.average) if params.average else None
        self.discriminator_average = Average(discriminator, params.average) if params.average else None

    @property
    def networks(self) -> dict[str, nn.Module]:
        """By the names that checkpoints and files use."""
        return {"generator": self.generator, "discriminator": self.discriminator}

    def __call__(self, step: int, batch: Batch) -> Seen:
        """Update one network, or both; what was seen on the way. Even steps of an alternation update G, odd ones D."""
        for name, (rate, schedule) in self.rates.items():
            _set_rate(self.optimizers[name], rate * schedule(step / self.params.steps))
        if self.params.updates == "simultaneous":
            return self._update(self._both, batch, g=True, d=True)
        if step % 2 == 0:
            return self._update(self._g, batch, g=True)
        return self._update(self._d, batch, d=True)

    def _update(self, update: Callable[[Batch], Seen], batch: Batch, g: bool = False, d: bool = False) -> Seen:
        seen = update(batch)
        if g and self.generator_average:
            self.generator_average.follow(self.generator)
        if d and self.discriminator_average:
            self.discriminator_average.follow(self.discriminator)
        return seen

    def update_generator(self, batch: Batch) -> Seen:
        """G's half of the alternation."""
        with self._autocast(batch):
            return self._descend_generator(batch, self.generator(batch.z))

    def update_discriminator(self, batch: Batch) -> Seen:
        """D's half of the alternation."""
        with self._autocast(batch):
            with torch.no_grad():
                fake = self.generator(batch.z)
            return self._descend_discriminator(batch, fake)

    def update_both(self, batch: Batch) -> Seen:
        """D, then G against the D of that moment, on the same generated images: G runs forward once."""
        with self._autocast(batch):
            fake = self.generator(batch.z)
            return {**self._descend_discriminator(batch, fake.detach()), **self._descend_generator(batch, fake)}

    def _descend_generator(self, batch: Batch, fake: Tensor) -> Seen:
        self.discriminator.requires_grad_(False)  # its weights' gradients would be thrown away
        shown = self._distort(fake, batch.distort_fake)
        logits = self.discriminator(shown).float()
        real_logits = logits
        if self.objective.paired:
            with torch.no_grad():
                real_logits = self.discriminator(self._distort(batch.real, batch.distort_real)).float()
        loss = self.objective.generator(real_logits, logits)
        total = loss
        if self.params.rotation:
            total = total + GENERATORS_ROTATION * self.params.rotation * self._rotation_loss(shown, batch)
        norm = self._descend("generator", total)
        self.discriminator.requires_grad_(True)
        return {"loss_g": loss.detach(), "gradient_g": norm}

    def _descend_discriminator(self, batch: Batch, fake: Tensor) -> Seen:
        params = self.params
        real = self._distort(batch.real, batch.distort_real)
        fake = self._distort(fake, batch.distort_fake)
        if params.r1:
            real = real.detach().requires_grad_()
        if params.r2:
            fake = fake.detach().requires_grad_()
        # Two passes: in one, real and generated images would share batch statistics.
        real_logits, fake_logits = self.discriminator(real).float(), self.discriminator(fake).float()
        loss = self.objective.discriminator(real_logits, fake_logits)
        real_accuracy, fake_accuracy = self.objective.told_right(real_logits, fake_logits)
        seen = {"loss_d": loss.detach(), "real_accuracy": real_accuracy, "fake_accuracy": fake_accuracy}
        total = loss
        if params.r1:
            total = total + params.r1 * squared_gradient(real_logits, real)
        if params.r2:
            total = total + params.r2 * squared_gradient(fake_logits, fake)
        if params.gradient_penalty:
            penalty = unit_gradient(lambda images: self.discriminator(images).float(), real, fake, batch.mix)
            total = total + params.gradient_penalty * penalty
        if params.rotation:
            turning = self._rotation_loss(real, batch)
            total = total + params.rotation * turning
            seen["loss_rotation"] = turning.detach()
        return {**seen, "gradient_d": self._descend("discriminator", total)}

    def _rotation_loss(self, images: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(self.discriminator.rotations(rotated(images, batch.turns)).float(), batch.turns)

    def _distort(self, images: Tensor, draws: Tensor) -> Tensor:
        return augment(images, draws) if self.params.augment == "diffaugment" else images

    def _descend(self, name: str, loss: Tensor) -> Tensor:
        """One step of the optimiser; the norm of all its gradients together."""
        optimizer, parameters = self.optimizers[name], list(self.networks[name].parameters())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        average_over_processes(gradients)
        optimizer.step()
        return nn.utils.get_total_norm(gradients)

    def _autocast(self, batch: Batch) -> torch.autocast:
        # Without a cache of cast weights, which a captured step could not renew.
        kind = batch.z.device.type
        return torch.autocast(kind, self.precision, self.precision != torch.float32, cache_enabled=kind != "cuda")

    def state(self) -> dict[str, Any]:
        """Weights, optimisers and averages, for a checkpoint."""
        return {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "averages": [average.state() for average in self._averages],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
            optimizer = self.optimizers[name]
            optimizer.load_state_dict(state["optimizers"][name])
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):  # loaded on the CPU
                    group["lr"] = group["lr"].to(next(network.parameters()).device)
        for average, held in zip(self._averages, state["averages"], strict=True):
            average.load_state(held)

    @property
    def _averages(self) -> list[Average[Any]]:
        return [average for average in (self.generator_average, self.discriminator_average) if average is not None]


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
