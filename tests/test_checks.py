import subprocess
import sys
from pathlib import Path

import pytest

from ganpipe.corpus.catalogue import NAMES
from support.graph import ROOT

GANPIPE = Path(sys.executable).with_name("ganpipe")


def check(text: str) -> subprocess.CompletedProcess[str]:
    Path("params.yaml").write_text(text)
    return subprocess.run([GANPIPE, "check"], capture_output=True, text=True, check=False)


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
        ("  average: false ", "  average: true ", "evaluate.average is true: set train.average"),
        ("  layers:  ", "  layers: [7] ", "evaluate.layers names more than the 6 of dcgan32"),
        ("  weights:  ", "  weights: nowhere ", "evaluate.weights is nowhere, which is no folder"),
        ("  duplicates:  ", "  duplicates: nowhere ", "evaluate.duplicates is nowhere, which is no file"),
    ],
)
def test_check_finds_what_does_not_go_together(old: str, new: str, said: str) -> None:
    shipped = (ROOT / "params.yaml").read_text()
    assert shipped.count(old) == 1
    done = check(shipped.replace(old, new))
    assert (done.returncode, done.stderr) == (1, f"error: params.yaml: {said}\n")
