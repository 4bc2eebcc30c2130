"""One training shared by several processes, under the real torchrun, over gloo."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganpipe.corpus.shards import Images
from ganpipe.models.store import load_discriminator, load_generator
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support.settings import train_params
from support.smooth import smooth

CPU = torch.device("cpu")
PROGRAM = """
import os, sys
from pathlib import Path
import torch
from ganpipe.corpus.shards import Images
from ganpipe.errors import entry
from ganpipe.runtime import joined, world
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support.settings import train_params
from support.smooth import smooth

@entry
def main():
    home = Path.cwd()
    if sys.argv[5] == "True":
        smooth(setattr)
    images, device = Images(Path(sys.argv[1])), torch.device("cpu")
    Path(f"pid-{world()[0]}").write_text(str(os.getpid()))
    with joined(device):
        for seed in range(int(sys.argv[4])):
            params = train_params(steps=int(sys.argv[2]), seed=seed, **eval(sys.argv[3]))
            trained = train(params, images, device)
            if world()[0] == 0:
                save(trained, params, images, Path(f"shared-{seed}"))
    threads = [thread.read_text().strip() for thread in Path("/proc/self/task").glob("*/comm")]
    (home / f"left-{world()[0]}").write_text(" ".join(name for name in threads if "gloo" in name))
main()
"""


def launched(
    corpus: Images, steps: int, changes: dict[str, object] | str, seeds: int = 1, smoothly: bool = False
) -> subprocess.Popen[str]:
    """Two processes of PROGRAM; `changes` of the settings may be an expression, which each of them evaluates."""
    Path("program.py").write_text(PROGRAM)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "program.py"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [
            *torchrun,
            str(corpus.folder),
            str(steps),
            changes if isinstance(changes, str) else repr(changes),
            str(seeds),
            str(smoothly),
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_processes_train_what_one_does(corpus: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    # With all that is drawn, differentiated twice or averaged, for any of it could be of half the batch only.
    changes = {"updates": "simultaneous", "r1": 1.0, "rotation": 1.0, "augment": "diffaugment", "average": 0.9}
    steps, seeds = 6, 2
    shared = launched(corpus, steps, changes, seeds, smoothly=True)
    smooth(monkeypatch.setattr)
    assert shared.wait(timeout=120) == 0, shared.stdout and shared.stdout.read()
    for seed in range(seeds):
        params = train_params(steps=steps, seed=seed, **changes)
        save(train(params, corpus, CPU), params, corpus, Path("alone"))
        for load in (load_generator, load_discriminator):
            assert same(load, Path("alone"), Path(f"shared-{seed}"))
    # A thread that still held a tensor would abort the process while the interpreter goes down.
    assert [Path(f"left-{rank}").read_text() for rank in (0, 1)] == ["", ""]


def test_a_training_goes_on_in_another_number_of_processes(
    corpus: Images, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    smooth(monkeypatch.setattr)
    changes = {"updates": "simultaneous", "augment": "diffaugment", "average": 0.9}
    for steps in (2, 6):  # by two, from 2 to 4 by one, and on by two
        shared = launched(corpus, steps, changes, smoothly=True)
        assert shared.wait(timeout=120) == 0, shared.stdout and shared.stdout.read()
        if steps == 2:
            train(train_params(steps=4, seed=0, **changes), corpus, CPU)
            assert "continuing at step 2 of 4" in capsys.readouterr().out
    assert shared.stdout is not None and "continuing at step 4 of 6" in shared.stdout.read()
    shutil.rmtree(".ckpt")
    params = train_params(steps=6, seed=0, **changes)
    save(train(params, corpus, CPU), params, corpus, Path("alone"))
    for load in (load_generator, load_discriminator):
        assert same(load, Path("alone"), Path("shared-0"), slack=1e-6)


def test_hosts_need_no_folder_in_common(corpus: Images) -> None:
    own = "f'host-{world()[0]}'"
    job = launched(corpus, 2, f"(os.makedirs({own}), os.chdir({own})) and {{}}")
    said, _ = job.communicate(timeout=120)
    assert job.returncode == 0, said
    assert Path("host-0/shared-0/generator.safetensors").is_file()
    assert not any(Path("host-1").iterdir())


def test_processes_that_would_not_train_the_same_are_refused(corpus: Images) -> None:
    job = launched(corpus, 2, "{'r1': float(world()[0])}")
    said, _ = job.communicate(timeout=120)
    assert job.returncode != 0
    assert "the 2 processes do not train the same as the first one, process 1 differs in r1" in said
    assert not list(Path(".ckpt").glob("train/*/step-*"))


@torch.no_grad()
def same(load: Callable[[Path, torch.device], torch.nn.Module], one: Path, two: Path, slack: float = 0) -> bool:
    """To rounding, and `slack` for what is near 0, as biases are.

    Adam makes a whole step of the sign of a gradient near 0, so a few weights may differ more.
    """
    states = (load(folder, CPU).state_dict().values() for folder in (one, two))  # frozen statistics among them
    pairs = zip(*states, strict=True)
    return all(float((a - b).norm()) < 1e-4 * float(a.norm()) + slack for a, b in pairs)


def test_a_killed_process_ends_the_job_with_a_sentence_and_it_resumes(corpus: Images) -> None:
    steps = 4000
    job = launched(corpus, steps, {})
    deadline = time.monotonic() + 60
    while not list(Path(".ckpt").glob("train/*/step-*.pt")):
        assert job.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(Path("pid-1").read_text()), signal.SIGKILL)
    said, _ = job.communicate(timeout=60)
    assert job.returncode != 0
    assert "give the same command again to continue" in said
    again = launched(corpus, steps, {})
    assert again.stdout is not None
    for line in again.stdout:
        if "continuing at step" in line:
            break
    else:
        pytest.fail("it did not continue")
    again.terminate()  # torchrun passes it on, and all processes agree on a step to stop after
    again.communicate(timeout=30)
