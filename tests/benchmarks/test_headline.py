import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import headline
import numpy as np
import pytest
import releases
import torch
import yaml
from releases import Loader, judge_of, read, subjects

from ganpipe.corpus.shards import Images
from ganpipe.evaluation.features import extract
from ganpipe.evaluation.judge import Judge
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.evaluation.report import initial
from ganpipe.intervals import wilson
from ganpipe.models.dcgan import Discriminator, fold
from ganpipe.models.store import load_discriminator, save_gan
from support.tiny import lively

CPU = torch.device("cpu")


def write(project: Path, *further: dict[str, Any], **changes: Any) -> Path:
    """A row, and for each of `further` one that differs from it in that."""
    row = {"name": "the paper's", "weights": "paper", "probe": {"flip": True}, "C": 1e-3, "C_untrained": 1e-3}
    first = {**row, "validation": 0.5, "validation_untrained": 0.4, "test": 0.5, **changes}
    content = {"rows": [first, *({**first, **other} for other in further)], "C_pixels": 1e-3, "validation_pixels": 0.3}
    (project / "released/tiny/headline.yaml").write_text(yaml.safe_dump(content))
    return project / "released/tiny"


def run(project: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["headline.py", "released/tiny", *options])
    headline.main()


def test_it_measures_each_row_and_its_controls(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project)
    run(project, monkeypatch, "--json", "found.json")
    figures = json.loads((project / "found.json").read_text())["figures"]
    said = capsys.readouterr().out
    for name, validation in (("the paper's", 0.5), ("the paper's, untrained", 0.4), ("raw pixels", 0.3)):
        assert 0.7 < figures[f"test, {name}"] <= 1 and figures[f"validation, {name}"] == validation
        (line,) = (line for line in said.splitlines() if line.startswith(f"| {name} |"))
        for share, count in ((figures[f"validation, {name}"], 288), (figures[f"test, {name}"], 360)):
            low, high = wilson(share, count)
            assert f" {100 * share:.2f} ({100 * low:.1f} to {100 * high:.1f}) " in line
    assert figures["test, the paper's"] != figures["test, the paper's, untrained"]
    assert "| the paper's discriminator, 1.28 million images |  | 82.8 |" in said
    assert "warning: the paper's: " in said and "but 50.00% when it was chosen" in said

    write(project, test=figures["test, the paper's"])
    run(project, monkeypatch)
    said = capsys.readouterr().out
    assert "warning" not in said and "SVHN" not in said


def test_what_judges_is_not_fitted_to(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """C is chosen on four fifths of the training images, what is tested is fitted to all; test images teach nothing."""
    fitted: list[int] = []
    fit = L2SVM.fit

    def fitting(machine: L2SVM, rows: Any, labels: np.ndarray, **how: Any) -> L2SVM:
        fitted.append(len(labels))
        return fit(machine, rows, labels, **how)

    monkeypatch.setattr(L2SVM, "fit", fitting)
    shutil.copytree(project, tmp_path / "shuffled")
    path = tmp_path / "shuffled/data/evaluation/cifar10/labels.npy"
    labels = np.load(path)
    tests = Images(path.parent).rows("test")
    labels[tests] = np.random.default_rng(0).permutation(labels[tests])
    np.save(path, labels)
    found = {}
    for folder in (project, tmp_path / "shuffled"):
        write(folder)
        run(folder, monkeypatch, "--json", "found.json")
        found[folder.name] = json.loads((folder / "found.json").read_text())["figures"]
        assert fitted == [1437] * 3
        fitted.clear()
        run(folder, monkeypatch, "--choose", "--json", "chosen.json")
        assert set(fitted) == {1149}
        fitted.clear()
    assert len({(folder / "chosen.json").read_text() for folder in (project, tmp_path / "shuffled")}) == 1
    true, shuffled = found[project.name], found["shuffled"]
    assert shuffled["test, the paper's"] < 0.3 < 0.8 < true["test, the paper's"]


def test_what_is_chosen_on_validation_is_written_and_the_first_look_at_the_test_too(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "released/tiny/headline.yaml"
    row = {"weights": "paper", "probe": {"flip": True}}
    path.write_text(yaml.safe_dump({"rows": [{"name": "one", **row}, {"name": "twin", **row}]}))
    with pytest.raises(SystemExit, match="no C of one; twin; one, untrained; raw pixels: --choose"):
        run(project, monkeypatch)

    choices = {
        "one": SimpleNamespace(C=1e-3, accuracy=0.91234),
        "one, untrained": SimpleNamespace(C=2e-3, accuracy=0.9),
        "twin": SimpleNamespace(C=3e-3, accuracy=0.92),
        "raw pixels": SimpleNamespace(C=4e-3, accuracy=0.8),
    }
    read = Images.labels

    def reading(images: Images, split: str) -> np.ndarray:
        assert split == "train"
        return read(images, split)

    with monkeypatch.context() as patch:
        patch.setattr(Images, "labels", reading)
        patch.setattr(Judge, "choose", lambda _, name, *__: choices[name])
        run(project, patch, "--choose", "--json", "found.json")
    figures = json.loads((project / "found.json").read_text())["figures"]
    assert figures["validation, twin"] == 0.92 and figures["C, raw pixels"] == 4e-3
    untrained = {"C_untrained": 2e-3, "validation_untrained": 0.9}
    one = {"name": "one", **row, "C": 1e-3, "validation": 0.9123, **untrained}
    twin = {"name": "twin", **row, "C": 3e-3, "validation": 0.92}  # the other's control is its own
    assert yaml.safe_load(path.read_text()) == {"rows": [one, twin], "C_pixels": 4e-3, "validation_pixels": 0.8}

    run(project, monkeypatch, "--json", "found.json")
    figures = json.loads((project / "found.json").read_text())["figures"]
    held = yaml.safe_load(path.read_text())["rows"]
    assert held == [{**each, "test": round(figures[f"test, {each['name']}"], 4)} for each in (one, twin)]
    assert "when it was chosen" not in capsys.readouterr().out


def test_averaged_weights_may_be_probed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    networks = {
        "discriminator": fold(lively(Discriminator(4, "dcgan32"), 1)),
        "discriminator_average": fold(lively(Discriminator(4, "dcgan32"), 9)),
    }
    save_gan(project / "released/tiny/both", networks, {"corpus": {"name": "photographs", "resize": "bilinear"}})
    averaged = {"name": "averaged", "probe": {"flip": True, "average": True}, "C_untrained": None}
    write(project, averaged, weights="both")
    run(project, monkeypatch, "--json", "found.json")
    figures = json.loads((project / "found.json").read_text())["figures"]
    assert figures["test, averaged"] != figures["test, the paper's"]


def test_settings_of_the_project_change_nothing(project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shutil.copytree(project, tmp_path / "other")
    given = yaml.safe_load((tmp_path / "other/params.yaml").read_text())
    given["evaluate"] |= {"validation": 0.1, "seed": 5, "tolerance": 0.5, "pooling": "mean"}
    (tmp_path / "other/params.yaml").write_text(yaml.safe_dump(given))
    found = []
    for folder in (project, tmp_path / "other"):
        write(folder)
        run(folder, monkeypatch, "--json", "found.json")
        found.append(json.loads((folder / "found.json").read_text())["figures"])
    assert found[0] == found[1]


def test_a_control_that_two_rows_share_is_measured_once(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(project, {"name": "another", "C_untrained": None})
    run(project, monkeypatch, "--json", "found.json")
    figures = json.loads((project / "found.json").read_text())["figures"]
    assert {name for name in figures if name.startswith("test, ")} == {
        f"test, {name}" for name in ("the paper's", "the paper's, untrained", "another", "raw pixels")
    }
    assert figures["test, another"] == figures["test, the paper's"]  # it is the same discriminator

    write(project, {"name": "another", "C_untrained": None, "probe": {}})
    with pytest.raises(SystemExit, match="headline.yaml has no C of another, untrained: --choose finds it"):
        run(project, monkeypatch)
    wider = fold(lively(Discriminator(6, "dcgan32"), 1))
    about = {"corpus": {"name": "photographs", "resize": "bilinear"}}
    save_gan(project / "released/tiny/wider", {"discriminator": wider}, about)
    write(project, {"name": "wider", "weights": "wider", "C_untrained": None})
    with pytest.raises(SystemExit, match="headline.yaml has no C of wider, untrained: --choose finds it"):
        run(project, monkeypatch)
    write(project, {})
    with pytest.raises(SystemExit, match="headline.yaml is damaged: .*two rows have one name"):
        run(project, monkeypatch)


def test_where_svhn_is_all_are_measured_there_with_few_labels(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(headline, "LABELS", 5)
    monkeypatch.setattr(releases, "QUICK", 1000)
    write(project)
    there = project / "data/evaluation/svhn"
    there.symlink_to(project / "data/evaluation/cifar10")
    try:
        run(project, monkeypatch, "--quick", "--json", "found.json")
    finally:
        there.unlink()
    figures = json.loads((project / "found.json").read_text())["figures"]
    said = capsys.readouterr().out
    for name in ("the paper's", "the paper's, untrained", "raw pixels"):
        wrong = figures[f"wrong on SVHN, {name}"]
        assert 0.05 < wrong < 0.5  # of digits, with five of each
        assert f"| {name} | {100 * wrong:.2f} ± " in said
    assert "| the paper's discriminator, trained on SVHN | 22.48 |" in said


def test_a_discriminator_that_saw_the_images_is_none_of_these(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, about = fold(lively(Discriminator(4, "dcgan32"), 1)), {"name": "digits", "resize": "bilinear"}
    save_gan(project / "released/tiny/seen", {"discriminator": network}, {"corpus": about})
    write(project, weights="seen")
    with pytest.raises(SystemExit, match="seen was trained on digits"):
        run(project, monkeypatch)


@pytest.mark.parametrize(("precision", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 6e-2)])
@pytest.mark.parametrize("scaling", ["none", "standardised"])
def test_features_are_those_of_the_evaluation_though_an_image_is_seen_once(
    scaling: str, precision: torch.dtype, near: float, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "choose_precision", lambda *_: precision)
    levers = {"flip": True, "scaling": scaling}
    release = write(project, {"name": "levers", "probe": levers}, probe={})
    network = load_discriminator(release / "paper", CPU)
    labelled, taken = Images(project / "data/evaluation/cifar10"), list[int]()

    def counting(*given: Any, **named: Any) -> Any:
        taken.append(len(given[1]))
        return extract(*given, **named)

    monkeypatch.setattr(releases, "extract", counting)
    loader = Loader(release, labelled, quick=False)
    for each in subjects(read(release).rows, release):
        judge = loader.judge(each)
        found = loader.features(each, judge)
        pixels = judge.pixels["train"]
        like = initial(network, 0, len(pixels), pixels.__getitem__, CPU) if each.untrained else network
        wanted = judge_of(each.row.probe, labelled, 32, "bilinear", quick=False).of_network("wanted", like)
        assert found.keys() == wanted.keys() == {"train", "test"}
        for split in found:
            assert found[split].features.dtype == precision
            away = (found[split].features - wanted[split].features).norm() / wanted[split].features.norm()
            assert away < near
    assert taken == [1437, 360] * 2  # of the network, and of what it was before training


def test_another_order_of_the_images_is_seen_anew(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order follows from the seed, and so do the labels that the features belong to."""
    write(project, {"name": "other", "probe": {"seed": 1}, "C_untrained": 1e-3}, probe={})
    run(project, monkeypatch, "--json", "found.json")
    figures = json.loads((project / "found.json").read_text())["figures"]
    assert min(figures[f"test, {name}"] for name in ("other", "other, untrained")) > 0.7


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"C": -1}, "headline.yaml is damaged: .*C .*greater than 0"),
        ({"unknown": 1}, "headline.yaml is damaged: .*unknown"),
        ({"probe": {"layers": [9]}}, "evaluate.layers names layer 9, but the discriminator has 6"),
        ({"probe": {"layer_weights": [1, 2]}}, "evaluate.layer_weights are 2 numbers, for 6 layers"),
        ({"weights": "nowhere"}, "nowhere holds no config.json"),
        ({"probe": {"poling": "mean"}}, "a probe of headline.yaml is damaged: .*poling"),
        ({"probe": {"pooling": "none"}}, "a probe of headline.yaml is damaged: .*pooling"),
    ],
)
def test_what_is_wrong_with_a_release_is_said(
    changes: dict[str, Any], sentence: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project, **changes)
    with pytest.raises(SystemExit, match=f"error: .*{sentence}"):
        run(project, monkeypatch)
