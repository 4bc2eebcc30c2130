"""The training loop that most people start from, as a yardstick: eager, fp32, NCHW, a DataLoader, `.item()` each step.

It follows the recipe of the DCGAN among the PyTorch examples, on the same layers as ours: two updates an iteration,
both classes through the discriminator one after the other, losses by BCELoss after a sigmoid, statistics printed.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from ganpipe.models.dcgan import ARCHITECTURES

WORKERS = 2


class Pictures(Dataset[Tensor]):
    """Images held as arrays, turned into tensors one by one, as torchvision's data sets do."""

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        tensor: Tensor = self.transform(Image.fromarray(self.pixels[index]))
        return tensor


def networks(name: str, width: int, latent: int) -> tuple[nn.Module, nn.Module]:
    """The tables of `models/dcgan.py` in plain torch modules: generator, discriminator."""
    table = ARCHITECTURES[name]
    pad = table.kernel // 2
    down: list[nn.Module] = []
    channels, side = 3, table.size
    for layer in table.discriminator:
        filters = layer.filters * width
        down.append(nn.Conv2d(channels, filters, table.kernel, layer.stride, pad, bias=False))
        if layer.norm:
            down.append(nn.BatchNorm2d(filters))
        down.append(nn.LeakyReLU(0.2, inplace=True))
        channels, side = filters, side // layer.stride
    down += [nn.Flatten(), nn.Linear(channels * side * side, 1, bias=False), nn.Sigmoid()]

    strides = [*(layer.stride for layer in table.generator), table.to_pixels]
    start = table.size // int(np.prod(strides))
    channels = table.first * width
    up: list[nn.Module] = [
        nn.Linear(latent, channels * start**2, bias=False),
        nn.Unflatten(1, (channels, start, start)),
    ]
    up += [nn.BatchNorm2d(channels), nn.ReLU(True)]
    for layer in table.generator:
        filters, extra = layer.filters * width, layer.stride - 1
        up.append(nn.ConvTranspose2d(channels, filters, table.kernel, layer.stride, pad, extra, bias=False))
        up += [nn.BatchNorm2d(filters), nn.ReLU(True)]
        channels = filters
    up += [
        nn.ConvTranspose2d(channels, 3, table.kernel, table.to_pixels, pad, table.to_pixels - 1, bias=False),
        nn.Tanh(),
    ]
    return nn.Sequential(*up), nn.Sequential(*down)


def images_per_second(
    pixels: np.ndarray, name: str, width: int, latent: int, batch: int, device: torch.device, warm_up: int, steps: int
) -> float:
    """Rate of the loop over `steps` iterations after `warm_up` ones, on a GPU with cuDNN set as the recipe has it."""
    torch.backends.cudnn.benchmark, strict = True, torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = True  # torch's default, which the recipe leaves alone
    generator, discriminator = (network.to(device) for network in networks(name, width, latent))
    criterion = nn.BCELoss()
    of_g, of_d = (
        torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (generator, discriminator)
    )
    started = 0.0
    for step, shown in enumerate(_endless(pixels, batch)):
        if step == warm_up:
            started = time.perf_counter()
        if step == warm_up + steps:
            break
        real = shown.to(device)
        ones, zeros = torch.ones(batch, device=device), torch.zeros(batch, device=device)

        discriminator.zero_grad()
        loss_real = criterion(discriminator(real).view(-1), ones)
        loss_real.backward()
        fake = generator(torch.randn(batch, latent, device=device))
        loss_fake = criterion(discriminator(fake.detach()).view(-1), zeros)
        loss_fake.backward()
        of_d.step()

        generator.zero_grad()
        loss_g = criterion(discriminator(fake).view(-1), ones)
        loss_g.backward()
        of_g.step()
        _ = (loss_real + loss_fake).item(), loss_g.item()  # what the recipe prints
    torch.backends.cudnn.allow_tf32 = strict
    return steps * batch / (time.perf_counter() - started)


def _endless(pixels: np.ndarray, batch: int) -> Iterator[Tensor]:
    pictures = Pictures(pixels)
    # A single epoch: at the end of one the loader starts its workers anew, which with so few images is all the time.
    order = RandomSampler(pictures, replacement=True, num_samples=1 << 40)
    yield from DataLoader(pictures, batch_size=batch, sampler=order, num_workers=WORKERS, drop_last=True)
