import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganpipe import files
from ganpipe.corpus.shards import Images
from ganpipe.errors import UserError
from ganpipe.models.norm import BatchNorm
from ganpipe.models.pixels import to_network
from ganpipe.training import checkpoint, health, loop
from ganpipe.training.loop import Trained, train
from ganpipe.training.results import save
from ganpipe.training.sampling import SAMPLE_COUNT, Sampling, build
from support.settings import digits_corpus, train_params

CPU = torch.device("cpu")


def fingerprint(trained: Trained) -> tuple[object, ...]:
    """Everything a training yields, to the last bit."""
    networks = trained.networks.values()
    tensors = [tensor.numpy().tobytes() for network in networks for tensor in network.state_dict().values()]
    pictures = {step: path.read_bytes() for step, path in trained.samples.items()}
    return tensors, trained.curves, pictures


@pytest.fixture(autouse=True)
def _a_checkpoint_at_every_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """However little time there was to pay for it."""
    monkeypatch.setattr(loop, "SHARE_FOR_CHECKPOINTS", 1.0)


def test_the_same_settings_give_the_same_bits(corpus: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    prints = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        prints.append(fingerprint(train(train_params(), corpus, CPU)))
    assert prints[0] == prints[1]


def test_a_longer_training_continues_a_shorter_one_to_the_same_bits(
    corpus: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    straight = fingerprint(train(train_params(steps=20), corpus, CPU))
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    train(train_params(steps=10), corpus, CPU)  # ends between ticks of 4
    assert fingerprint(train(train_params(steps=20), corpus, CPU)) == straight
    assert "continuing at step 10 of 20" in capsys.readouterr().out


def test_another_setting_starts_anew(corpus: Images, capsys: pytest.CaptureFixture[str]) -> None:
    train(train_params(steps=4), corpus, CPU)
    train(train_params(steps=4, learning_rate=1e-3), corpus, CPU)
    assert "continuing" not in capsys.readouterr().out


def test_work_that_is_not_continued_is_named_with_what_differs(
    corpus: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    train(train_params(steps=4), corpus, CPU)
    assert "starting at step 0" not in capsys.readouterr().out
    train(train_params(steps=8, learning_rate=1e-3, seed=1), corpus, CPU)
    train(train_params(steps=8, learning_rate=1e-3, beta1=0.0, seed=1), corpus, CPU)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("starting at step 0")]
    assert [line.partition(" is of a training that differs in ")[2] for line in said] == [
        "learning_rate, seed",
        "beta1",  # the nearest of the two
    ]
    assert "step-000000008-" in said[1]


def test_work_of_quite_another_training_is_not_named(corpus: Images, capsys: pytest.CaptureFixture[str]) -> None:
    train(train_params(steps=4), corpus, CPU)
    other: dict[str, Any] = {"learning_rate": 1e-3, "beta1": 0.0, "beta2": 0.9, "latent": 4, "noise": "normal"}
    train(train_params(steps=4, width=3, batch_size=10, seed=1, **other), corpus, CPU)
    assert "starting at step 0" not in capsys.readouterr().out


def test_rows_and_pictures_are_told_again_after_a_resume(corpus: Images) -> None:
    train(train_params(steps=12), corpus, CPU)
    rows: list[float] = []
    pictures: list[int] = []
    trained = train(
        train_params(steps=18), corpus, CPU, lambda r: rows.append(r["step"]), lambda s, p: pictures.append(s)
    )
    assert rows == [row["step"] for row in trained.curves] == [4, 8, 12, 16, 18]
    assert sorted(trained.samples) == [0, 10, 18]
    assert sorted(set(pictures)) == [0, 10, 18]


def test_training_moves_the_samples_and_the_losses(corpus: Images) -> None:
    trained = train(train_params(steps=60, width=4), corpus, CPU)
    first, last = (np.asarray(Image.open(trained.samples[step])).astype(int) for step in (0, 60))
    assert np.abs(first - last).mean() > 5
    assert trained.curves[-1]["loss_d"] < trained.curves[0]["loss_d"]


def test_divergence_ends_with_a_sentence(corpus: Images) -> None:
    with pytest.raises(
        UserError, match=r"diverged before step 4: loss_g.* no longer finite. There is no checkpoint yet. Lower"
    ):
        train(train_params(), _poisoned(corpus), CPU)
    assert not list(Path(".ckpt").glob("train/*/step-*.pt"))


def _poisoned(corpus: Images, after: int = 0) -> Images:
    """The same corpus, but read, after some batches, as if a pixel were no number."""

    class Poisoned(Images):
        read = 0

        def pixels(self, indices: np.ndarray) -> np.ndarray:
            self.read += 1
            if self.read <= after:
                return super().pixels(indices)
            return np.full((len(indices), 32, 32, 3), np.nan, np.float32)

    return Poisoned(corpus.folder)


def test_a_divergence_after_the_last_whole_tick_leaves_no_checkpoint_of_it(corpus: Images) -> None:
    with pytest.raises(UserError, match=r"diverged before step 18: .*loss_d.* good checkpoint is .*step-000000016-"):
        train(train_params(steps=18), _poisoned(corpus, after=17), CPU)
    assert [path.name[5:14] for path in sorted(Path(".ckpt").glob("train/*/step-*.pt"))] == ["000000012", "000000016"]


def test_a_shorter_training_takes_a_longer_ones_checkpoint_and_draws_what_that_did_not(corpus: Images) -> None:
    train(train_params(steps=20), corpus, CPU)
    told: list[int] = []
    shorter = train(train_params(steps=16), corpus, CPU, on_samples=lambda step, picture: told.append(step))
    assert sorted(shorter.samples) == sorted(told) == [0, 10, 16]
    assert all(picture.exists() for picture in shorter.samples.values())


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    digits_corpus(tmp_path, 20)
    with pytest.raises(UserError, match="takes 32x32 images, not 8x8: set preprocess.side to 32"):
        train(train_params(), Images(tmp_path / "raw"), CPU)


PROGRAM = """
import sys
from pathlib import Path
import torch
from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.training.loop import train
from ganpipe.training.results import save
from ganpipe.training.sampling import SAMPLE_COUNT, Sampling, build
from support.settings import train_params

@entry
def main():
    params, images = train_params(steps=300), Images(Path(sys.argv[1]))
    print("starting", flush=True)
    save(train(params, images, torch.device("cpu")), params, images, Path("gan"))
main()
"""


# Forks the training, so that twenty lives cost one start of Python, and kills it at twenty random moments.
KILLER = (
    PROGRAM.replace("\nmain()\n", "\n")
    + """
import os, random, signal, time
import torch._dynamo  # which the first optimiser of each life would import otherwise, for seconds

moments = random.Random(0)
killed = 0
while killed < 20:
    life, born = os.fork(), time.monotonic()
    if life == 0:
        main()
        os._exit(99)  # finished before it was killed: there are too few steps for this test
    if killed == 0:  # the first lives until its first checkpoint, which tells how fast this machine is
        while not list(Path(".ckpt").glob("train/*/step-*.pt")):
            time.sleep(0.005)
        first = time.monotonic() - born
    else:
        time.sleep(first * moments.uniform(0.2, 2.5))
    os.kill(life, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(life, 0)[1])
    killed += 1
last = os.fork()
if last == 0:
    main()
    os._exit(0)
print(killed, "killed, then", os.waitstatus_to_exitcode(os.waitpid(last, 0)[1]))
"""
)


def command(program: str, corpus: Images) -> list[str]:
    return [sys.executable, "-c", program, str(corpus.folder)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def started(corpus: Images) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(PROGRAM, corpus), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def checksums() -> dict[str, str]:
    return {path.as_posix(): files.sha256(path) for path in sorted(Path("gan").rglob("*")) if path.is_file()}


def test_killed_at_twenty_random_moments_it_ends_with_the_same_files(
    corpus: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = train_params(steps=300)
    save(train(params, corpus, CPU), params, corpus, Path("gan"))
    straight = checksums()
    (tmp_path / "killed").mkdir()
    monkeypatch.chdir(tmp_path / "killed")
    done = subprocess.run(command(KILLER, corpus), env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "20 killed, then 0"
    assert done.stdout.count("continuing at step") >= 10
    assert checksums() == straight


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_the_step_in_progress(number: signal.Signals, corpus: Images) -> None:
    process = started(corpus)
    deadline = time.monotonic() + 60
    while not list(Path(".ckpt").glob("train/*/samples-*0.png")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to continue" in errors
    assert "Traceback" not in errors
    assert list(Path(".ckpt").glob("train/*/step-*.pt"))


def test_the_seed_makes_the_weights() -> None:
    one, other = (build(train_params(seed=seed), CPU)[1] for seed in (0, 1))
    assert not torch.equal(one.head.weight, other.head.weight)


def test_the_noise_of_frozen_statistics_is_of_its_distribution_and_always_new(corpus: Images) -> None:
    first, second, *_ = Sampling(train_params(noise="normal"), corpus, CPU, torch.float32)._frozen_noise()
    assert first.abs().max() > 1.5
    assert not torch.equal(first, second)


def test_all_that_determines_a_training_tells_its_work_from_others(
    corpus: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(Images):
        digest = "another"

    def key(images: Images = corpus, precision: torch.dtype = torch.float32, **changes: Any) -> dict[str, object]:
        return loop._what_determines(train_params(**changes), images, CPU, precision)

    assert key() == key(steps=99)
    for schedule in ("schedule", "discriminator_schedule"):
        falling: dict[str, Any] = {schedule: "cosine"}
        assert key(steps=20, **falling) != key(steps=99, **falling)
    assert key() != key(precision=torch.bfloat16)
    assert key() != key(Other(corpus.folder))
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        others = key()
    assert key() == others  # one checkpoint serves any number of processes
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 77)
        others = key()
    assert key() != others
    with monkeypatch.context() as patch:
        patch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
        others = key()
    assert key() != others
    assert key() != key(keep_every=5)  # of the steps before there would be none kept


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"updates": "simultaneous", "objective": "relativistic", "r1": 1.0, "r2": 1.0, "average": 0.9},
        {"normalisation": "spectral", "augment": "diffaugment", "rotation": 1.0, "schedule": "cosine"},
        {"normalisation": "none", "objective": "wasserstein", "gradient_penalty": 1.0},
    ],
)
def test_deterministic_algorithms_suffice(changes: dict[str, Any], corpus: Images) -> None:
    torch.use_deterministic_algorithms(True)  # with which an operation that has no such algorithm raises
    try:
        train(train_params(steps=4, **changes), corpus, CPU)
    finally:
        torch.use_deterministic_algorithms(False)


def test_all_networks_end_frozen_and_folded(corpus: Images) -> None:
    trained = train(train_params(steps=4, average=0.9), corpus, CPU)
    assert set(trained.networks) == {
        "generator",
        "discriminator",
        "generator_average",
        "discriminator_average",
    }
    for network in trained.networks.values():
        assert not network.training
        assert not any((module.mean == 0).all() for module in network.modules() if isinstance(module, BatchNorm))
    one, other = (trained.networks[name].state_dict() for name in ("discriminator", "discriminator_average"))
    assert not torch.equal(one["head.weight"], other["head.weight"])
    spectral = train(train_params(steps=4, normalisation="spectral", average=0.9), corpus, CPU).networks
    for name in ("discriminator", "discriminator_average"):
        assert not any("original" in key for key in spectral[name].state_dict())


def test_an_illness_is_said_once_and_comes_with_what_a_training_yields(
    corpus: Images, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(health, "WARM_UP", 1)
    monkeypatch.setattr(health, "ALIKE", 1e9)
    first = train(train_params(steps=16), corpus, CPU).warnings
    assert len(first) == 1
    assert f"warning: {first[0]}" in capsys.readouterr().out
    assert train(train_params(steps=20), corpus, CPU).warnings == first
    assert "warning" not in capsys.readouterr().out


def test_a_row_is_of_the_samples_of_its_own_step(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[torch.Tensor, float]] = []
    drawn: dict[str, torch.Tensor] = {}

    def vitals(samples: torch.Tensor, real_distance: float) -> dict[str, float]:
        measured.append((samples.clone(), real_distance))
        return {}

    monkeypatch.setattr(health, "vitals", vitals)
    pictured: list[torch.Tensor] = []
    monkeypatch.setattr(Sampling, "picture", lambda self, samples: pictured.append(samples.clone()))
    monkeypatch.setattr(loop, "_save", lambda picture, path, _: drawn.update({path.name: pictured[-1]}))
    trained = train(train_params(steps=12, tick=4, sample_every=6), corpus, CPU)
    assert len(drawn) == len(measured) == 3
    at_4, at_12 = measured[0][0], measured[2][0]
    assert not torch.equal(at_4, drawn["samples-000000000.png"])
    assert not torch.equal(at_4, drawn["samples-000000006.png"])
    assert torch.equal(at_12, drawn["samples-000000012.png"])
    some = to_network(torch.from_numpy(corpus.pixels(np.arange(SAMPLE_COUNT)))).flatten(1)
    assert measured[0][1] == pytest.approx(float(torch.pdist(some).mean()))
    for row in trained.curves:
        assert row["gradient_ratio"] == pytest.approx(row["gradient_g"] / row["gradient_d"])


def saved_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Those at which a checkpoint is saved from now on, where none but the first is ever due."""
    steps: list[int] = []
    monkeypatch.setattr(loop, "SHARE_FOR_CHECKPOINTS", 1e-9)
    monkeypatch.setattr(checkpoint, "save", lambda folder, step, state: steps.append(step))
    return steps


def test_checkpoints_wait_but_the_last_is_always_made(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = saved_steps(monkeypatch)
    train(train_params(steps=20), corpus, CPU)
    assert steps == [4, 20]


def test_a_signal_saves_at_once(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(row: dict[str, float]) -> None:
        if row["step"] == 8:
            signal.raise_signal(signal.SIGTERM)

    steps = saved_steps(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(train_params(), corpus, CPU, stop)
    assert steps == [4, 9]


def test_a_signal_that_comes_with_the_first_picture_saves_too(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = saved_steps(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(train_params(), corpus, CPU, on_samples=lambda step, path: signal.raise_signal(signal.SIGTERM))
    assert steps == [1]


@pytest.mark.parametrize("gone", [True, False])
def test_a_picture_of_the_way_that_was_damaged_is_not_passed_on(gone: bool, corpus: Images) -> None:
    params = train_params(steps=12, sample_every=4)
    before = {step: path.read_bytes() for step, path in train(params, corpus, CPU).samples.items()}
    (path,) = Path(".ckpt/train").glob("*/samples-000000004.png")
    path.unlink()
    if not gone:
        path.write_bytes(before[4][:-1])
    with pytest.raises(UserError, match=rf"{path} is damaged or missing, .*: remove {path.parent}, and start again"):
        train(params, corpus, CPU)
    shutil.rmtree(path.parent)
    assert {step: path.read_bytes() for step, path in train(params, corpus, CPU).samples.items()} == before
