"""`keep.parquet`: what dedupe decided, a row an image.

Its columns are index, cluster, representative (-1 for one removed for a test image), distance (bits), kept, and leak:
the test image that it is removed for, as "cifar10 test #123", else null.
"""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from ganpipe.errors import UserError

KEEP = "keep.parquet"


def read_kept(folder: Path) -> np.ndarray:
    """The indices that are kept, int64, ascending."""
    try:
        table = pq.read_table(folder / KEEP, columns=["index", "kept"])
    except FileNotFoundError:
        raise UserError(f"{folder / KEEP} is missing: `dvc repro dedupe` makes it") from None
    kept: np.ndarray = table["index"].to_numpy()[table["kept"].to_numpy()]
    return kept
