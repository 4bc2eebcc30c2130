import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ganpipe.corpus import unpack
from ganpipe.errors import UserError
from ganpipe.evaluation import supervised as module
from ganpipe.evaluation.few_labels import draw
from ganpipe.evaluation.random_search import OPTIONS, Setting, setting_of
from ganpipe.evaluation.supervised import Classifier, Supervised, supervised
from ganpipe.models.dcgan import Discriminator, initialise
from ganpipe.models.norm import BatchNorm
from ganpipe.progress import Progress

CPU = torch.device("cpu")
CONFIG = {"width": 4, "architecture": "svhn32", "normalisation": "batch", "rotation": False}
FITTING, TRAIN, TEST = 500, 700, 300
Fits = list[tuple[np.ndarray, tuple[int, ...]]]  # rows and seed of each
PLAIN = Setting(2e-3, 0.9, 32, 0.0, 0.0, flip=False, shift=0, length=1.0)


def digits() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """At 32x32."""
    images, labels = unpack.digits()
    images = images.repeat(4, 1).repeat(4, 2)
    parts = {"train": slice(TRAIN), "test": slice(TRAIN, TRAIN + TEST)}
    return {name: images[part] for name, part in parts.items()}, {name: labels[part] for name, part in parts.items()}


def search(labels: dict[str, np.ndarray] | None = None, **changes: Any) -> Supervised:
    """Three short trials."""
    pixels, own = digits()
    settings = {"fitting": FITTING, "trials": 3, "steps": 20, "seed": 0, **changes}
    return supervised(CONFIG, pixels, labels or own, **settings, device=CPU, folder=Path("work"), label="digits")


def elsewhere(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in another folder, where nothing is known."""
    Path(name).mkdir()
    monkeypatch.chdir(name)


def journal() -> Path:
    (path,) = Path("work").glob("*/trials.jsonl")
    return path


def lines() -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal().read_text().splitlines()]


def same(one: Supervised, other: Supervised) -> bool:
    return one.metrics() == other.metrics() and one.trials == other.trials


def always(option: Any) -> Callable[[np.random.Generator], Any]:
    return lambda source: option


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> Fits:
    """Every training from now on."""
    seen: Fits = []
    fit = module.fit

    def watched(*arguments: Any) -> Classifier:
        seen.append((arguments[5], arguments[8]))
        return fit(*arguments)

    monkeypatch.setattr(module, "fit", watched)
    return seen


def test_it_learns_and_the_best_trial_is_the_one_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, "learning_rate", lambda source: 10 ** source.uniform(-6, -2))
    monkeypatch.setitem(OPTIONS, "batch_size", always(32))
    monkeypatch.setitem(OPTIONS, "length", always(1.0))
    found = search(steps=60)
    trials = [row for row in lines() if row["part"] == "validation"]
    assert [row["accuracy"] for row in trials] == found.trials
    assert found.accuracy_validation == max(row["accuracy"] for row in trials) > min(row["accuracy"] for row in trials)
    best = max(trials, key=lambda row: row["accuracy"])
    assert found.setting == setting_of(0, best["trial"])
    assert found.accuracy > 0.6
    assert found.accuracies.tolist() == [row["accuracy"] for row in lines() if row["part"] == "test"]
    assert {name: best[name] for name in Setting._fields} == found.setting._asdict()


def test_trials_are_fitted_to_the_first_rows_and_the_best_to_all(
    fits: Fits,
) -> None:
    search()
    assert [rows.tolist() for rows, _ in fits] == [list(range(FITTING))] * 3 + [list(range(TRAIN))]
    assert len({seed for _, seed in fits}) == 3  # the last is that of the best trial


def test_test_labels_have_no_say_in_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    _, labels = digits()
    first = search()
    elsewhere("other", monkeypatch)
    other = search({**labels, "test": (labels["test"] + 1) % 10})
    assert (other.setting, other.trials) == (first.setting, first.trials)
    assert other.accuracy != first.accuracy


def test_validation_labels_are_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    _, labels = digits()
    first = search(steps=60)
    elsewhere("other", monkeypatch)
    wrong = np.concatenate([labels["train"][:FITTING], (labels["train"][FITTING:] + 1) % 10])
    other = search({**labels, "train": wrong}, steps=60)
    assert first.accuracy_validation > 0.5
    assert other.accuracy_validation < 0.3


def test_where_the_test_set_is_not_looked_at_the_best_is_not_trained_again(fits: Fits) -> None:
    pixels, labels = ({"train": each["train"]} for each in digits())
    found = supervised(CONFIG, pixels, labels, FITTING, 3, 20, 0, CPU, Path("work"), "digits")
    assert len(fits) == 3
    assert not len(found.accuracies)
    assert found.accuracy_validation == max(each for each in found.trials if each is not None)
    assert "accuracy" not in found.metrics()
    assert search().setting == found.setting


def test_the_test_set_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    predicted = module.predict

    def watched(network: Classifier, precision: torch.dtype, pixels: np.ndarray, device: torch.device) -> np.ndarray:
        looks.append(len(pixels))
        return predicted(network, precision, pixels, device)

    monkeypatch.setattr(module, "predict", watched)
    search()
    assert looks == [TRAIN - FITTING] * 3 + [TEST]


def test_the_same_seed_gives_the_same_bits_and_another_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    first = search()
    whole = journal().read_bytes()
    elsewhere("again", monkeypatch)
    torch.manual_seed(99)  # nothing hangs on the global state
    assert same(search(), first)
    assert journal().read_bytes() == whole
    elsewhere("other", monkeypatch)
    assert search(seed=1).trials != first.trials


def test_more_trials_continue_fewer_to_the_same_bits(monkeypatch: pytest.MonkeyPatch, fits: Fits) -> None:
    straight = search(trials=4)
    elsewhere("again", monkeypatch)
    search(trials=2)
    fits.clear()
    assert same(search(trials=4), straight)
    assert [seed[1] for _, seed in fits][:2] == [2, 3]
    fits.clear()
    assert same(search(trials=4), straight)
    assert not fits


@pytest.mark.parametrize(
    ("damaged", "line"),
    [
        (lambda data: data[:-20], 4),  # cut short, as by a kill
        (lambda data: data.replace(b'"trial": 1', b'"tri', 1), 2),
        (lambda data: b"\xff\x00" + data, 1),
        (lambda data: b"[1]" + data[data.index(b"\n") :], 1),
        (lambda data: data.replace(b'"accuracy": ', b'"accuracy": 1', 1), 1),  # more than all
    ],
)
def test_a_damaged_line_is_named_and_computed_again(
    damaged: Callable[[bytes], bytes],
    line: int,
    fits: Fits,
    capsys: pytest.CaptureFixture[str],
) -> None:
    straight = search()
    whole = {str(sorted(row.items())) for row in lines()}
    journal().write_bytes(damaged(journal().read_bytes()))
    fits.clear()
    assert same(search(), straight)
    assert len(fits) == 1
    assert f"warning: line {line} of {journal()} is damaged" in capsys.readouterr().out
    assert {str(sorted(row.items())) for row in lines()} == whole
    search()
    assert "damaged" not in capsys.readouterr().out


PROGRAM = """
import os, signal, time
from pathlib import Path
from evaluation.test_supervised import digits, search
import torch._dynamo  # which the first optimiser of each life would import otherwise, for seconds
digits()  # the same of scikit-learn

def kept():
    return sum(path.read_bytes().count(b"\\n") for path in Path("work").glob("*/trials.jsonl"))

deaths = []
while kept() < 3:
    before, life = kept(), os.fork()
    if life == 0:
        search()
        os._exit(99)  # finished before it was killed
    while kept() == before:
        time.sleep(0.001)
    os.kill(life, signal.SIGKILL)
    deaths.append(os.waitpid(life, 0)[1])
assert all(map(os.WIFSIGNALED, deaths)), deaths
print(len(deaths), "killed", flush=True)
search()
"""


def test_killed_after_each_trial_it_ends_with_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    straight = search()
    whole = journal().read_bytes()
    elsewhere("killed", monkeypatch)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split(" killed")[0].split()[-1]) >= 2
    assert "continuing after 1 training" in done.stdout
    assert journal().read_bytes() == whole
    assert same(search(), straight)


def test_all_that_determines_a_trial_tells_its_work_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = digits()

    def count(config: dict[str, Any] = CONFIG, **changes: Any) -> int:
        settings = {"fitting": FITTING, "trials": 1, "steps": 1, "seed": 0, "per_class": None, **changes}
        supervised(config, pixels, labels, **settings, device=CPU, folder=Path("work"), label="t")
        return len(list(Path("work").iterdir()))

    assert count() == count() == 1
    assert count({**CONFIG, "width": 2}) == 2
    assert count(fitting=400) == 3
    assert count(steps=2) == 4
    assert count(seed=1) == 5
    assert count(per_class=5, draws=[1]) == 6
    pixels["train"] = pixels["train"].copy()
    pixels["train"][0, 0, 0, 0] ^= 1
    assert count() == 7
    labels["test"] = np.roll(labels["test"], 1)
    assert count() == 8
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert count() == 9
    monkeypatch.setattr(module, "choose_precision", lambda wanted, device: torch.bfloat16)
    monkeypatch.setattr(torch, "__version__", "0")
    assert count() == 10


def test_a_trial_that_diverges_is_counted_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(OPTIONS, "learning_rate", always(1e30))
    ill = [setting_of(0, trial) for trial in range(4)]
    monkeypatch.setitem(OPTIONS, "learning_rate", always(1e-3))
    well = [setting_of(0, trial) for trial in range(4)]
    monkeypatch.setattr(module, "setting_of", lambda seed, trial: ill[trial] if trial in (0, 2) else well[trial])
    found = search(trials=4)
    assert [each is None for each in found.trials] == [True, False, True, False]
    assert found.diverged == found.metrics()["diverged"] == 2
    assert [row["accuracy"] is None for row in lines()] == [True, False, True, False, False]
    progress = next(line for line in capsys.readouterr().err.splitlines() if line.startswith("digits: "))
    assert "(100 %)" in progress and "2 diverged" in progress
    assert same(search(trials=4), found)  # what diverged is known to


def test_a_divergence_shows_within_a_few_steps_and_in_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    for steps, seen in ((200, 50), (20, 20)):
        with Progress("t", 1, "images", silent=True) as progress, pytest.raises(module.Diverged):
            fitted(PLAIN._replace(learning_rate=1e30), steps, progress)
        assert progress.done == seen * PLAIN.batch_size


def test_scores_that_are_no_numbers_are_a_divergence() -> None:
    network = fitted(PLAIN, 1)
    network.head.bias.data[3] = torch.nan
    with pytest.raises(module.Diverged):
        module.predict(network, torch.float32, digits()[0]["test"], CPU)


def test_where_every_trial_diverges_a_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPTIONS, "learning_rate", always(1e30))
    with pytest.raises(UserError, match="digits: none of 3 trials came to its end: work/.*/trials.jsonl has their"):
        search()


def test_where_the_best_diverges_again_the_next_best_is_taken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = search()
    elsewhere("again", monkeypatch)
    fit, best = module.fit, first.trials.index(first.accuracy_validation)

    def ill(*arguments: Any) -> Classifier:
        if len(arguments[5]) == TRAIN and arguments[8][1] == best:
            raise module.Diverged
        return fit(*arguments)

    monkeypatch.setattr(module, "fit", ill)
    second = search()
    assert f"trial {best + 1} diverges when it is trained again" in capsys.readouterr().out
    assert second.accuracy_validation == sorted(each for each in first.trials if each is not None)[-2]
    assert second.setting != first.setting


def test_few_labels_are_one_draw_for_all_trials_and_fresh_ones_for_the_best(
    fits: Fits,
) -> None:
    _, labels = digits()
    found = search(per_class=8, draws=[4, 9], steps=40)
    expected = [draw(labels["train"][:FITTING], 8, 0, number).tolist() for number in (0, 0, 0, 4, 9)]
    assert [rows.tolist() for rows, _ in fits] == expected
    assert len({seed for _, seed in fits}) == 5
    assert 0.2 < found.accuracy < 0.95
    assert len(found.accuracies) == 2
    metrics = found.metrics()
    assert metrics["accuracy"] == pytest.approx(found.accuracies.mean())
    assert metrics["accuracy_deviation"] == pytest.approx(found.accuracies.std(ddof=1))
    assert metrics["accuracy_error"] == pytest.approx(1.96 * found.accuracies.std(ddof=1) / 2**0.5)


@pytest.mark.parametrize("draws", [[], [1, 0]])
def test_the_draw_that_chooses_is_not_tested(draws: list[int]) -> None:
    with pytest.raises(ValueError, match="other than 0"):
        search(per_class=5, draws=draws)


def fitted(
    setting: Setting, steps: int, progress: Progress | None = None, config: dict[str, Any] = CONFIG, count: int = 200
) -> Classifier:
    pixels, labels = digits()
    of_train = torch.from_numpy(pixels["train"]), torch.from_numpy(labels["train"])
    progress = progress or Progress("t", 1, "images", silent=True)
    return module.fit(config, 10, torch.float32, *of_train, np.arange(count), setting, steps, (0, 0, 0), progress)


@pytest.mark.parametrize("normalisation", ["batch", "spectral", "none"])
@pytest.mark.parametrize("architecture", ["dcgan32", "svhn32"])
def test_the_network_is_the_discriminators_with_an_output_a_class(architecture: str, normalisation: Any) -> None:
    config = {"width": 2, "architecture": architecture, "normalisation": normalisation, "rotation": True, "layers": 3}
    network, model = Classifier(config, 10, 0.0), Discriminator(**{**config, "rotation": False})
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items() if not name.startswith("head")}
    own = {name: tensor.shape for name, tensor in network.state_dict().items() if not name.startswith("head")}
    assert own == shapes
    assert network.head.weight.shape == (10, model.head.in_features)
    images = torch.rand(5, 3, 32, 32)
    initialise(network, torch.Generator().manual_seed(0))
    assert network.eval()(images).shape == (5, 10)
    initialise(model, torch.Generator().manual_seed(0))
    torch.testing.assert_close(network.activations(images)[-1], model.eval().activations(images)[-1])


def test_logits_are_of_full_precision() -> None:
    network = Classifier(CONFIG, 10, 0.0)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.rand(2, 3, 32, 32)).dtype == torch.float32


def test_dropout_is_of_the_last_maps_and_only_in_training() -> None:
    network = Classifier(CONFIG, 10, 0.5)
    images = torch.rand(4, 3, 32, 32)
    assert not torch.equal(network(images), network(images))
    network.eval()
    assert torch.equal(network(images), network(images))


@pytest.mark.parametrize("normalisation", ["batch", "spectral"])
def test_a_trained_network_is_frozen_and_folded(normalisation: str) -> None:
    network = fitted(PLAIN, 3, config={**CONFIG, "normalisation": normalisation})
    assert not network.training
    assert not any("original" in key for key in network.state_dict())
    assert not any((layer.mean == 0).all() for layer in network.modules() if isinstance(layer, BatchNorm))


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 1e-4},
        {"beta1": 0.5},
        {"batch_size": 64},
        {"weight_decay": 1e-2},
        {"dropout": 0.5},
        {"flip": True},
        {"shift": 2},
    ],
)
def test_each_option_reaches_the_training(change: dict[str, Any]) -> None:
    one, other = (fitted(setting, 4).head.weight for setting in (PLAIN, PLAIN._replace(**change)))
    assert not torch.allclose(one, other, atol=1e-6)
    assert change.keys() <= OPTIONS.keys()


def test_the_learning_rate_falls_to_0(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step

    def watched(self: torch.optim.Adam, closure: None = None) -> None:
        rates.append(self.param_groups[0]["lr"])
        step(self, closure)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    fitted(PLAIN, 4)
    assert rates == pytest.approx([2e-3, 1.5e-3, 1e-3, 0.5e-3])


def test_every_image_is_seen_once_an_epoch_and_a_batch_is_never_larger_than_the_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[list[int]] = []
    distorted = module._distorted

    def watched(pixels: torch.Tensor, rows: torch.Tensor, setting: Setting) -> torch.Tensor:
        seen.append(rows.tolist())
        return distorted(pixels, rows, setting)

    monkeypatch.setattr(module, "_distorted", watched)
    fitted(PLAIN, 12, count=192)
    epochs = [np.concatenate(part).tolist() for part in (seen[:6], seen[6:])]
    assert [sorted(epoch) for epoch in epochs] == [list(range(192))] * 2
    assert epochs[0] != epochs[1]
    seen.clear()
    fitted(PLAIN, 2, count=20)
    assert [sorted(rows) for rows in seen] == [list(range(20))] * 2


def test_distorted_images_are_mirrored_or_moved_and_not_all_alike() -> None:
    pixels = torch.arange(8 * 8 * 3, dtype=torch.uint8).view(1, 8, 8, 3)
    rows = torch.zeros(400, dtype=torch.long)
    assert torch.equal(module._distorted(pixels, rows, PLAIN), pixels.expand(400, -1, -1, -1))
    mirrored = module._distorted(pixels, rows, PLAIN._replace(flip=True))
    kinds = [sum(torch.equal(each, kind) for each in mirrored) for kind in (pixels[0], pixels[0].flip(1))]
    assert sum(kinds) == 400 and min(kinds) > 140
    moved = module._distorted(pixels, rows, PLAIN._replace(shift=2))
    padded = np.pad(pixels[0].numpy(), ((2, 2), (2, 2), (0, 0)), mode="edge")
    places = {padded[y : y + 8, x : x + 8].tobytes() for y in range(5) for x in range(5)}
    assert {each.numpy().tobytes() for each in moved} == places
