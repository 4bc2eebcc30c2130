from pathlib import Path

import pytest

from ganpipe.errors import UserError
from ganpipe.experiments import experiments, table

ONE_SET = """Experiment,rev,typ,accuracy,accuracy_validation,train.steps
,workspace,baseline,0.9,0.91,30
,main,baseline,0.9,0.91,30
longer,1a2b3c4,branch_commit,,0.925,300
"""
TWO_SETS = """Experiment,rev,typ,metrics/evaluate/svhn.json:accuracy,metrics/evaluate/digits.json:accuracy_random_init,\
metrics/evaluate/digits.json:accuracy,params.yaml:evaluate.datasets
,workspace,baseline,!,0.5,0.75,"[digits, svhn]"
"""


def test_a_line_each_with_what_differs_and_the_accuracies() -> None:
    assert table(ONE_SET).splitlines() == [
        "           train.steps  validation  test",
        "workspace  30           91.00%      90.00%",
        "main       30           91.00%      90.00%",
        "longer     300          92.50%",
    ]


def test_sets_are_told_apart_and_what_dvc_could_not_read_is_shown_as_it_says() -> None:
    head, line = table(TWO_SETS).splitlines()
    assert head.split() == ["evaluate.datasets", "digits", "test", "digits", "untrained", "svhn", "test"]
    assert line.split() == ["workspace", "[digits,", "svhn]", "75.00%", "50.00%", "!"]


def test_long_and_hostile_names_stay_in_their_cell() -> None:
    lines = table(ONE_SET.replace("longer", "\x1b[31m" + "x" * 500)).splitlines()
    assert max(map(len, lines)) < 80 and "\x1b" not in "".join(lines)


def test_outside_a_project_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`dvc exp show` failed in .*not inside of a DVC repository"):
        experiments()


def test_where_nothing_was_tried_there_is_what_was_committed() -> None:
    assert table("rev,accuracy\nworkspace,0.5\nmain,0.5\n").splitlines()[1:] == [
        "workspace  50.00%",
        "main       50.00%",
    ]
    assert table("") == ""
