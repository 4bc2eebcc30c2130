"""Attributes, sums and forgetting as the stage asks for them, on a small GAN of 64x64 and images with facts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corpus.pictures import encode

from ganpipe.analysis import attributes, boxes, report
from ganpipe.analysis.boxes import Box
from ganpipe.analysis.found import Analysis
from ganpipe.analysis.params import Analysing, ConceptsParams
from ganpipe.analysis.report import analyse
from ganpipe.corpus.preprocess import preprocess
from ganpipe.corpus.shards import Images, write_encoded
from ganpipe.errors import UserError
from ganpipe.models.draws import noise
from ganpipe.models.store import load_config
from ganpipe.settings import load_params, read_params
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support.graph import ROOT
from support.settings import preprocess_params, study_params

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    **{"candidates": 60, "forget": None, "forget_samples": 20, "attributes": ["red"], "labelled": 150},
    **{"walks": 0, "truncations": [], "samples": 0, "filters": 0, "stops": 3},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw/, processed/ and gan/; an image is red as much as its fact says."""
    folder = tmp_path_factory.mktemp("concepts")
    source = np.random.default_rng(0)
    reds = source.uniform(0, 1, 200)
    shades = source.integers(0, 100, (200, 16, 16, 3), dtype=np.uint8)
    shades[..., 0] += (reds * 150).astype(np.uint8)[:, None, None]
    (folder / "raw").mkdir()
    images = (("png", encode(image), {"red": float(red)}, None) for image, red in zip(shades, reds, strict=True))
    write_encoded(folder / "raw", images, {"name": "reds", "title": "Reds", "licence": "none"})
    raw = Images(folder / "raw")
    preprocess(preprocess_params(side=64), raw, np.arange(200), folder / "processed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        small: dict[str, Any] = {"width": 2, "generator_width": 2, "latent": 6, "steps": 2, "batch_size": 8, "tick": 1}
        params = study_params("faces", **small, sample_every=2, keep_every=0, precision="fp32", average=0.9)
        save(train(params, Images(folder / "processed"), CPU), params, Images(folder / "processed"), folder / "gan")
    return folder


def analysed(folder: Path, raw: bool = True, **changes: Any) -> Analysis:
    settings = {**read_params(ROOT / "studies/faces/params.yaml")["analyse"], **SMALL, "concepts": None, **changes}
    model = Analysing.variant(settings)
    assert model is ConceptsParams
    params = model.model_validate(settings)
    corpus = Images(folder / "processed")
    return analyse(params, folder / "gan", corpus, folder / "none", CPU, folder / "raw" if raw else None)


def test_an_attribute_is_learned_from_what_came_with_the_images(trained: Path) -> None:
    found = analysed(trained)
    assert float(found.metrics["attribute_red_auc"]) > 0.9
    assert "attribute_red" in found.pictures
    assert found.metrics["attribute_red_tested"] == 30  # a fifth of SMALL's


def test_directions_are_tried_on_noise_that_they_were_not_made_of(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def record(
        found: Analysis, generator: Any, judge: Any, z: torch.Tensor, others: torch.Tensor, *how: Any
    ) -> dict[str, np.ndarray]:
        seen.append((z, others))
        return {}

    monkeypatch.setattr(attributes, "attributes", record)
    analysed(trained, seed=3)
    [(z, others)] = seen
    assert torch.equal(z, noise(60, 6, "uniform", 3))  # those of `ganpipe sample`
    assert not (others[:, None] == z).all(2).any()


def test_concepts_are_named_by_attributes_and_by_hand(trained: Path) -> None:
    asked = {
        "concepts": {"red": "red", "three": [0, 1, 2], "pale": "!red"},
        "expressions": ["red - pale + three"],
        "turns": [["pale", "red"]],
    }
    Path("concepts.json").write_text(json.dumps(asked))
    found = analysed(trained, concepts="concepts.json")
    assert {"arithmetic_1", "turn_1"} <= set(found.pictures)


def test_concepts_of_another_model_are_refused_before_any_work(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(trained / "gan")
    asked = {"concepts": {"three": [0, 1, 2]}, "model": config["sha256"]["generator"], "seed": 0}
    Path("concepts.json").write_text(json.dumps(asked))
    analysed(trained, concepts="concepts.json", attributes=[])
    Path("concepts.json").write_text(json.dumps({**asked, "model": config["sha256"]["discriminator"]}))
    monkeypatch.setattr(report, "of_images", None)
    with pytest.raises(UserError, match="concepts.json names samples of the generator"):
        analysed(trained, concepts="concepts.json", attributes=[])
    Path("concepts.json").write_text(json.dumps(asked))  # the averaged weights draw others
    with pytest.raises(UserError, match="concepts.json names samples of the generator"):
        analysed(trained, concepts="concepts.json", attributes=[], average=True)


def test_boxes_of_a_file_are_forgotten(trained: Path) -> None:
    Path("boxes.csv").write_text("sample,left,top,right,bottom\n" + "".join(f"{n},8,8,40,40\n" for n in range(10)))
    found = analysed(trained, attributes=[], forget="boxes.csv")
    assert "forget" in found.pictures
    assert 0 <= float(found.metrics["forget_dropped"]) <= float(found.metrics["forget_maps"])


def test_boxes_are_on_samples_that_are_there(trained: Path) -> None:
    for candidates, last in ((60, 19), (10, 9)):
        Path("boxes.csv").write_text(f"sample,left,top,right,bottom\n{last + 1},8,8,40,40\n")
        with pytest.raises(UserError, match=f"sample is {last + 1}, but they go from 0 to {last}"):
            analysed(trained, attributes=[], forget="boxes.csv", candidates=candidates)


def test_what_a_detector_finds_it_is_asked_for_again_afterwards(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []

    def find(images: np.ndarray, what: str) -> list[Box]:
        asked.append((len(images), what))
        return [Box(number, 8, 8, 40, 40) for number in range(len(images))]

    monkeypatch.setattr(boxes, "find", find)  # so small a GAN draws no eyes
    found = analysed(trained, attributes=[], forget="eyes")
    assert asked == [(20, "eyes")] * 3  # as drawn, forgotten, and without maps at random
    assert found.metrics["forget_images"] == found.metrics["forget_found"] == 20


def test_attributes_need_the_images_that_they_came_with(trained: Path) -> None:
    with pytest.raises(UserError, match=r"analyse.attributes names some, but this study does not say"):
        analysed(trained, raw=False)


def test_the_study_has_these_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for study in ("faces", "bedrooms"):
        assert isinstance(load_params(Analysing, "analyse", ROOT / f"studies/{study}/params.yaml"), ConceptsParams)
