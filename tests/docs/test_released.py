"""released/: a card says what the weights' own settings, the checksums and headline.yaml say."""

import json
from pathlib import Path

import pytest
import yaml

from ganpipe import files
from support.graph import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / "released").glob("*/headline.yaml"))
# In which a row that has the paper's setting may differ from the study's, whose own are the paper's.
FREE = {"width", "steps", "average", "seed", "tick", "sample_every", "keep_every"}


def test_something_is_released() -> None:
    assert FOLDERS


def card(folder: Path) -> str:
    return " ".join((folder / "README.md").read_text().split())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_says_how_each_was_trained(folder: Path) -> None:
    study = yaml.safe_load((ROOT / "studies/imagenet32/params.yaml").read_text())["train"]
    for row in yaml.safe_load((folder / "headline.yaml").read_text())["rows"]:
        config = json.loads((folder / row["weights"] / "config.json").read_text())
        train = config["train"]
        assert f"{train['steps']:,} batches of {train['batch_size']}" in card(folder)
        assert f"Adam at {train['learning_rate']:g}" in card(folder)
        assert f"{config['corpus']['images']:,} images" in card(folder)
        if row["name"].startswith("the paper's setting"):
            assert {name for name, value in train.items() if value != study[name]} <= FREE


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_card_has_the_figures_and_the_checksums(folder: Path) -> None:
    for row in yaml.safe_load((folder / "headline.yaml").read_text())["rows"]:
        (line,) = (line for line in (folder / "README.md").read_text().splitlines() if f"| {row['name']} |" in line)
        _, _, validation, test, _ = (cell.strip().split(" ")[0] for cell in line.split("|"))
        assert (validation, test) == (f"{100 * row['validation']:.2f}", f"{100 * row['test']:.2f}")
        for path in (folder / row["weights"]).iterdir():
            assert f"| `{path.relative_to(folder)}` | {files.sha256(path)} |" in (folder / "README.md").read_text()
