"""What the released discriminators give on CIFAR-10's test images, measured anew: the table of the model card.

    make headline                                            (RELEASE=FOLDER for another one)
    python benchmarks/headline.py FOLDER [--choose] [--quick] [--json PATH]

The folder's `headline.yaml` has a row for each discriminator: its name, the folder of its weights, the levers of its
probe; all other settings of `evaluate` are the paper's, whatever params.yaml says. `--choose` fits each to four fifths
of the training images, finds its C on the others (validation), and writes both to headline.yaml; it does not look at
the test images. Without it each is fitted to all training images with that C and shown the test images; the column of
validation is then headline.yaml's. Where that has no figure of the test yet, it is written, too. Networks and features
are in bf16 where the hardware multiplies it natively, else in fp32.

The controls are pixels and the network of each row as it was before training, with the same probe; its batch-norm
statistics are of the labelled set's training images, where the trained one's are of its corpus. Where SVHN is, too
(`dvc repro evaluation_sets` with it among `evaluate.datasets`), each is also measured there, with 100 labels a class.
`--quick` takes the first row and 5,000 training images: it shows that everything is in its place.
"""

from pathlib import Path
from typing import NamedTuple

from releases import Headline, Loader, Row, judge_of, precision_for, read, refuse_unchosen, subjects, write
from reporting import machine, parser, report

from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.evaluation.few_labels import few_labels
from ganpipe.evaluation.judge import CHOOSING_DRAWS, Features, Judge
from ganpipe.evaluation.l2svm import L2SVM
from ganpipe.evaluation.report import FURTHER
from ganpipe.intervals import wilson
from ganpipe.models.store import load_config
from ganpipe.runtime import choose_device, keep_freed_memory

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
    """Shares told right, of the images of validation (when C was chosen) and test, and how many these are."""

    name: str
    validation: float | None
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
    found = [*of_rows(rows, asked.folder, labelled, asked.quick), of_pixels(headline, labelled, asked.quick)]
    print(f"\n{table(found)}\n\n{machine()}, networks in {str(precision_for(choose_device())).removeprefix('torch.')}")
    if not asked.quick:
        remembered(headline, asked.folder, {each.name: each.test for each in found})
    figures = {f"{key}, {each.name}": getattr(each, key) for each in found for key in ("validation", "test")}
    if svhn is not None:
        there = on_svhn(rows, asked.folder, svhn, asked.quick)
        print(f"\n{table_of_svhn(there)}")
        figures |= {f"wrong on SVHN, {each.name}": each.wrong for each in there}
    report({name: value for name, value in figures.items() if value is not None}, asked.json)


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
    choices: dict[str, tuple[float, float]] = {}
    loader = Loader(folder, labelled, quick, test=False)
    for each in subjects(headline.rows, folder):
        judge = loader.judge(each)
        choice = judge.choose(each.name, loader.features(each, judge)["train"])
        choices[each.name] = choice.C, round(choice.accuracy, 4)
    judge = judge_of({}, labelled, 32, "bilinear", quick, test=False)
    choice = judge.choose("raw pixels", judge.of_pixels()["train"])
    choices["raw pixels"] = choice.C, round(choice.accuracy, 4)
    if not quick:
        rows = []
        for row in headline.rows:
            own, untrained = choices[row.name], choices.get(f"{row.name}, untrained", (None, None))
            names = ("C", "validation", "C_untrained", "validation_untrained", "test")
            rows.append(row.model_copy(update=dict(zip(names, (*own, *untrained, None), strict=True))))
        C, validation = choices["raw pixels"]
        write(folder, Headline(rows=rows, C_pixels=C, validation_pixels=validation))
    figures = {f"C, {name}": C for name, (C, _) in choices.items()}
    return {**figures, **{f"validation, {name}": validation for name, (_, validation) in choices.items()}}


def of_rows(rows: list[Row], folder: Path, labelled: Images, quick: bool) -> list[Measured]:
    """The discriminators, and what they were before training."""
    loader, found = Loader(folder, labelled, quick), []
    for each in subjects(rows, folder):
        judge = loader.judge(each)
        validation = None if quick else each.validation  # that of all images says nothing of a few
        found.append(fitted(judge, each.name, loader.features(each, judge), each.C, validation))
    return found


def of_pixels(headline: Headline, labelled: Images, quick: bool) -> Measured:
    """Raw pixels."""
    judge = judge_of({}, labelled, 32, "bilinear", quick)
    validation = None if quick else headline.validation_pixels
    return fitted(judge, "raw pixels", judge.of_pixels(), headline.C_pixels, validation)


def fitted(judge: Judge, name: str, features: Features, C: float | None, validation: float | None) -> Measured:
    """A machine fitted to all training images with the C that was chosen, on the test images."""
    assert C  # noqa: S101 (or it would have been refused)
    labels = judge.labels
    machine = L2SVM(C, tol=judge.params.tolerance).fit(features["train"].design(), labels["train"])
    test = machine.score(features["test"].design(), labels["test"])
    print(f"{name}: {test:.2%} on test with C {C:.3g}, duality gap {machine.duality_gap_:.1e}", flush=True)
    return Measured(name, validation, test, (len(labels["train"]) - judge.fitting, len(labels["test"])))


def on_svhn(rows: list[Row], folder: Path, svhn: Images, quick: bool) -> list[OnSvhn]:
    """The rows and their controls by the paper's protocol of few labels."""
    found, validation = [], {} if quick else {"validation": VALIDATION}
    loader = Loader(folder, svhn, quick, **validation)
    for each in subjects(rows, folder):
        if load_config(folder / each.row.weights)["corpus"].get("name") == svhn.name:
            if not each.untrained:
                print(f"{each.name} was trained on SVHN's images: it is not measured there")
            continue
        judge = loader.judge(each)
        further = 0 if judge.params.scaling == "none" else FURTHER  # the authors' seven C suit unscaled features
        found.append(with_few(judge, each.name, loader.features(each, judge), further))
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
            low, high = (0, 0) if share is None else wilson(share, count)
            cells.append("" if share is None else f"{100 * share:.2f} ({100 * low:.1f} to {100 * high:.1f})")
        rows.append([each.name, *cells])
    return in_markdown(rows)


if __name__ == "__main__":
    main()
