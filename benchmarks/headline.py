"""What the released discriminators give on CIFAR-10, measured anew from their weights: the table of the model card.

    make headline                                            (RELEASE=FOLDER for another one)
    python benchmarks/headline.py FOLDER [--choose] [--quick] [--json PATH]

The folder's `headline.yaml` has a row for each discriminator: its name, the folder of its weights, the levers of its
probe; all other settings of `evaluate` are the paper's, whatever params.yaml says. `--choose` finds each C on
validation, does not look at the test images, and writes what it found to headline.yaml. Without it each row is fitted
to four fifths of the training images and judged on the others, then fitted to all of them and shown the test images;
where headline.yaml has no figure of the test yet, that is written, too.

The controls are pixels and the network of each row as it was before training, with the same probe; its batch-norm
statistics are of the labelled set's training images, where the trained one's are of its corpus. Where SVHN is, too
(`dvc repro evaluation_sets` with it among `evaluate.datasets`), each is also measured there, with 100 labels a class.
`--quick` takes the first row and 5,000 training images: it shows that everything is in its place.
"""

from pathlib import Path
from typing import NamedTuple

from releases import Headline, Row, control_of, judge_of, loaded, read, refuse_unchosen, write
from reporting import machine, parser, report

from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.evaluation.few_labels import few_labels
from ganpipe.evaluation.judge import CHOOSING_DRAWS, Features, Judge
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.evaluation.protocols import CHOOSING_TOLERANCE, Choice, probe
from ganpipe.evaluation.report import FURTHER
from ganpipe.intervals import wilson
from ganpipe.models.store import load_config
from ganpipe.runtime import keep_freed_memory

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
SVHN = Path("data/evaluation/svhn")


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
    made.add_argument("--choose", action="store_true", help="find each C on validation, for headline.yaml")
    asked = made.parse_args()
    keep_freed_memory()
    headline, labelled = read(asked.folder), Images(Path("data/evaluation/cifar10"))
    if asked.choose:
        report(chosen(headline, asked.folder, labelled, asked.quick), asked.json)
        return
    refuse_unchosen(asked.folder, headline)
    svhn = Images(SVHN) if SVHN.exists() else None  # damage shows before the work, not after it
    rows = headline.rows[:1] if asked.quick else headline.rows
    found: list[Measured] = []
    for row in rows:
        found += measured(row, asked.folder / row.weights, labelled, asked.quick)
    found.append(of_pixels(headline, labelled, asked.quick))
    print(f"\n{table(found)}\n\n{machine()}")
    if not asked.quick:
        remembered(headline, asked.folder, {each.name: each.test for each in found})
    figures = {f"{key}, {each.name}": getattr(each, key) for each in found for key in ("validation", "test")}
    if svhn is not None:
        there = on_svhn(rows, asked.folder, svhn, asked.quick)
        print(f"\n{table_of_svhn(there)}")
        figures |= {f"wrong on SVHN, {each.name}": each.wrong for each in there}
    report(figures, asked.json)


def remembered(headline: Headline, folder: Path, tests: dict[str, float]) -> None:
    """The figures of the test go to headline.yaml where it has none; where it has others, that is said."""
    for row in headline.rows:
        if row.test is not None and abs(tests[row.name] - row.test) > SHIFT:
            print(f"warning: {row.name}: {tests[row.name]:.2%} here, but {row.test:.2%} when it was chosen")
    rows = [
        row if row.test is not None else row.model_copy(update={"test": round(tests[row.name], 4)})
        for row in headline.rows
    ]
    if rows != headline.rows:
        write(folder, headline.model_copy(update={"rows": rows}))


def chosen(headline: Headline, folder: Path, labelled: Images, quick: bool) -> dict[str, float]:
    """Each C and the accuracies on validation; what was there of them in headline.yaml is replaced, unless quick."""
    figures: dict[str, float] = {}
    rows: list[Row] = []
    for row in headline.rows:
        shared = control_of(row, folder) in [control_of(earlier, folder) for earlier in rows]
        networks, judge = loaded(row, folder / row.weights, labelled, quick, not shared, test=False)
        for name, network in networks.items():
            choice = judge.choose(name, judge.of_network(name, network)["train"])
            figures |= {f"validation, {name}": choice.accuracy, f"C, {name}": choice.C}
        found = {
            "C": figures[f"C, {row.name}"],
            "C_untrained": None if shared else figures[f"C, {row.name}, untrained"],
            "validation": round(figures[f"validation, {row.name}"], 4),
            "test": None,
        }
        rows.append(row.model_copy(update=found))
    judge = judge_of({}, labelled, 32, "bilinear", quick, test=False)
    pixels = judge.choose("raw pixels", judge.of_pixels()["train"]).C
    if not quick:
        write(folder, headline.model_copy(update={"rows": rows, "C_pixels": pixels}))
    return {**figures, "C, raw pixels": pixels}


def measured(row: Row, weights: Path, labelled: Images, quick: bool) -> list[Measured]:
    """The discriminator, and what it was before training, unless another row's control is that."""
    networks, judge = loaded(row, weights, labelled, quick, row.C_untrained is not None)
    costs = [C for C in (row.C, row.C_untrained) if C is not None]
    return [
        fitted(judge, name, judge.of_network(name, network), C)
        for (name, network), C in zip(networks.items(), costs, strict=True)
    ]


def of_pixels(headline: Headline, labelled: Images, quick: bool) -> Measured:
    """Raw pixels."""
    assert headline.C_pixels  # noqa: S101 (or it would have been refused)
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
        networks, judge = loaded(row, folder / row.weights, svhn, quick, row.C_untrained is not None, **validation)
        further = 0 if judge.params.scaling == "none" else FURTHER  # the authors' seven C suit unscaled features
        for name, network in networks.items():
            found.append(with_few(judge, name, judge.of_network(name, network), further))
    judge = judge_of({}, svhn, 32, "bilinear", quick, **validation)
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
