"""The paper's semantic hash (section 4.1.1): a denoising, dropout-regularised ReLU autoencoder, its code thresholded.

Images are 32x32 centre crops, 3,072 numbers in [-1, 1]; the code layer's active units are the bits of the hash.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe.dedupe.params import DedupeParams
from ganpipe.dedupe.projection import PIXELS, Projection
from ganpipe.progress import Progress
from ganpipe.runtime import mix_seed

SAMPLE = 4096  # images that the starting point is set on


class Autoencoder(nn.Module):
    """3072 - code - 3072: (N, 3072) in [-1, 1] to its reconstruction. `centre` is the corpus's mean image."""

    def __init__(self, code_bits: int, noise: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(PIXELS, code_bits), nn.Linear(code_bits, PIXELS)
        self.centre: Tensor
        self.register_buffer("centre", torch.zeros(PIXELS))
        self.noise, self.dropout = noise, dropout

    def forward(self, x: Tensor, source: torch.Generator) -> Tensor:
        noisy = x + self.noise * torch.empty_like(x).normal_(generator=source)
        code = F.relu(self.encode(noisy - self.centre))
        kept = torch.empty_like(code).bernoulli_(1 - self.dropout, generator=source)
        return self.centre + self.decode(code * kept / (1 - self.dropout))

    @torch.no_grad()
    def projection(self) -> Projection:
        """The code layer alone: a bit is set where its unit is active."""
        weight = self.encode.weight.T
        return Projection(weight / 127.5, self.encode.bias - (1 + self.centre) @ weight)


def fit(
    params: DedupeParams, count: int, read: Callable[[np.ndarray], np.ndarray], device: torch.device
) -> tuple[Autoencoder, float]:
    """Train on `count` squares, `read` taking indices to uint8 (n, 32, 32, 3); the error of the last tenth of steps.

    The loss is the mean squared error of the clean image's reconstruction, per pixel. Deterministic by seed.
    """
    source = torch.Generator(device).manual_seed(mix_seed(params.seed, 0))
    model = Autoencoder(params.code_bits, params.noise, params.dropout).to(device)
    _initialise(model, source, read(np.linspace(0, count - 1, min(count, SAMPLE)).astype(np.int64)))
    optimizer = torch.optim.Adam(model.parameters(), lr=params.learning_rate, fused=True)
    tail = max(1, params.steps // 10)
    error = torch.zeros((), device=device)
    with Progress("training the hash", params.steps, "steps") as progress:
        for step in range(params.steps):
            indices = np.random.default_rng([params.seed, 1, step]).integers(0, count, params.batch_size)
            x = _flat(read(indices), device)
            loss = F.mse_loss(model(x, source), x)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step >= params.steps - tail:
                error += loss.detach() / tail
            progress.advance()
        progress.note = f"reconstruction error {error:.4f}"
    return model.eval(), float(error)


def _initialise(model: Autoencoder, source: torch.Generator, sample: np.ndarray) -> None:
    """He's initialisation around the sample's mean image; biases such that each unit is active on half of the sample.

    Without the centre, the first updates move all images' codes together and leave every unit always or never active.
    """
    x = _flat(sample, model.centre.device)
    with torch.no_grad():
        model.centre.copy_(x.mean(0))
        for layer in (model.encode, model.decode):
            layer.weight.normal_(0, (2 / layer.in_features) ** 0.5, generator=source)
        model.decode.bias.zero_()
        model.encode.bias.zero_()
        model.encode.bias.copy_(-model.encode(x - model.centre).median(0).values)


def _flat(squares: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(squares)).to(device).flatten(1).float() / 127.5 - 1
