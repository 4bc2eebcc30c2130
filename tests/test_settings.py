from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from ganpipe.analysis.params import AnalyseParams
from ganpipe.corpus.params import DownloadParams, PreprocessParams
from ganpipe.dedupe.params import DedupeParams
from ganpipe.errors import UserError
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.settings import Section, load_params, read_params
from ganpipe.training.params import TrainParams
from support.graph import ROOT

SECTIONS: dict[str, type[Section]] = {
    "download": DownloadParams,
    "dedupe": DedupeParams,
    "preprocess": PreprocessParams,
    "train": TrainParams,
    "evaluate": EvaluateParams,
    "analyse": AnalyseParams,
}


def written(section: str, **changes: Any) -> Path:
    sections = read_params(ROOT / "params.yaml")
    sections[section].update(changes)
    path = Path("params.yaml")
    path.write_text(yaml.safe_dump(sections))
    return path


def test_shipped_file_has_exactly_the_known_sections_and_all_are_valid() -> None:
    assert set(read_params(ROOT / "params.yaml")) == set(SECTIONS)
    for name, model in SECTIONS.items():
        load_params(model, name, ROOT / "params.yaml")


def test_every_setting_says_what_it_means() -> None:
    for model in SECTIONS.values():
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


def test_nothing_has_a_default() -> None:
    for model in SECTIONS.values():
        assert all(field.is_required() for field in model.model_fields.values()), model


def test_settings_are_frozen() -> None:
    params = load_params(TrainParams, "train", ROOT / "params.yaml")
    with pytest.raises(ValidationError):
        params.steps = 1


@pytest.mark.parametrize(
    ("section", "changes", "sentence"),
    [
        ("train", {"widht": 3}, r"params.yaml: train.widht is no setting, did you mean train.width\?"),
        ("train", {"steps": 0}, "train.steps: .*greater than or equal to 1, not 0"),
        ("train", {"steps": "many"}, "train.steps: .*integer.*not 'many'"),
        ("train", {"precision": "fp8"}, "train.precision: .*'auto', 'fp32' or 'bf16'"),
        ("train", {"learning_rate": -1}, "train.learning_rate: .*greater than 0"),
        ("dedupe", {"radius": 65}, "dedupe.radius: input should be auto or a number from 0 to 64, not 65"),
        ("dedupe", {"radius": "all"}, "dedupe.radius: input should be auto or a number from 0 to 64, not 'all'"),
        ("dedupe", {"code_bits": 100}, "dedupe.code_bits: .*multiple of 8"),
        (
            "evaluate",
            {"datasets": ["cifar11"]},
            "evaluate.datasets: there is no labelled set 'cifar11'.*cifar10, digits, svhn, mnist, .*folder",
        ),
        ("evaluate", {"datasets": ["folder"]}, "evaluate: datasets names folder: set path to the folder that"),
        ("evaluate", {"datasets": ["folder"], "path": ""}, "evaluate: datasets names folder: set path"),
        ("evaluate", {"path": "/data"}, "evaluate: path is '/data', but folder is none of datasets"),
        ("evaluate", {"path": 3}, "evaluate.path: .*string, not 3"),
        ("evaluate", {"datasets": []}, "evaluate.datasets: .*at least 1 item"),
        ("evaluate", {"C": [0.1, -1.0]}, "evaluate.C: every C must be a number above 0"),
        ("evaluate", {"C": [float("inf")]}, "evaluate.C: every C must be a number above 0"),
        ("evaluate", {"C": [0.1, 0.1]}, "evaluate.C: each C must be named once"),
    ],
)
def test_a_bad_value_gets_one_sentence_that_names_it(section: str, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load_params(SECTIONS[section], section, written(section, **changes))


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(UserError, match=r"train.width.*; train.steps"):
        load_params(TrainParams, "train", written("train", steps=0, width=0))


def test_a_missing_setting_section_and_file_are_named() -> None:
    Path("params.yaml").write_text("train: {width: 3}\n")
    with pytest.raises(UserError, match="train.steps is missing"):
        load_params(TrainParams, "train")
    with pytest.raises(UserError, match="no section `dedupe`; it has train"):
        load_params(DedupeParams, "dedupe")
    with pytest.raises(UserError, match=r"there is no nowhere.yaml in .*: run this from the project's folder"):
        load_params(TrainParams, "train", Path("nowhere.yaml"))


@pytest.mark.parametrize("text", ["train: [", "- a list", "", "train: &a [*a"])
def test_a_file_of_another_form_is_refused(text: str) -> None:
    Path("params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        read_params()


def test_scientific_notation_without_a_dot_is_a_number() -> None:
    # YAML 1.1 reads 2e-4 as text, and DVC, which follows 1.2, as a number.
    path = written("train")
    path.write_text(path.read_text().replace("learning_rate: 0.0005", "learning_rate: 2e-4"))
    assert load_params(TrainParams, "train", path).learning_rate == 2e-4


def test_settings_that_do_not_go_together_get_one_short_sentence(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("objective: non_saturating", "objective: wasserstein"))
    with pytest.raises(UserError) as caught:
        load_params(TrainParams, "train", path)
    assert str(caught.value).endswith(
        "train: the wasserstein objective needs gradient_penalty above 0 (with normalisation none), or spectral "
        "normalisation"
    )


def test_no_setting_has_a_name_that_dvcs_run_cache_ignores() -> None:
    """DVC leaves `size` and `nfiles` out of the key under which it caches a stage's run, at any depth."""
    for section, values in read_params(ROOT / "params.yaml").items():
        assert not {"size", "nfiles"} & values.keys(), section


def test_a_value_that_stands_for_gigabytes_is_not_written_out(tmp_path: Path) -> None:
    tens = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    bomb = f"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n{tens}"
    path = tmp_path / "params.yaml"
    path.write_text(bomb + (ROOT / "params.yaml").read_text().replace("  steps: 4200", "  steps: *a8"))
    with pytest.raises(UserError, match="train.steps") as caught:
        load_params(TrainParams, "train", path)
    assert len(str(caught.value)) < 2000


def test_a_file_that_cannot_be_read_gets_a_sentence() -> None:
    Path("params.yaml").mkdir()
    with pytest.raises(UserError, match=r"params\.yaml cannot be read \(Is a directory\)"):
        read_params()


@pytest.mark.parametrize("content", [b"a: \xff\n", b"a: 2024-13-45\n", b"[" * 5000, b"a: \x00\n"])
def test_what_yaml_cannot_read_gets_a_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match="is not valid YAML"):
        load_params(TrainParams, "train", path)
