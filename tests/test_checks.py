import subprocess
import sys
from pathlib import Path

import pytest

from ganpipe.corpus.catalogue import NAMES
from support.command import ganpipe
from support.graph import ROOT

GANPIPE = Path(sys.executable).with_name("ganpipe")


def check(text: str) -> subprocess.CompletedProcess[str]:
    Path("params.yaml").write_text(text)
    return ganpipe("check")


def test_it_is_a_command() -> None:
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text().replace("  side: 32 ", "  side: 64 "))
    done = subprocess.run([GANPIPE, "check"], capture_output=True, text=True, check=False)
    said = "error: params.yaml: preprocess.side is 64, but dcgan32 takes 32\n"
    assert (done.returncode, done.stderr, done.stdout) == (1, said, "")


def test_check_accepts_the_shipped_settings_and_finds_a_fault_in_any_section() -> None:
    shipped = (ROOT / "params.yaml").read_text()
    assert check(shipped).returncode == 0
    late = check(shipped.replace("  tolerance: 0.001", "  tolerance: 2"))
    assert late.returncode == 1
    assert late.stderr == "error: params.yaml: evaluate.tolerance: input should be less than 1, not 2\n"
    several = check(shipped.replace("  tolerance: 0.001", "  tolerance: 2").replace("  radius: auto ", "  radius: -1 "))
    assert [line.split(":")[2].strip() for line in several.stderr.splitlines()] == [
        "dedupe.radius",
        "evaluate.tolerance",
    ]
    stray = check(shipped + "\nwalk:\n  stops: 3\n")
    assert stray.stderr.startswith("error: params.yaml: no stage reads the section walk; the stages are download,")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  name: cifar10 ", "  name: folder ", "download.name is folder: set download.path"),
        ("  name: cifar10 ", "  name: parquet ", "download.name is parquet: set download.path"),
        (
            "  name: cifar10 ",
            "  name: folderr ",
            "download.name is folderr, but there is no such data set: choose one of " + ", ".join(NAMES),
        ),
        (
            "  name: cifar10 ",
            "  name: scrape ",
            "download.name is scrape: set download.path\nerror: params.yaml: "
            "download.name is scrape: set download.contact",
        ),
        (
            "  path:                    # where those",
            "  path: mine  # where those",
            "download.path is mine, but cifar10 comes from the catalogue: set it to null",
        ),
        ("  crop: center ", "  crop: faces ", "preprocess.crop is faces: set download.faces"),
        ("  faces:  ", "  faces: x.onnx ", "download.faces is x.onnx, which is neither haar nor a file"),
        ("  vetoes:  ", "  vetoes: nowhere ", "dedupe.vetoes is nowhere, which is no file"),
        ("  side: 32 ", "  side: 64 ", "preprocess.side is 64, but dcgan32 takes 32"),
        ("  kept: false ", "  kept: true ", "evaluate.kept is true: set train.keep_every"),
        (
            "  average: false           # the averaged ",
            "  average: true # ",
            "evaluate.average is true: set train.average",
        ),
        ("  average: false           # look at ", "  average: true # ", "analyse.average is true: set train.average"),
        ("  layers:  ", "  layers: [7] ", "evaluate.layers names more than the 6 of dcgan32"),
        (
            "  layer_weights:  ",
            "  layer_weights: [1, 2] ",
            "evaluate.layer_weights are 2 numbers, but dcgan32 has 6 layers",
        ),
        ("  weights:  ", "  weights: nowhere ", "evaluate.weights is nowhere, which is no folder"),
        ("  duplicates:  ", "  duplicates: nowhere ", "evaluate.duplicates is nowhere, which is no file"),
    ],
)
def test_check_finds_what_does_not_go_together(old: str, new: str, said: str) -> None:
    shipped = (ROOT / "params.yaml").read_text()
    assert shipped.count(old) == 1
    done = check(shipped.replace(old, new))
    assert (done.returncode, done.stderr) == (1, f"error: params.yaml: {said}\n")


def study(name: str, folder: Path, *changes: tuple[str, str]) -> str:
    """What the check says of a study with such changes to its text; empty where it has nothing to say."""
    for file in ("dvc.yaml", "params.yaml", "concepts.json"):
        if (ROOT / "studies" / name / file).exists():
            (folder / file).write_text((ROOT / "studies" / name / file).read_text())
    text = (folder / "params.yaml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return check(text).stderr.removeprefix("error: params.yaml: ").strip()


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        ("facades", "crop: pairs", "crop: none", "preprocess.crop is none, but pix2pix256 takes pairs"),
        ("facades", "split: val", "split: other", "analyse.split is other, which preprocess.held_out does not name"),
        ("mnist-zero", "grey: true", "grey: false", "mlp28 takes images of one channel: set preprocess.grey to true"),
        ("mnist-zero", "filters: 0", "filters: 1", "mlp28 has no convolutions, whose filters could be shown"),
        ("mnist-zero", "classifier: mnist", "classifier: svhn", "analyse.classifier is svhn, which evaluate.datasets"),
        ("roses", "kind: images", "kind: numbers", "analyse.walks is no setting"),
        ("roses", "keep_every: 1000", "keep_every: 0", "analyse.by_step is true: set train.keep_every"),
        ("faces", "forget: smiles", "forget: noses", "analyse.forget is noses, which is neither a detector nor a file"),
        ("faces", "concepts: concepts.json", "concepts: ~/concepts.json", "analyse.concepts is ~/concepts.json, which"),
        ("gaussian", "network: mlp1", "network: mlp28", "analyse.kind is numbers, but mlp28 makes images"),
    ],
)
def test_check_finds_what_does_not_go_together_in_a_study(
    name: str, old: str, new: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # which analyse does not look up
    assert study(name, tmp_path) == ""
    assert said in study(name, tmp_path, (old, new))


def test_a_graph_that_is_none_gets_a_sentence() -> None:
    shipped = (ROOT / "params.yaml").read_text()
    for text in ("stages: [", "stages: 3", "- a", "stages: {train: 4}"):
        Path("dvc.yaml").write_text(text)
        done = check(shipped)
        assert done.returncode == 1 and done.stderr.startswith("error: dvc.yaml is no graph of stages")


def test_a_section_that_every_study_has_is_missed_also_where_no_stage_reads_it() -> None:
    Path("dvc.yaml").write_text("stages: {of_mine: {cmd: echo}}")
    analyse = "analyse:" + (ROOT / "params.yaml").read_text().partition("\nanalyse:")[2]
    said = check(analyse).stderr
    assert [line.split(";")[0] for line in said.splitlines()] == [
        "error: params.yaml has no section `download`",
        "error: params.yaml has no section `train`",
    ]
