"""One evaluation shared by two processes, under the real torchrun, over gloo, against the same by one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ganpipe.corpus.catalogue import find
from ganpipe.corpus.download import download_entry
from ganpipe.corpus.shards import Images
from ganpipe.models.store import save_gan
from ganpipe.settings import read_params
from support.graph import ROOT
from support.tiny import lively

SETTINGS = {
    "datasets": ["digits"],
    "C": [1e-4, 1e-3],
    "layers": [6],
    "scaling": "standardised",
    "by_layer": True,
    "labels_per_class": [5],
    "draws": 2,
}
STAGE = str(ROOT / "stages/evaluate.py")


def project(corpus: Images, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """A discriminator that was never trained, and digits to measure it on, in this folder; without MLflow."""
    from ganpipe.models.dcgan import Discriminator, Generator

    sections = read_params(ROOT / "params.yaml")
    sections["evaluate"].update({**SETTINGS, **changes})
    Path("params.yaml").write_text(yaml.safe_dump(sections, sort_keys=False))
    networks = {"generator": lively(Generator(2, 8), 1), "discriminator": lively(Discriminator(4), 2)}
    save_gan(Path("models/gan"), networks, {"corpus": {"name": "other", "title": "Other", "resize": "bilinear"}})
    Path("data").mkdir()
    Path("data/processed").symlink_to(corpus.folder)
    download_entry(find("digits"), Path("data/evaluation/digits"))
    Path("bare").mkdir()
    Path("bare/mlflow.py").write_text("raise ImportError")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path("bare").absolute()), *sys.path]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def evaluated(*launcher: str) -> tuple[dict[str, Any], str]:
    """The metrics that the stage writes, and what it says."""
    done = subprocess.run(
        [sys.executable, *launcher, STAGE, "digits"],
        check=False,
        env=os.environ,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    path = Path("metrics/evaluate/digits.json")
    metrics: dict[str, Any] = json.loads(path.read_text())
    path.unlink()
    return metrics, done.stdout


TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def test_two_processes_find_what_one_does(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    project(corpus, monkeypatch)
    alone, _ = evaluated()
    shared, said = evaluated(*TWO)
    assert alone.keys() == shared.keys()
    for name, value in alone.items():
        if "duality_gap" in name:
            assert shared[name] <= 1e-3, name
        else:
            assert shared[name] == pytest.approx(value, abs=0.005), name
    assert said.count("on test with C") == 2 * 3  # each sentence once: of three representations, all labels and few
    assert (Path("plots/evaluate/digits") / "confusion.png").exists()
    assert len(list(Path(".ckpt/tracking").iterdir())) == 2  # runs, one for each evaluation


def test_what_one_process_must_do_is_refused_to_several(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    project(corpus, monkeypatch, supervised_trials=1)
    done = subprocess.run(
        [sys.executable, *TWO, STAGE, "digits"], check=False, text=True, capture_output=True, timeout=300
    )
    assert done.returncode != 0
    assert "evaluate.supervised_trials are for one process" in done.stderr
