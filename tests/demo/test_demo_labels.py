"""The colours of the twelve labels, in `labels.js`, against the real label images."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganpipe.demo.app import PAGE

FACADES = Path(__file__).resolve().parents[3] / "shared/data/facades/val"
NAMES = [
    "background", "facade", "window", "door", "cornice", "sill",
    "balcony", "blind", "deco", "molding", "pillar", "shop",
]  # fmt: skip


def labels() -> dict[str, tuple[int, int, int]]:
    entry = re.compile(r'\["(\w+)", \[(\d+), (\d+), (\d+)\]\]')
    return {name: (int(r), int(g), int(b)) for name, r, g, b in entry.findall((PAGE / "labels.js").read_text())}


def test_they_are_cmps_twelve_in_its_order() -> None:
    assert list(labels()) == NAMES


@pytest.mark.skipif(not FACADES.is_dir(), reason="needs the facades of ../shared")
def test_the_flat_areas_of_real_label_images_have_these_colours() -> None:
    colours = np.array(list(labels().values()))
    frequent = np.zeros(len(colours), int)
    near = total = 0
    for path in sorted(FACADES.glob("*.jpg"))[:30]:
        whole = np.asarray(Image.open(path).convert("RGB"))[:, 256:].astype(int)
        middle = whole[2:-2, 2:-2]
        around = (whole[4:, 2:-2], whole[:-4, 2:-2], whole[2:-2, 4:], whole[2:-2, :-4])
        # On edges JPEG and scaling mix two of them.
        pixels = middle[np.all([np.abs(middle - other).max(2) <= 2 for other in around], axis=0)]
        apart = np.abs(pixels[:, None] - colours).max(2)
        near, total = near + (apart.min(1) <= 24).sum(), total + len(pixels)
        frequent += (apart == 0).sum(0)
    assert near / total > 0.999
    assert (frequent > 50).all()
