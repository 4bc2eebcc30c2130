"""Where numbers lie: generated ones as bars, real ones as a line around them."""

import numpy as np
from PIL import Image, ImageDraw

BINS, WIDE, HIGH, FOOT = 60, 8, 240, 20  # bins; pixels of a bar, of the tallest one, and below them
GENERATED, REAL = (143, 170, 220), (32, 32, 32)


def histogram(generated: np.ndarray, real: np.ndarray) -> Image.Image:
    """Of two samples (n,), over the range of the real ones and a quarter of it to either side."""
    low, high = float(real.min()), float(real.max())
    margin = (high - low) / 4 or 1.0
    edges = np.linspace(low - margin, high + margin, BINS + 1)
    shares = [np.histogram(values.clip(edges[0], edges[-1]), edges)[0] / len(values) for values in (generated, real)]
    scale = HIGH / max(share.max() for share in shares)
    canvas = Image.new("RGB", (BINS * WIDE, HIGH + FOOT), "white")
    draw = ImageDraw.Draw(canvas)
    outline: list[tuple[float, float]] = []
    for place, (made, true) in enumerate(zip(*shares, strict=True)):
        left, right = place * WIDE, (place + 1) * WIDE
        draw.rectangle((left, HIGH - made * scale, right - 1, HIGH), fill=GENERATED)
        outline += [(left, HIGH - true * scale), (right, HIGH - true * scale)]
    draw.line(outline, fill=REAL, width=2)
    for value in (low, (low + high) / 2, high):
        place = (value - edges[0]) / (edges[-1] - edges[0]) * BINS * WIDE
        draw.text((place - 10, HIGH + 4), f"{value:.1f}", fill=REAL)
    return canvas
