from pathlib import Path

import pytest
import torch
from torch import nn

from ganpipe.corpus.shards import Images
from ganpipe.models.store import kept_folders, load
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support.settings import train_params

CPU = torch.device("cpu")


def same(one: nn.Module, two: nn.Module) -> bool:
    mine, theirs = one.state_dict(), two.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("changes", [{"average": 0.9}, {"normalisation": "spectral", "rotation": 1.0}])
def test_a_kept_one_is_what_a_training_of_so_many_steps_ends_with(
    changes: dict[str, object], corpus: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    params = train_params(steps=20, keep_every=6, **changes)
    save(train(params, corpus, CPU), params, corpus, tmp_path / "gan")
    folders = kept_folders(tmp_path / "gan")
    assert sorted(folders) == [6, 12, 18]
    for step, folder in folders.items():
        (tmp_path / str(step)).mkdir()
        monkeypatch.chdir(tmp_path / str(step))
        short = train(train_params(steps=step, **changes), corpus, CPU)
        for name, network in short.networks.items():
            kind, _, average = name.partition("_")
            assert same(load(folder, kind, CPU, average=bool(average)), network)


def test_a_longer_training_has_those_of_the_shorter_one_that_it_continues(corpus: Images) -> None:
    train(train_params(steps=12, keep_every=6), corpus, CPU)
    longer = train(train_params(steps=20, keep_every=6), corpus, CPU).kept
    assert sorted(longer) == [6, 12, 18]
    assert longer[6].read_bytes() != longer[12].read_bytes()


@pytest.mark.parametrize("flipped", [True, False])
def test_a_damaged_one_does_not_lose_the_training(
    flipped: bool, corpus: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    params = train_params(steps=20, keep_every=6)
    train(params, corpus, CPU)
    (path,) = Path(".ckpt/train").glob("*/kept-000000012.safetensors")
    held = path.read_bytes()
    path.write_bytes(held[:-1] + bytes([held[-1] ^ 1]) if flipped else held[:1000])
    assert sorted(train(params, corpus, CPU).kept) == [6, 18]
    assert f"{path.name} is missing or damaged" in capsys.readouterr().out


def test_none_are_kept_unless_asked_for(corpus: Images) -> None:
    params = train_params(steps=4)
    save(train(params, corpus, CPU), params, corpus, Path("gan"))
    assert kept_folders(Path("gan")) == {}
