import argparse

import ablation
import pytest

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
