from pathlib import Path

import pytest
import torch

from ganpipe.training.curves import Means, latest, write_csv


def test_means_are_of_what_was_added_since_the_last() -> None:
    means = Means()
    for value in (1.0, 2.0, 6.0):
        means.add({"loss_d": torch.tensor(value)})
    means.add({"loss_g": torch.tensor(5.0)})
    assert means.take() == {"loss_d": 3.0, "loss_g": 5.0}
    assert means.take() == {}


def test_a_copy_made_of_the_state_goes_on_alike() -> None:
    means = Means()
    means.add({"loss_d": torch.tensor(1.0)})
    copy = Means(means.state())
    for each in (means, copy):
        each.add({"loss_d": torch.tensor(2.0)})
    assert means.take() == copy.take() == {"loss_d": 1.5}


def test_the_latest_values_are_of_every_column_that_was_ever_seen() -> None:
    rows = [{"step": 4.0, "loss_d": 1.0, "loss_g": 2.0}, {"step": 5.0, "loss_g": 3.0}]
    assert latest(rows) == {"step": 5.0, "loss_d": 1.0, "loss_g": 3.0}


def test_csv_keeps_every_digit_and_leaves_gaps_empty() -> None:
    value = 0.1 + 0.2
    write_csv(Path("plots/curve.csv"), [{"step": 2, "loss_d": value}, {"step": 4, "loss_d": 1.0, "loss_g": 0.5}])
    header, first, second = Path("plots/curve.csv").read_text().splitlines()
    assert header == "step,loss_d,loss_g"
    assert first == f"2,{value!r},"
    assert float(first.split(",")[1]) == pytest.approx(value, abs=0)
    assert second == "4,1.0,0.5"


def test_looking_takes_nothing_and_a_state_does_not_follow() -> None:
    means = Means()
    means.add({"loss_d": torch.tensor(1.0)})
    held = means.state()
    means.add({"loss_d": torch.tensor(2.0)})
    assert means.peek() == means.peek() == {"loss_d": 1.5}
    means.take()
    assert Means(held).peek() == {"loss_d": 1.0}


def test_steps_in_a_csv_are_whole() -> None:
    write_csv(Path("curve.csv"), [{"step": 2.0}])
    assert Path("curve.csv").read_text().splitlines()[1] == "2"
