"""Averaged weights: a copy of a network that follows it slowly."""

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)
RAMP = 10  # updates: the average of a young network follows it faster


class Average(Generic[N]):
    """Exponential moving average of a network's weights: w <- d w + (1 - d) weights.

    After n updates d is min(`decay`, (1 + n) / (RAMP + n)), so that the initial weights are soon forgotten. Buffers
    (singular vectors of a spectral norm) are copied.
    """

    def __init__(self, network: N, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.network = copy.deepcopy(network).requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: N) -> None:
        """One update, after the network's own."""
        decay = min(self.decay, (1 + self.updates) / (RAMP + self.updates))
        self.updates += 1
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for mine, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            mine.copy_(theirs)

    def state(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"updates": self.updates, "network": self.network.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.updates = state["updates"]
        self.network.load_state_dict(state["network"])
