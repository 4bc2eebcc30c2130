"""What the released discriminators give on CIFAR-10, measured anew from their weights: the table of the model card.

    make headline                                            (RELEASE=FOLDER for another one)
    python benchmarks/headline.py FOLDER [--quick] [--json PATH]

The folder's `headline.yaml` has a row for each discriminator, with the levers of its probe and the C that validation
chose; all other settings of `evaluate` are the paper's, whatever params.yaml says. Each is fitted to four fifths of the
training images and judged on the others, then fitted to all of them and shown the test images. The controls are pixels
and the network of each row as it was before training, with the same probe; its batch-norm statistics are of the
labelled set's training images, where the trained one's are of its corpus. Where SVHN is, too (`dvc repro
evaluation_sets` with it among `evaluate.datasets`), each is also measured there, with 100 labels a class. `--quick`
takes the first row and 5,000 training images: it shows that everything is in its place.
"""

from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from levers import PAPER, shorten
from pydantic import Field, ValidationError, model_validator
from reporting import machine, parser, report

from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError, entry
from ganpipe.evaluation.few_labels import few_labels
from ganpipe.evaluation.judge import CHOOSING_DRAWS, Features, Judge, refuse_other_layers
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.evaluation.params import EvaluateParams
from ganpipe.evaluation.protocols import CHOOSING_TOLERANCE, Choice, probe
from ganpipe.evaluation.report import FURTHER, initial
from ganpipe.intervals import wilson
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.store import load_config, load_discriminator, refuse_classifier
from ganpipe.runtime import choose_device, keep_freed_memory
from ganpipe.settings import Section

PUBLISHED = {  # per cent of CIFAR-10's test images, all labels (Radford et al. 2015, table 1)
    "1-layer k-means, 4,800 features": 80.6,
    "3-layer k-means, 3,200 features": 82.0,
    "the paper's discriminator, 1.28 million images": 82.8,
    "Exemplar CNN": 84.3,
}
PUBLISHED_SVHN = {  # per cent wrong of SVHN's test images, 100 labels a class (table 2)
    "the paper's discriminator, trained on SVHN": 22.48,
    "the paper's network trained on the labels alone": 28.87,
}
LABELS, DRAWS, VALIDATION = 100, 10, 10_000  # of SVHN's protocol; the paper tests 100 draws
SHIFT = 0.003  # of a share that another processor's rounding may make
QUICK = 5_000
SVHN = Path("data/evaluation/svhn")


class Row(Section):
    """A discriminator, how it is probed, and what was found when that was chosen."""

    name: str
    weights: str = Field(description="folder beside headline.yaml")
    probe: dict[str, Any] = Field(description="settings of `evaluate` that are not the paper's")
    C: float = Field(gt=0)
    C_untrained: float | None = Field(
        gt=0, description="of the same network untrained; null where another row, with the same probe, has that control"
    )
    validation: float = Field(ge=0, le=1)
    test: float = Field(ge=0, le=1)


class Headline(Section):
    """The content of headline.yaml."""

    rows: list[Row] = Field(min_length=1)
    C_pixels: float = Field(gt=0)

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({row.name for row in self.rows}) < len(self.rows):
            raise ValueError("two rows have one name")
        return self


class Measured(NamedTuple):
    """Shares told right, of the images of validation and test, and how many these are."""

    name: str
    validation: float
    test: float
    images: tuple[int, int]


class OnSvhn(NamedTuple):
    """Shares told wrong of SVHN's test images, the mean over draws, with 1.96 standard errors of it."""

    name: str
    wrong: float
    error: float


@entry
def main() -> None:
    """Measure and print."""
    made = parser("What the released discriminators give")
    made.add_argument("folder", type=Path, help="with headline.yaml and the models it names")
    asked = made.parse_args()
    keep_freed_memory()
    headline, labelled = read(asked.folder), Images(Path("data/evaluation/cifar10"))
    svhn = Images(SVHN) if SVHN.exists() else None  # damage shows before the work, not after it
    rows = headline.rows[:1] if asked.quick else headline.rows
    found: list[Measured] = []
    for row in rows:
        found += measured(row, asked.folder / row.weights, labelled, asked.quick)
    found.append(of_pixels(headline, labelled, asked.quick))
    print(f"\n{table(found)}\n\n{machine()}")
    for row in rows:
        here = next(each.test for each in found if each.name == row.name)
        if not asked.quick and abs(here - row.test) > SHIFT:
            print(f"warning: {row.name}: {here:.2%} here, but {row.test:.2%} when it was chosen")
    figures = {f"{key}, {each.name}": getattr(each, key) for each in found for key in ("validation", "test")}
    if svhn is not None:
        there = on_svhn(rows, asked.folder, svhn, asked.quick)
        print(f"\n{table_of_svhn(there)}")
        figures |= {f"wrong on SVHN, {each.name}": each.wrong for each in there}
    report(figures, asked.json)


def read(folder: Path) -> Headline:
    """headline.yaml; a UserError where it is missing or says something else."""
    path = folder / "headline.yaml"
    try:
        headline = Headline.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"there is no {path}: name a folder of released/") from None
    except (yaml.YAMLError, ValidationError) as error:
        raise UserError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    controls = [control_of(row, folder) for row in headline.rows if row.C_untrained is not None]
    for row in headline.rows:
        if row.C_untrained is None and control_of(row, folder) not in controls:
            raise UserError(f"{path} is damaged: {row.name} has no C_untrained, and no other row has its control")
    return headline


def control_of(row: Row, folder: Path) -> dict[str, Any]:
    """All that the untrained network's figures depend on."""
    config = load_config(folder / row.weights)
    probe = {key: value for key, value in row.probe.items() if key != "average"}
    shape, resize = config.get("discriminator"), config["corpus"]["resize"]
    return {"shape": shape, "seed": seed_of(config), "resize": resize, "probe": probe}


def seed_of(config: dict[str, Any]) -> int:
    """Of the training, which its first weights follow from."""
    return int(config.get("train", {}).get("seed", 0))


def judge_of(changes: dict[str, Any], labelled: Images, size: int, resize: str, quick: bool) -> Judge:
    """With the paper's probe but for these settings."""
    try:
        params = EvaluateParams.model_validate({**PAPER, **changes, "test": True})
    except ValidationError as error:
        raise UserError(f"a probe of headline.yaml is damaged: {' '.join(str(error).split())}") from None
    judge = Judge(params, labelled, size, resize, choose_device())
    if quick:
        shorten(judge, QUICK)
    return judge


def measured(row: Row, weights: Path, labelled: Images, quick: bool) -> list[Measured]:
    """The discriminator, and what it was before training."""
    networks, judge = loaded(row, weights, labelled, quick)
    costs = [C for C in (row.C, row.C_untrained) if C is not None]
    return [
        fitted(judge, name, judge.of_network(name, network), C)
        for (name, network), C in zip(networks.items(), costs, strict=True)
    ]


def loaded(
    row: Row, weights: Path, labelled: Images, quick: bool, **changes: Any
) -> tuple[dict[str, Discriminator], Judge]:
    """The discriminator, what it was before training unless an earlier row was that, and who measures them."""
    refuse_classifier(weights)
    config, device = load_config(weights), choose_device()
    if config["corpus"].get("name") == labelled.manifest["name"]:
        raise UserError(f"{weights} was trained on {labelled.manifest['name']}, which a discriminator here never saw")
    shape = load_discriminator(weights, device)
    judge = judge_of({**row.probe, **changes}, labelled, shape.table.size, config["corpus"]["resize"], quick)
    refuse_other_layers(judge.params, shape)
    network = load_discriminator(weights, device, judge.params.average)
    if row.C_untrained is None:
        return {row.name: network}, judge
    pixels = judge.pixels["train"]
    control = initial(network, seed_of(config), len(pixels), pixels.__getitem__, device)
    return {row.name: network, f"{row.name}, untrained": control}, judge


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
    held_out = len(labels["train"]) - judge.fitting
    return Measured(name, choice.accuracy, found.answers.accuracy, (held_out, len(labels["test"])))


def on_svhn(rows: list[Row], folder: Path, svhn: Images, quick: bool) -> list[OnSvhn]:
    """The rows and their controls by the paper's protocol of few labels."""
    found, validation = [], {} if quick else {"validation": VALIDATION}
    for row in rows:
        if load_config(folder / row.weights)["corpus"].get("name") == svhn.name:
            print(f"{row.name} was trained on SVHN's images: it is not measured there")
            continue
        networks, judge = loaded(row, folder / row.weights, svhn, quick, **validation)
        further = 0 if judge.params.scaling == "none" else FURTHER  # the authors' seven C suit unscaled features
        for name, network in networks.items():
            found.append(with_few(judge, name, judge.of_network(name, network), further))
    judge = judge_of(validation, svhn, 32, "bilinear", quick)
    return [*found, with_few(judge, "raw pixels", judge.of_pixels(), FURTHER)]


def with_few(judge: Judge, name: str, features: Features, further: int) -> OnSvhn:
    """With C of draws that choose it."""
    labels, fitting = judge.labels, judge.fitting
    few = few_labels(
        *(features["train"], labels["train"], fitting, features["test"], labels["test"]),
        per_class=LABELS,
        choosing=CHOOSING_DRAWS,
        draws=DRAWS,
        seed=judge.params.seed,
        label=f"SVHN, {name}",
        further=further,
    ).metrics()
    return OnSvhn(name, 1 - few["accuracy"], few["accuracy_error"])


def table_of_svhn(found: list[OnSvhn]) -> str:
    """In Markdown: per cent wrong, with 1.96 standard errors of the mean over the draws."""
    rows = [["features", f"wrong on SVHN with {LABELS} labels a class"], ["---"] * 2]
    rows += [[name, f"{wrong:.2f}"] for name, wrong in PUBLISHED_SVHN.items()]
    rows += [[each.name, f"{100 * each.wrong:.2f} ± {100 * each.error:.2f}"] for each in found]
    return in_markdown(rows)


def in_markdown(rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def table(found: list[Measured]) -> str:
    """In Markdown: per cent with 95 % intervals, beside what is published."""
    rows = [["features", "validation", "test"], ["---"] * 3]
    rows += [[name, "", f"{accuracy:.1f}"] for name, accuracy in PUBLISHED.items()]
    for each in found:
        cells = []
        for share, count in zip((each.validation, each.test), each.images, strict=True):
            low, high = wilson(share, count)
            cells.append(f"{100 * share:.2f} ({100 * low:.1f} to {100 * high:.1f})")
        rows.append([each.name, *cells])
    return in_markdown(rows)


if __name__ == "__main__":
    main()
