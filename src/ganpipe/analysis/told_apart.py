"""What samples show, told by a classifier that was trained on labels: whether what was learned is what was shown."""

from pathlib import Path

import numpy as np
import torch

from ganpipe.analysis.found import Analysis
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.evaluation import classifier
from ganpipe.evaluation.supervised import predict
from ganpipe.intervals import wilson
from ganpipe.runtime import choose_precision

WIDTH, STEPS = 16, 2000  # of the classifier


def told_apart(
    found: Analysis, made: np.ndarray, name: str, evaluation: Path, corpus: Images, seed: int, device: torch.device
) -> None:
    """Add the share of samples, uint8 (n, S, S, 1 or 3), that are called one of the classes that were trained on.

    The classifier is trained on the set of that name below `evaluation`; beside the share stands what it gets right of
    that set's test images. A UserError where there is no such set.
    """
    if not (evaluation / name / "manifest.json").is_file():
        raise UserError(f"analyse.classifier is {name}, but evaluate.datasets does not name it")
    labelled = Images(evaluation / name)
    wanted = _numbers(labelled, corpus.manifest.get("trained_classes", []))
    if labelled.manifest["container"] != "pixels" or labelled.manifest["shape"][1:3] != [*made.shape[1:3]]:
        raise UserError(
            f"analyse.classifier is {name}, whose images are not of the samples' size, {made.shape[1]} pixels"
        )
    trained = classifier.train(labelled, WIDTH, STEPS, seed, device)
    if trained.accuracy is not None:
        found.metrics["classifier_accuracy"] = trained.accuracy
    numbers = np.unique(labelled.labels("train"))
    called = numbers[predict(trained.network, choose_precision("auto", device), made, device)]
    for number in numbers.tolist():
        found.metrics[f"called_{labelled.classes[number]}"] = float((called == number).mean())
    if wanted:
        share = float(np.isin(called, wanted).mean())
        low, high = wilson(share, len(called))
        found.metrics |= {"called_as_trained": share, "called_as_trained_low": low, "called_as_trained_high": high}


def _numbers(labelled: Images, classes: list[str]) -> list[int]:
    if unknown := [each for each in classes if each not in labelled.classes]:
        raise UserError(f"{labelled.folder} has no class {unknown[0]}, which was trained on: choose another classifier")
    return [labelled.classes.index(each) for each in classes]
