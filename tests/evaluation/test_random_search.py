from pathlib import Path

import numpy as np
import pytest

from ganpipe.evaluation.random_search import OPTIONS, Journal, Setting, setting_of


def test_settings_are_drawn_over_their_whole_range() -> None:
    drawn = [setting_of(seed, trial) for seed in range(2) for trial in range(200)]
    assert len(set(drawn)) == 400
    for name, low, high in (("learning_rate", 1e-4, 1e-2), ("weight_decay", 1e-6, 1e-2)):
        values = np.log([setting._asdict()[name] for setting in drawn])
        share = (values - np.log(low)) / np.log(high / low)
        assert 0 <= share.min() < 0.05 and 0.95 < share.max() <= 1
        assert share.mean() == pytest.approx(0.5, abs=0.05)  # as many in each decade
    for name in ("beta1", "batch_size", "dropout", "flip", "shift", "length"):
        counts = np.unique([setting._asdict()[name] for setting in drawn], return_counts=True)[1]
        assert len(counts) > 1 and counts.min() > 0.7 * 400 / len(counts)
    assert tuple(OPTIONS) == Setting._fields


def test_a_journal_without_a_file_is_empty(tmp_path: Path) -> None:
    assert not Journal(tmp_path / "none.jsonl").rows
