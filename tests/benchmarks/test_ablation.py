import argparse
import json
import shutil
import sys
from pathlib import Path

import ablation
import pytest
import yaml
from corpus.pictures import noise

from ganpipe.corpus.shards import write_pixels
from ganpipe.training.params import Training
from support.graph import ROOT


@pytest.mark.parametrize("lever", ablation.LEVERS)
def test_each_lever_is_one_change_of_the_studys_settings(lever: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    asked = argparse.Namespace(width=16, steps=100)
    paper, changed = (ablation.settings_of(name, 3, asked) for name in (ablation.BASE, lever))
    for settings in (paper, changed):
        Training.variant(settings).model_validate(settings)
    differing = {key for key in paper if paper[key] != changed[key]}
    assert (differing == set()) == (lever == ablation.BASE)
    wanted = {key.removesuffix("_times") for key in ablation.LEVERS[lever]}
    assert differing - {"sample_every"} == wanted
    assert changed["steps"] == 100 * ablation.LEVERS[lever].get("steps_times", 1)


def test_the_table_says_how_far_each_is_from_the_paper_and_by_how_much_that_varies() -> None:
    one, _, other = ablation.PROBES
    found = {
        (ablation.BASE, 0): {"seconds": 10.0, one: 0.60, other: 0.61},
        (ablation.BASE, 1): {"seconds": 20.0, one: 0.62, other: 0.63},
        ("DiffAugment", 0): {"seconds": 30.0, one: 0.65},
    }
    lines = ablation.table(found).splitlines()
    assert lines[2] == "| paper | 2 | 61.00 ± 1.41 |  | 62.00 ± 1.41 | 15 |"
    assert lines[3] == "| DiffAugment | 1 | 65.00 (+4.00) |  |  | 30 |"


def test_what_is_finished_is_kept_until_what_it_depends_on_changes(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of digits in the place of both sets."""
    monkeypatch.chdir(tmp_path)
    study = Path(ablation.STUDY)
    (study / "data/evaluation").mkdir(parents=True)
    shutil.copytree(project / "data/evaluation/cifar10", study / "data/evaluation/cifar10")
    (study / "data/processed").mkdir()
    about = {"name": "noise", "title": "noise", "licence": "none", "resize": "bilinear"}
    write_pixels(study / "data/processed", [noise(256, 32, 32)], 256, None, about)
    given = yaml.safe_load((ROOT / ablation.STUDY / "params.yaml").read_text())
    given["evaluate"]["C"] = [0.01]
    (study / "params.yaml").write_text(yaml.safe_dump(given))
    monkeypatch.setattr(ablation, "PROBES", {"paper's probe": {}})

    def run() -> tuple[dict[str, float], list[str]]:
        words = ["ablation.py", "--width", "2", "--steps", "2", "--seeds", "1", "--jobs", "1", "--only", "paper"]
        monkeypatch.setattr(sys, "argv", [*words, "--json", "found.json"])
        ablation.main()
        return json.loads(Path("found.json").read_text())["figures"], sorted(map(str, Path(".ckpt/ablation").iterdir()))

    found, kept = run()
    assert 0.3 < found["paper, seed 0, paper's probe"] < 1 and len(kept) == 1
    assert run() == (found, kept)  # to the second that it took
    given["evaluate"]["C"] = [0.03]
    (study / "params.yaml").write_text(yaml.safe_dump(given))
    assert len(run()[1]) == 2
