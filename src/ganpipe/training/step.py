"""One update of the paper's alternation: each real batch drives either a generator or a discriminator step."""

from typing import Any

import torch
from torch import Tensor, nn

from ganpipe.models.dcgan import Discriminator, Generator
from ganpipe.training.losses import discriminator_loss, generator_loss
from ganpipe.training.params import TrainParams

ADAM_EPSILON = 1e-8


class AlternatingStep:
    """Both networks with their optimisers. Even steps update G, odd ones D, as in the authors' code."""

    def __init__(
        self, params: TrainParams, generator: Generator, discriminator: Discriminator, precision: torch.dtype
    ) -> None:
        self.generator, self.discriminator, self.precision = generator, discriminator, precision
        self.optimizers = {
            name: torch.optim.Adam(
                network.parameters(),
                lr=params.learning_rate,
                betas=(params.beta1, params.beta2),
                eps=ADAM_EPSILON,
                fused=True,
            )
            for name, network in self._networks().items()
        }

    def __call__(self, step: int, real: Tensor, z: Tensor) -> dict[str, Tensor]:
        """Update one network; what was seen on the way, scalars that stay on the device."""
        with torch.autocast(z.device.type, self.precision, enabled=self.precision != torch.float32):
            return self._update_generator(z) if step % 2 == 0 else self._update_discriminator(real, z)

    def _update_generator(self, z: Tensor) -> dict[str, Tensor]:
        self.discriminator.requires_grad_(False)  # its weights' gradients would be thrown away
        loss = generator_loss(self.discriminator(self.generator(z)).float())
        self._descend("generator", loss)
        self.discriminator.requires_grad_(True)
        return {"loss_g": loss.detach()}

    def _update_discriminator(self, real: Tensor, z: Tensor) -> dict[str, Tensor]:
        with torch.no_grad():
            fake = self.generator(z)
        # Two passes: in one, real and generated images would share batch statistics.
        real_logits, fake_logits = self.discriminator(real).float(), self.discriminator(fake).float()
        loss = discriminator_loss(real_logits, fake_logits)
        self._descend("discriminator", loss)
        return {
            "loss_d": loss.detach(),
            "real_accuracy": (real_logits > 0).float().mean(),
            "fake_accuracy": (fake_logits < 0).float().mean(),
        }

    def _descend(self, name: str, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}

    def state(self) -> dict[str, Any]:
        """Weights and optimisers, for a checkpoint."""
        return {
            "networks": {name: network.state_dict() for name, network in self._networks().items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name, network in self._networks().items():
            network.load_state_dict(state["networks"][name])
            self.optimizers[name].load_state_dict(state["optimizers"][name])
