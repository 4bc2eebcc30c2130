from pathlib import Path

import pytest
import torch

from ganpipe.corpus.shards import Images
from ganpipe.models.dcgan import Discriminator
from ganpipe.models.store import kept_folders, load_discriminator
from ganpipe.training.loop import train
from ganpipe.training.results import save
from support.settings import train_params

CPU = torch.device("cpu")


def same(one: Discriminator, two: Discriminator) -> bool:
    mine, theirs = one.state_dict(), two.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("changes", [{"average": 0.9}, {"normalisation": "spectral", "rotation": 1.0}])
def test_a_kept_one_is_what_a_training_of_so_many_steps_ends_with(
    changes: dict[str, object], corpus: Images, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept = train(train_params(steps=20, keep_every=6, **changes), corpus, CPU).kept
    assert sorted(kept) == [6, 12, 18]
    for step, networks in kept.items():
        (tmp_path / str(step)).mkdir()
        monkeypatch.chdir(tmp_path / str(step))
        short = train(train_params(steps=step, **changes), corpus, CPU)
        assert same(networks["discriminator"], short.discriminator)
        assert ("discriminator_average" in networks) == (short.discriminator_average is not None)
        if short.discriminator_average is not None:
            assert same(networks["discriminator_average"], short.discriminator_average)


def test_a_longer_training_has_those_of_the_shorter_one_that_it_continues(corpus: Images) -> None:
    train(train_params(steps=12, keep_every=6), corpus, CPU)
    longer = train(train_params(steps=20, keep_every=6), corpus, CPU).kept
    assert sorted(longer) == [6, 12, 18]
    assert not same(longer[6]["discriminator"], longer[12]["discriminator"])


def test_each_is_saved_as_a_model_of_its_own(corpus: Images) -> None:
    params = train_params(steps=20, keep_every=6, average=0.9)
    trained = train(params, corpus, CPU)
    save(trained, params, corpus, Path("gan"))
    folders = kept_folders(Path("gan"))
    assert sorted(folders) == [6, 12, 18]
    for step, folder in folders.items():
        for average, name in ((False, "discriminator"), (True, "discriminator_average")):
            assert same(load_discriminator(folder, CPU, average), trained.kept[step][name])


def test_none_are_kept_unless_asked_for(corpus: Images) -> None:
    params = train_params(steps=4)
    save(train(params, corpus, CPU), params, corpus, Path("gan"))
    assert kept_folders(Path("gan")) == {}
