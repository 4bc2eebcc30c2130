"""Intervals of shares that were counted."""

import math

Z = 1.96  # standard deviations: 95 %


def wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share of `count` independent trials, at least 1: Wilson 1927, without continuity correction.

    It holds `share` and stays within [0, 1].
    """
    z2 = Z**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    spread = Z / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    # At a share of 0 or 1 one end is the share itself, but for rounding.
    return max(0.0, min(float(share), centre - spread)), min(1.0, max(float(share), centre + spread))
