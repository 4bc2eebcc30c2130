"""A project of the benchmarks that measure discriminators."""

import shutil
from pathlib import Path

import pytest

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.models.dcgan import Discriminator, fold
from ganpipe.models.store import save_gan
from support.graph import ROOT
from support.tiny import lively


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in the place of CIFAR-10, and a release of a tiny discriminator."""
    folder = tmp_path_factory.mktemp("headline")
    shutil.copy(ROOT / "params.yaml", folder)
    download_entry(find("digits"), folder / "data/evaluation/cifar10")
    network = fold(lively(Discriminator(4, "dcgan32"), 1))
    save_gan(
        folder / "released/tiny/paper",
        {"discriminator": network},
        {"corpus": {"name": "photographs", "resize": "bilinear"}},
    )
    return folder
