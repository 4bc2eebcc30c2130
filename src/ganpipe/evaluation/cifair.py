"""CIFAR's test images that have duplicates among the training images, as ciFAIR lists them (Barz and Denzler, 2020).

The list is `meta/duplicates_cifar10.csv` of the repository cvjena/cifair (`duplicates_cifar10_test.csv` beside it is of
pairs within the test set). A person judged each pair: 0 is an exact duplicate, 1 the same shot processed otherwise, 2
very similar. ciFAIR replaced the test images of all three kinds.
"""

import csv
import math
import re
from pathlib import Path

import numpy as np

from ganpipe.errors import UserError

COLUMNS = ["TestID", "TrainID", "Distance", "Judgment"]
JUDGMENTS = ("0", "1", "2")


def clean_rows(path: Path, count: int) -> np.ndarray:
    """Those of a test set's `count` rows, from 0, that the list names in no pair; int64, ascending."""
    clean = np.ones(count, bool)
    try:
        # What is not ASCII is replaced, and then refused at its line.
        with path.open(encoding="ascii", errors="replace", newline="") as file:
            rows = csv.reader(file, strict=True)
            try:
                if next(rows, None) != COLUMNS:
                    raise ValueError(f"the columns are not {', '.join(COLUMNS)}")
                for row in rows:
                    clean[_test_image(row, count)] = False
            except (ValueError, csv.Error) as error:
                line = max(1, rows.line_num)
                raise UserError(f"{path}, line {line}: {error}: this is not ciFAIR's list of duplicates") from None
    except OSError as error:
        raise UserError(f"evaluate.duplicates is {path}, which cannot be read: {error.strerror}") from None
    return np.flatnonzero(clean)


def _test_image(row: list[str], count: int) -> int:
    """The test image of a pair; a ValueError where the row is none."""
    if len(row) != len(COLUMNS):
        raise ValueError(f"{len(row)} values stand there, not {len(COLUMNS)}")
    test, train, distance, judgment = row
    for name, value in zip(COLUMNS, (test, train), strict=False):
        if not re.fullmatch("[0-9]{1,9}", value):
            raise ValueError(f"{name} is {value[:20]!r}, not a number from 0")
    if int(test) >= count:
        raise ValueError(f"TestID is {test}, but there are {count:,} test images")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?", distance) or not math.isfinite(float(distance)):
        raise ValueError(f"Distance is {distance[:20]!r}, not a number from 0")
    if judgment not in JUDGMENTS:
        raise ValueError(f"Judgment is {judgment[:20]!r}, not one of {', '.join(JUDGMENTS)}")
    return int(test)
