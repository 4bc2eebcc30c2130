"""What goes wrong in a training, seen from its curves and told in plain words the moment it does."""

from collections.abc import Callable

import torch
from torch import Tensor

from ganpipe.training.curves import Row

WARM_UP = 10  # ticks in which nothing is said: every generator begins as a grey one
LASTING = 3  # ticks that something must hold for
ALIKE = 0.1  # of the distance between real images
SATURATED = 0.99  # of tanh's range
WON = 0.995  # of all images told right
STILL = 1e-6  # relative change of a loss
FADED = 1e-7  # norm of the generator's gradient


def vitals(samples: Tensor, real_distance: float) -> Row:
    """Of generated images (N, C, H, W): distance to each other against real ones', and share of saturated values."""
    return {
        "sample_distance": mean_distance(samples) / max(real_distance, 1e-12),
        "saturated": float((samples.abs() > SATURATED).float().mean()),
    }


def mean_distance(images: Tensor) -> float:
    """Mean Euclidean distance between two of `images` (N, C, H, W), N at least 2."""
    return float(torch.nn.functional.pdist(images.detach().float().flatten(1)).mean())


def symptoms(curves: list[Row]) -> dict[str, str]:
    """What is wrong at the last row, by a name that stays the same while it lasts."""
    if len(curves) < WARM_UP:
        return {}
    now, found = curves[-1], {}
    if (since := _since(curves, lambda row: row.get("sample_distance", 1) < ALIKE)) is not None:
        times = 1 / max(now["sample_distance"], 1e-9)
        found["collapsed"] = (
            f"the generator has collapsed: samples differ {times:,.0f} times less than real images since step {since:,}"
        )
    if (since := _since(curves, lambda row: row.get("saturated", 0) > 0.9)) is not None:
        found["saturated"] = (
            f"the generator is saturated: {now['saturated']:.0%} of its values are black or white since step {since:,}"
        )
    told = ("real_accuracy", "fake_accuracy")
    if (since := _since(curves, lambda row: all(row.get(name, 0) > WON for name in told))) is not None:
        found["won"] = (
            f"the discriminator has won: it tells {WON:.1%} of all images right since step {since:,}, so that the "
            "generator learns little"
        )
    if (since := _since(curves, lambda row: row.get("gradient_g", 1) < FADED)) is not None:
        found["faded"] = f"the generator's gradient has vanished: it is below {FADED} since step {since:,}"
    for name in ("loss_d", "loss_g"):
        values = [row[name] for row in curves[-LASTING - 1 :] if name in row]
        if len(values) > LASTING and max(values) - min(values) <= STILL * max(map(abs, values)):
            found[name] = f"{name} has not changed since step {int(curves[-LASTING - 1]['step']):,}: nothing is learned"
    return found


def _since(curves: list[Row], ill: Callable[[Row], bool]) -> int | None:
    """The step of the first row of the unbroken series of `ill` ones that ends here, where it is long enough."""
    start = len(curves)
    while start and ill(curves[start - 1]):
        start -= 1
    return int(curves[start]["step"]) if len(curves) - start >= LASTING else None


class Watch:
    """Follows the curves; `said` holds each symptom's sentence once for each time that it begins."""

    def __init__(self, curves: list[Row]) -> None:
        self.said: list[str] = []
        self._present: set[str] = set()
        for count in range(1, len(curves) + 1):
            self.look(curves[:count])

    def look(self, curves: list[Row]) -> list[str]:
        """What has begun with the last row."""
        present = symptoms(curves)
        begun = [sentence for name, sentence in present.items() if name not in self._present]
        self.said += begun
        self._present = set(present)
        return begun
