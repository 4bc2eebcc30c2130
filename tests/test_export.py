import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from ganpipe import export as module
from ganpipe.errors import UserError
from ganpipe.export import Network, Statistics, export
from ganpipe.models.dcgan import ARCHITECTURES, Discriminator, Generator, fold, initialise
from ganpipe.models.patch import PatchDiscriminator
from ganpipe.models.store import load_discriminator, load_generator, save_gan
from ganpipe.models.unet import UNet, translate
from support.command import ganpipe

CPU = torch.device("cpu")


def model(architecture: str = "dcgan32", **how: Any) -> Path:
    networks: dict[str, Generator | Discriminator] = {
        "generator": Generator(2, 5, architecture),
        "discriminator": Discriminator(2, architecture, **how),
    }
    for number, network in enumerate(networks.values()):
        initialise(network, torch.Generator().manual_seed(number))
        for parameter in network.parameters():
            parameter.data.mul_(4)
    fold(networks["discriminator"])
    save_gan(Path("gan"), networks, {"train": {"noise": "uniform"}})
    return Path("gan")


def run(path: Path, given: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, {session.get_inputs()[0].name: given}))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_gives_what_torch_gives_whatever_the_batch(architecture: str) -> None:
    folder, source = model(architecture), np.random.default_rng(0)
    generator, discriminator = load_generator(folder, CPU), load_discriminator(folder, CPU)
    assert export(folder, "generator", False, Path("g.onnx")) < 1e-4
    assert export(folder, "discriminator", False, Path("d.onnx")) < 1e-3
    for count in (1, 3):
        z = source.uniform(-1, 1, (count, 5)).astype(np.float32)
        with torch.no_grad():
            images = generator(torch.from_numpy(z))
            logits, features = discriminator(images), discriminator.features(images)
        np.testing.assert_allclose(run(Path("g.onnx"), z)[0], images, atol=1e-4)
        found = run(Path("d.onnx"), images.numpy())
        np.testing.assert_allclose(found[0], logits, atol=1e-3)
        np.testing.assert_allclose(found[1], features, atol=1e-3)
        assert features.std() > 0.01


def test_it_is_one_checked_file_that_says_where_it_is_from() -> None:
    folder = model(normalisation="spectral")
    export(folder, "discriminator", False, Path("d.onnx"))
    held = onnx.load("d.onnx")
    onnx.checker.check_model(held, full_check=True)
    about = json.loads(next(entry.value for entry in held.metadata_props if entry.key == "ganpipe"))
    assert about["sha256"] == json.loads((folder / "config.json").read_text())["sha256"]
    assert sorted(path.name for path in Path().iterdir()) == ["d.onnx", "gan"]


def test_one_that_would_differ_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_apart", lambda *_: 0.5)
    with pytest.raises(UserError, match="g.onnx would differ from the network by 5.0e-01, more than 0.001"):
        export(model(), "generator", False, Path("g.onnx"))
    assert not Path("g.onnx").exists()


@pytest.mark.parametrize("network", ["generator", "discriminator"])
def test_what_is_missing_is_told(network: Network) -> None:
    with pytest.raises(UserError, match=f"gan holds no {network}_average"):
        export(model(), network, True, Path("x.onnx"))


def test_averaged_weights_are_asked_for_as_everywhere() -> None:
    """By `:average` behind the model."""
    averaged = Generator(2, 5)
    initialise(averaged, torch.Generator().manual_seed(7))
    networks = {"generator": Generator(2, 5), "generator_average": averaged, "discriminator": Discriminator(2)}
    save_gan(Path("gan"), networks, {"train": {"noise": "uniform"}})
    done = ganpipe("export", "gan:average", "--out", "g.onnx")
    assert done.returncode == 0 and done.stdout.startswith("g.onnx: differs from torch by")
    z = np.random.default_rng(0).uniform(-1, 1, (3, 5)).astype(np.float32)
    with torch.no_grad():
        images = averaged.eval()(torch.from_numpy(z))
    np.testing.assert_allclose(run(Path("g.onnx"), z)[0], images, atol=1e-4)


def translator(bottleneck_norm: bool = False) -> UNet:
    """With random gains, biases and frozen statistics."""
    network, source = UNet(2, "pix2pix128", bottleneck_norm), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            tensor.normal_(0, 0.3, generator=source)
            if "variance" in name or name.endswith("norms.weight"):
                tensor.abs_().add_(0.5)
    save_gan(Path("gan"), {"generator": network, "discriminator": PatchDiscriminator(2)}, {"train": {}})
    return network


@pytest.mark.parametrize("statistics", ["image", "frozen"])
@pytest.mark.parametrize("bottleneck_norm", [False, True])
def test_a_translator_gives_what_torch_gives_of_each_image(statistics: Statistics, bottleneck_norm: bool) -> None:
    network = translator(bottleneck_norm)
    assert export(Path("gan"), "generator", False, Path("t.onnx"), statistics) < 1e-3
    for count in (1, 3):
        images = torch.rand(count, 3, 128, 128) * 2 - 1
        wanted = translate(network, images, statistics, dropout=False, seed=0)
        assert wanted.std() > 0.01
        np.testing.assert_allclose(run(Path("t.onnx"), images.numpy())[0], wanted, atol=1e-3)


def test_the_two_statistics_of_a_translator_differ() -> None:
    translator()
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, 128, 128)).astype(np.float32)
    export(Path("gan"), "generator", False, Path("own.onnx"))
    export(Path("gan"), "generator", False, Path("frozen.onnx"), "frozen")
    assert np.abs(run(Path("own.onnx"), images)[0] - run(Path("frozen.onnx"), images)[0]).max() > 0.01
