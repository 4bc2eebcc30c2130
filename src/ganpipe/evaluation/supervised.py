"""The paper's supervised control (table 2): the discriminator's own network, trained on nothing but the labels.

Its hyper-parameters are found by random search, 64 trials in the paper: each trial is a function of (seed, trial), is
fitted to one part of the training set and scored on the other. The best is trained again, and that network alone sees
the test set.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ganpipe
from ganpipe import files
from ganpipe.errors import UserError
from ganpipe.evaluation.few_labels import draw, over_draws
from ganpipe.evaluation.random_search import Journal, Setting, setting_of
from ganpipe.models.dcgan import Discriminator, fold, initialise, place
from ganpipe.models.pixels import freeze_on, to_network
from ganpipe.progress import Progress
from ganpipe.runtime import choose_precision, keep_freed_memory, mix_seed

BETA2 = 0.999
SCORED = 250  # images at a time
FOR_STATISTICS = 10_000  # images, at most, that a trial's batch-norm statistics are averaged over
LOOK = 50  # steps between two looks at the loss, each of which waits for a GPU
WEIGHTS, ORDER, STATISTICS = range(3)  # independent streams under (seed, trial, draw)
CHOOSING = 0  # the draw of few labels that all trials are fitted to, so that they differ by their settings alone
CODE = (
    "models/*.py",
    *(f"evaluation/{name}.py" for name in ("supervised", "random_search", "few_labels")),
    "runtime.py",
)


@dataclass(frozen=True)
class Supervised:
    """The best trial's setting, and what its network, trained again, gets right. Accuracies are shares."""

    setting: Setting
    accuracy_validation: float
    accuracies: np.ndarray  # on the test set: a single one, of few labels one a draw, none where it is not looked at
    trials: list[float | None]  # on the validation part; None where it diverged

    @property
    def accuracy(self) -> float:
        """On the test set; of few labels the mean over the draws."""
        return float(self.accuracies.mean())

    @property
    def diverged(self) -> int:
        """How many trials came to no end."""
        return self.trials.count(None)

    def metrics(self) -> dict[str, Any]:
        """Flat; of several draws with 1.96 standard errors of the mean and the standard deviation between them."""
        found = {
            "accuracy_validation": self.accuracy_validation,
            "trials": len(self.trials),
            "diverged": self.diverged,
            **self.setting._asdict(),
        }
        return {**found, **over_draws(self.accuracies)}


class Classifier(Discriminator):
    """The discriminator of that config with an output a class: images (N, 3, size, size) to logits (N, classes)."""

    def __init__(self, config: dict[str, Any], classes: int, dropout: float) -> None:
        super().__init__(**{**config, "rotation": False})
        self.dropout = dropout
        self.head = nn.Linear(self.head.in_features, classes)

    def forward(self, images: Tensor) -> Tensor:
        last = self.activations(images)[-1].permute(0, 2, 3, 1).flatten(1)  # a view of channels-last maps
        with torch.autocast(images.device.type, enabled=False):  # in bf16 logits would tie
            logits: Tensor = self.head(F.dropout(last.float(), self.dropout, self.training))
        return logits


class Diverged(ArithmeticError):
    """A loss or a score is no number any more."""


def supervised(
    network_config: dict[str, Any],
    pixels: dict[str, np.ndarray],
    labels: dict[str, np.ndarray],
    fitting: int,
    trials: int,
    steps: int,
    seed: int,
    device: torch.device,
    folder: Path,
    label: str,
    per_class: int | None = None,
    draws: Sequence[int] = range(1, 11),
) -> Supervised:
    """Fit each trial to the first `fitting` rows, score it on the others, train the best again, look at the test set.

    `pixels` are uint8 (N, S, S, 3) and `labels` (N,) by split; without "test" the best is not trained again. `steps` is
    the most that a trial takes. The best is trained again on all training images; with `per_class`, which fits every
    trial to so many labels a class, on each of the `draws` from the first `fitting` rows. Below `folder` is kept what
    is finished: a call with the same arguments goes on from there, also with more trials.

    Raises UserError when every trial diverges.
    """
    # Everything that a training follows from.
    keep_freed_memory()
    if per_class is not None and (not draws or CHOOSING in draws):
        raise ValueError(f"draws are some numbers other than {CHOOSING}, whose labels choose the setting")
    precision = choose_precision("auto", device)
    settings = [setting_of(seed, trial) for trial in range(trials)]
    determining = {
        "config": network_config,
        "data": _digest([arrays[split] for split in sorted(pixels) for arrays in (pixels, labels)]),
        "fitting": fitting,
        "per_class": per_class,
        "steps": steps,  # not the trials: more continue fewer
        "seed": seed,
        "device": device.type,
        "precision": str(precision),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
    }
    work = _folder(folder, determining)
    journal = Journal(work / "trials.jsonl")
    classes, codes = np.unique(labels["train"], return_inverse=True)
    on_device = (torch.from_numpy(pixels["train"]).to(device), torch.from_numpy(codes).to(device))
    fit_on = partial(fit, network_config, len(classes), precision, *on_device)
    against = {"validation": (pixels["train"][fitting:], labels["train"][fitting:])}
    if "test" in pixels:
        against["test"] = (pixels["test"], labels["test"])

    def accuracy(part: str, trial: int, number: int, progress: Progress) -> float | None:
        """Of one training, on that part; None where it diverges."""
        if per_class is not None:
            rows = draw(labels["train"][:fitting], per_class, seed, number)
        else:
            rows = np.arange(fitting if part == "validation" else len(labels["train"]))
        setting, before = settings[trial], progress.done
        images, truth = against[part]
        try:
            network = fit_on(rows, setting, _steps(setting, steps), (seed, trial, number), progress)
            predicted = predict(network, precision, images, device)
        except Diverged:
            progress.total -= _images(setting, steps) - (progress.done - before)  # which it will not see
            return None
        return float((classes[predicted] == truth).mean())

    def accuracies(part: str, wanted: list[tuple[int, int]], title: str) -> list[float | None]:
        """Of each (trial, draw), known or computed now."""
        found: list[float | None] = []
        images = sum(
            _images(settings[trial], steps) for trial, number in wanted if (part, trial, number) not in journal
        )
        with Progress(title, images, "images", silent=not images) as progress:
            for trial, number in wanted:
                key = (part, trial, number)
                if key not in journal:
                    journal.add(key, accuracy(*key, progress), settings[trial])
                found.append(journal[key])
                best = max((each for each in found if each is not None), default=0.0)
                progress.note = f"{len(found)} of {len(wanted)} trained, {found.count(None)} diverged, best {best:.2%}"
        return found

    # Search.
    if journal.rows:
        print(f"{label}: continuing after {len(journal.rows)} trainings; to start anew, remove {work}", flush=True)
    found = accuracies("validation", [(trial, CHOOSING) for trial in range(trials)], label)
    ranked = sorted((-each, trial) for trial, each in enumerate(found) if each is not None)

    if ranked and "test" not in against:
        return Supervised(settings[ranked[0][1]], -ranked[0][0], np.empty(0), found)

    # Train the best again; where that diverges on the other images, the next best.
    numbers = draws if per_class is not None else [CHOOSING]
    for negative, trial in ranked:
        tested = accuracies("test", [(trial, number) for number in numbers], f"{label}, trial {trial + 1} again")
        if None in tested:
            print(f"warning: {label}: trial {trial + 1} diverges when it is trained again", flush=True)
            continue
        best = Supervised(settings[trial], -negative, np.array(tested), found)
        print(f"{label}: {best.accuracy:.2%} on test with trial {trial + 1} of {trials}: {settings[trial]}", flush=True)
        return best
    raise UserError(f"{label}: none of {trials} trials came to its end: {journal.path} has their settings")


def fit(
    config: dict[str, Any],
    classes: int,
    precision: torch.dtype,
    pixels: Tensor,
    codes: Tensor,
    rows: np.ndarray,
    setting: Setting,
    steps: int,
    seed: tuple[int, ...],
    progress: Progress,
) -> Classifier:
    """A network trained on those rows, its statistics frozen on them."""
    device = pixels.device
    network = Classifier(config, classes, setting.dropout)
    initialise(network, torch.Generator().manual_seed(mix_seed(*seed, WEIGHTS)))
    place(network, device).train()
    adam = torch.optim.Adam(
        network.parameters(),
        lr=setting.learning_rate,
        betas=(setting.beta1, BETA2),
        weight_decay=setting.weight_decay,
        fused=True,
    )
    size = min(setting.batch_size, len(rows))
    per_epoch, chosen = len(rows) // size, torch.from_numpy(rows).to(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(mix_seed(*seed, ORDER))
        for step in range(steps):
            if step % per_epoch == 0:
                order = chosen[torch.randperm(len(chosen), device=device)]
            batch = order[step % per_epoch * size :][:size]
            images = to_network(_distorted(pixels, batch, setting))
            with _autocast(device, precision):
                loss = F.cross_entropy(network(images), codes[batch])
            for group in adam.param_groups:
                group["lr"] = setting.learning_rate * (1 - step / steps)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            progress.advance(setting.batch_size)
            if ((step + 1) % LOOK == 0 or step + 1 == steps) and not loss.isfinite():
                raise Diverged
    shuffled = np.random.default_rng([*seed, STATISTICS]).permutation(rows)[:FOR_STATISTICS]
    with _autocast(device, precision):
        freeze_on(fold(network), len(shuffled), lambda batch: pixels[shuffled[batch]].cpu().numpy(), device)
    return network


def _distorted(pixels: Tensor, rows: Tensor, setting: Setting) -> Tensor:
    """Those rows of `pixels` (N, S, S, 3), mirrored and moved at random; what comes in repeats the edge."""
    if not setting.flip and not setting.shift:
        return pixels[rows]
    count, last, device = len(rows), pixels.shape[1] - 1, rows.device
    places = torch.arange(last + 1, device=device)
    moves = torch.randint(-setting.shift, setting.shift + 1, (2, count, 1), device=device)
    down, right = (places + moves).clamp_(0, last)
    if setting.flip:
        right = torch.where(torch.rand(count, 1, device=device) < 0.5, last - right, right)
    return pixels[rows[:, None, None], down[:, :, None], right[:, None, :]]


@torch.no_grad()
def predict(network: Classifier, precision: torch.dtype, pixels: np.ndarray, device: torch.device) -> np.ndarray:
    found = []
    for start in range(0, len(pixels), SCORED):
        images = to_network(torch.from_numpy(pixels[start : start + SCORED]).to(device))
        with _autocast(device, precision):
            logits = network(images)
        if not logits.isfinite().all():
            raise Diverged
        found.append(logits.argmax(1).cpu().numpy())
    return np.concatenate(found)


def _autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    return torch.autocast(device.type, precision, precision != torch.float32)


def _steps(setting: Setting, most: int) -> int:
    return max(1, round(setting.length * most))


def _images(setting: Setting, most: int) -> int:
    """How many a trial counts as: those of whole batches."""
    return setting.batch_size * _steps(setting, most)


def _digest(arrays: list[np.ndarray]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _folder(parent: Path, determining: dict[str, Any]) -> Path:
    """Where the journal lives, made if need be: keyed by all that a line of it follows from, the code included."""
    package = Path(ganpipe.__file__).parent
    code = [files.sha256(path) for part in CODE for path in sorted(package.glob(part))]
    key = {**determining, "code": files.digest(code), "torch": torch.__version__}
    work = parent / files.digest(key)
    files.write_json(work / "key.json", key)
    return work
