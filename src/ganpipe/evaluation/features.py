"""Features of a discriminator: every layer's maps, max-pooled to 4x4, concatenated, unscaled (paper, section 5.1)."""

import numpy as np
import torch
from torch import Tensor

from ganpipe.models.dcgan import Discriminator
from ganpipe.models.pixels import to_network
from ganpipe.progress import Progress

BATCH = 250


@torch.no_grad()
def extract(discriminator: Discriminator, pixels: np.ndarray, device: torch.device, label: str) -> Tensor:
    """Features (N, feature_count), float32, of uint8 (N, H, W, 3), with the batch-norm statistics frozen before."""
    discriminator.eval()
    features = torch.empty(len(pixels), discriminator.feature_count, device=device)
    with Progress(label, len(pixels), "images") as progress:
        for start in range(0, len(pixels), BATCH):
            part = torch.from_numpy(pixels[start : start + BATCH]).to(device)
            features[start : start + BATCH] = discriminator.features(to_network(part))
            progress.advance(len(part))
    return features
