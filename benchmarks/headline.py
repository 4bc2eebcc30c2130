"""What the released discriminators give on CIFAR-10, measured anew from their weights: the table of the model card.

    make headline                                            (RELEASE=FOLDER for another one)
    python benchmarks/headline.py FOLDER [--quick] [--json PATH]

The folder's `headline.yaml` has a row for each discriminator, with the levers of its probe and the C that validation
chose. Each is fitted to four fifths of the training images and judged on the others, then fitted to all of them
and shown the test images. The controls are pixels and the network of each row as it was before training, with the same
probe; its batch-norm statistics are of CIFAR-10's training images. `--quick` takes the first row and 5,000 training
images: it shows that everything is in its place.
"""

from pathlib import Path
from typing import Any, NamedTuple

import yaml
from levers import PAPER, shorten
from pydantic import Field, ValidationError
from reporting import machine, parser, report

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError, entry
from ganpipe.evaluation.judge import Features, Judge
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.protocols import CHOOSING_TOLERANCE, Choice, probe
from ganpipe.evaluation.report import initial
from ganpipe.intervals import wilson
from ganpipe.models.store import load_config, load_discriminator
from ganpipe.runtime import choose_device, keep_freed_memory
from ganpipe.settings import Section, load_params

PUBLISHED = {  # per cent of CIFAR-10's test images, all labels (Radford et al. 2015, table 1)
    "1-layer k-means, 4,800 features": 80.6,
    "3-layer k-means, 3,200 features": 82.0,
    "the paper's discriminator, 1.28 million images": 82.8,
    "Exemplar CNN": 84.3,
}
SHIFT = 0.003  # of a share that another processor's rounding may make
QUICK = 5_000


class Row(Section):
    """A discriminator, how it is probed, and what was found when that was chosen."""

    name: str
    weights: str = Field(description="folder beside headline.yaml")
    probe: dict[str, Any] = Field(description="settings of `evaluate` that are not the paper's")
    C: float = Field(gt=0)
    C_untrained: float = Field(gt=0)
    validation: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)


class Headline(Section):
    """The content of headline.yaml."""

    rows: list[Row] = Field(min_length=1)
    C_pixels: float = Field(gt=0)


class Measured(NamedTuple):
    """Shares told right, of the images of validation and test."""

    name: str
    validation: float
    test: float


@entry
def main() -> None:
    """Measure and print."""
    made = parser("What the released discriminators give")
    made.add_argument("folder", type=Path, help="with headline.yaml and the models it names")
    asked = made.parse_args()
    keep_freed_memory()
    headline, labelled = read(asked.folder), Images(Path("data/evaluation/cifar10"))
    rows = headline.rows[:1] if asked.quick else headline.rows
    found: list[Measured] = []
    for row in rows:
        found += measured(row, asked.folder / row.weights, labelled, asked.quick)
    found.append(of_pixels(headline, labelled, asked.quick))
    sizes = (QUICK // 5, 10_000) if asked.quick else (10_000, 10_000)
    print(f"\n{table(found, sizes)}\n\n{machine()}")
    for row in rows:
        here = next(each.test for each in found if each.name == row.name)
        if not asked.quick and abs(here - row.test) > SHIFT:
            print(f"warning: {row.name}: {here:.2%} here, but {row.test:.2%} when it was chosen")
    report({f"{key}, {each.name}": getattr(each, key) for each in found for key in ("validation", "test")}, asked.json)


def read(folder: Path) -> Headline:
    """headline.yaml; a UserError where it is missing or says something else."""
    path = folder / "headline.yaml"
    try:
        return Headline.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"there is no {path}: name a folder of released/") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from None


def judge_of(changes: dict[str, Any], labelled: Images, size: int, resize: str, quick: bool) -> Judge:
    """With the paper's probe but for these settings."""
    ours = load_params(EvaluateParams, "evaluate").model_dump()
    try:
        params = EvaluateParams.model_validate({**ours, **PAPER, "test": True, **changes})
    except ValidationError as error:
        raise UserError(f"a probe of headline.yaml is damaged: {' '.join(str(error).split())}") from None
    judge = Judge(params, labelled, size, resize, choose_device())
    if quick:
        shorten(judge, QUICK)
    return judge


def measured(row: Row, weights: Path, labelled: Images, quick: bool) -> list[Measured]:
    """The discriminator, and what it was before training."""
    config, device = load_config(weights), choose_device()
    if config["corpus"].get("name") == labelled.manifest["name"]:
        raise UserError(f"{weights} was trained on {labelled.manifest['name']}, which a discriminator here never saw")
    network = load_discriminator(weights, device)
    judge = judge_of(row.probe, labelled, network.table.size, config["corpus"]["resize"], quick)
    found = [fitted(judge, row.name, judge.of_network(row.name, network), row.C)]
    name = f"{row.name}, untrained"
    pixels = judge.pixels["train"]
    control = initial(network, judge.params.seed, len(pixels), pixels.__getitem__, device)
    return [*found, fitted(judge, name, judge.of_network(name, control), row.C_untrained)]


def of_pixels(headline: Headline, labelled: Images, quick: bool) -> Measured:
    """Raw pixels."""
    judge = judge_of({}, labelled, 32, "bilinear", quick)
    return fitted(judge, "raw pixels", judge.of_pixels(), headline.C_pixels)


def fitted(judge: Judge, name: str, features: Features, C: float) -> Measured:
    """At that C, on validation and on the test images."""
    part, held = (rows.design() for rows in features["train"].split(judge.fitting))
    labels = judge.labels
    machine = L2SVM(C, tol=CHOOSING_TOLERANCE).fit(part, labels["train"][: judge.fitting])
    choice = Choice(C, {C: machine.score(held, labels["train"][judge.fitting :])}, machine)
    sets = (features["train"], labels["train"], judge.fitting, features["test"], labels["test"])
    found = probe(choice, *sets, tolerance=judge.params.tolerance, label=name)
    return Measured(name, choice.accuracy, found.answers.accuracy)


def table(found: list[Measured], sizes: tuple[int, int]) -> str:
    """In Markdown: per cent with 95 % intervals, beside what is published."""
    rows = [["features", "validation", "test"], ["---"] * 3]
    rows += [[name, "", f"{accuracy:.1f}"] for name, accuracy in PUBLISHED.items()]
    for each in found:
        cells = []
        for share, count in zip((each.validation, each.test), sizes, strict=True):
            low, high = wilson(share, count)
            cells.append(f"{100 * share:.2f} ({100 * low:.1f} to {100 * high:.1f})")
        rows.append([each.name, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main()
