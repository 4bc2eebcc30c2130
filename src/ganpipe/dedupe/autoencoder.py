"""The paper's semantic hash (section 4.1.1): a denoising, dropout-regularised ReLU autoencoder, its code thresholded.

Images are 32x32 centre crops, 3,072 numbers in [-1, 1]; the code layer's active units are the bits of the hash.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganpipe.dedupe.params import DedupeParams
from ganpipe.progress import Progress
from ganpipe.runtime import mix_seed

SIZE = 32
PIXELS = 3 * SIZE * SIZE


class Autoencoder(nn.Module):
    """3072 - code - 3072: (N, 3072) in [-1, 1] to its reconstruction."""

    def __init__(self, code_bits: int, noise: float = 0.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(PIXELS, code_bits), nn.Linear(code_bits, PIXELS)
        self.noise, self.dropout = noise, dropout

    def forward(self, x: Tensor, source: torch.Generator) -> Tensor:
        noisy = x + self.noise * torch.empty_like(x).normal_(generator=source)
        code = F.relu(self.encode(noisy))
        kept = torch.empty_like(code).bernoulli_(1 - self.dropout, generator=source)
        return self.decode(code * kept / (1 - self.dropout))

    @torch.no_grad()
    def codes(self, squares: np.ndarray) -> np.ndarray:
        """uint8 (n, 32, 32, 3) to packed codes, uint8 (n, code_bits / 8): a bit is set where its unit is active."""
        device = self.encode.weight.device
        return np.packbits((self.encode(_flat(squares, device)) > 0).cpu().numpy(), axis=1)


def _flat(squares: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(squares)).to(device).flatten(1).float() / 127.5 - 1


def fit(
    params: DedupeParams, count: int, read: Callable[[np.ndarray], np.ndarray], device: torch.device
) -> tuple[Autoencoder, list[float]]:
    """Train on `count` squares, `read` taking indices to uint8 (n, 32, 32, 3); the mean loss of each epoch.

    The loss is the mean squared error of the clean image's reconstruction, per pixel. Deterministic by seed.
    """
    source = torch.Generator(device).manual_seed(mix_seed(params.seed, 0))
    model = Autoencoder(params.code_bits, params.noise, params.dropout).to(device)
    _initialise(model, source, count, read)
    optimizer = torch.optim.Adam(model.parameters(), lr=params.learning_rate, fused=True)
    batch_size = min(params.batch_size, count)
    per_epoch = count // batch_size
    losses = []
    with Progress("training the hash", params.epochs * per_epoch * batch_size, "images") as progress:
        for epoch in range(params.epochs):
            order = np.random.default_rng([params.seed, 1, epoch]).permutation(count)
            total = torch.zeros((), device=device)
            for start in range(0, per_epoch * batch_size, batch_size):
                x = _flat(read(order[start : start + batch_size]), device)
                loss = F.mse_loss(model(x, source), x)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total += loss.detach()
                progress.advance(batch_size)
            losses.append(float(total) / per_epoch)
            progress.note = f"reconstruction error {losses[-1]:.4f}"
    return model.eval(), losses


def _initialise(
    model: Autoencoder, source: torch.Generator, count: int, read: Callable[[np.ndarray], np.ndarray]
) -> None:
    """He's initialisation; the code's biases such that each unit is active on half of a sample of the corpus."""
    with torch.no_grad():
        for layer in (model.encode, model.decode):
            layer.weight.normal_(0, (2 / layer.in_features) ** 0.5, generator=source)
            layer.bias.zero_()
        sample = _flat(read(np.linspace(0, count - 1, min(count, 1000)).astype(np.int64)), layer.weight.device)
        model.encode.bias.copy_(-model.encode(sample).median(0).values)
