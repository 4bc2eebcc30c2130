"""A folder of released discriminators: its headline.yaml, and the networks and settings that this names."""

from pathlib import Path
from typing import Any, Self

import yaml
from levers import PAPER, shorten
from pydantic import Field, ValidationError, model_validator

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation.judge import Judge, refuse_other_layers
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.report import initial
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.store import load_config, load_discriminator, refuse_classifier
from ganpipe.runtime import choose_device
from ganpipe.settings import Section

QUICK = 5_000  # training images
HEAD = "# The rows of `make headline`: how each discriminator is probed, and what was found when that was chosen.\n"


class Row(Section):
    """A discriminator and how it is probed; the rest is null until `headline.py --choose` and `make headline`."""

    name: str
    weights: str = Field(description="folder beside headline.yaml")
    probe: dict[str, Any] = Field(description="settings of `evaluate` that are not the paper's")
    C: float | None = Field(default=None, gt=0, description="of the SVM, that validation chose")
    C_untrained: float | None = Field(
        default=None, gt=0, description="of the same network untrained; null where an earlier row has that control"
    )
    validation: float | None = Field(default=None, ge=0, le=1)
    test: float | None = Field(default=None, ge=0, le=1)


class Headline(Section):
    """The content of headline.yaml."""

    rows: list[Row] = Field(min_length=1)
    C_pixels: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({row.name for row in self.rows}) < len(self.rows):
            raise ValueError("two rows have one name")
        return self


def read(folder: Path) -> Headline:
    """headline.yaml; a UserError where it is missing or says something else."""
    path = folder / "headline.yaml"
    try:
        return Headline.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"there is no {path}: name a folder of released/") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from None


def write(folder: Path, headline: Headline) -> None:
    """headline.yaml anew."""
    with files.atomic(folder / "headline.yaml") as draft:
        draft.write_text(HEAD + yaml.safe_dump(headline.model_dump(exclude_none=True), sort_keys=False))


def refuse_unchosen(folder: Path, headline: Headline) -> None:
    """A UserError where something is without its C."""
    controls = [control_of(row, folder) for row in headline.rows if row.C_untrained is not None]
    missing = [] if headline.C_pixels else ["raw pixels"]
    for row in headline.rows:
        if row.C is None:
            missing.append(row.name)
        if row.C_untrained is None and control_of(row, folder) not in controls:
            missing.append(f"{row.name}, untrained")
    if missing:
        raise UserError(f"{folder / 'headline.yaml'} has no C of {'; '.join(missing)}: --choose finds it")


def control_of(row: Row, folder: Path) -> dict[str, Any]:
    """All that the untrained network's figures depend on."""
    config = load_config(folder / row.weights)
    probe = {key: value for key, value in row.probe.items() if key != "average"}
    shape, resize = config.get("discriminator"), config["corpus"]["resize"]
    return {"shape": shape, "seed": _seed(config), "resize": resize, "probe": probe}


def judge_of(probe: dict[str, Any], labelled: Images, size: int, resize: str, quick: bool, **changes: Any) -> Judge:
    """With the paper's probe but for these settings."""
    try:
        params = EvaluateParams.model_validate({**PAPER, **probe, "test": True, **changes})
    except ValidationError as error:
        raise UserError(f"a probe of headline.yaml is damaged: {' '.join(str(error).split())}") from None
    judge = Judge(params, labelled, size, resize, choose_device())
    if quick:
        shorten(judge, QUICK)
    return judge


def loaded(
    row: Row, weights: Path, labelled: Images, quick: bool, control: bool, **changes: Any
) -> tuple[dict[str, Discriminator], Judge]:
    """The discriminator, if `control` what it was before training, and who measures them."""
    refuse_classifier(weights)
    config, device = load_config(weights), choose_device()
    if config["corpus"].get("name") == labelled.manifest["name"]:
        raise UserError(f"{weights} was trained on {labelled.manifest['name']}, which a discriminator here never saw")
    shape = load_discriminator(weights, device)
    judge = judge_of(row.probe, labelled, shape.table.size, config["corpus"]["resize"], quick, **changes)
    refuse_other_layers(judge.params, shape)
    found = {row.name: load_discriminator(weights, device, judge.params.average)}
    if control:
        pixels = judge.pixels["train"]
        found[f"{row.name}, untrained"] = initial(shape, _seed(config), len(pixels), pixels.__getitem__, device)
    return found, judge


def _seed(config: dict[str, Any]) -> int:
    """Of the training, which its first weights follow from."""
    return int(config.get("train", {}).get("seed", 0))
