"""Pictures made of rows of images, which say what they show."""

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganpipe.corpus.images import grid

ENLARGED = 2  # times, of every picture
LETTERS, LINE = 12, 18  # pixels, of a title's letters and of its line


def table(rows: Iterable[Iterable[np.ndarray | None]], title: str) -> Image.Image:
    """Images, each uint8 (H, W, 3) of one size, as rows that may differ in length; None leaves a cell white."""
    held = [list(row) for row in rows]
    columns = max(map(len, held))
    shape = next(cell.shape for row in held for cell in row if cell is not None)
    blank = np.full(shape, 255, np.uint8)
    cells = [blank if cell is None else cell for row in held for cell in (*row, *[None] * (columns - len(row)))]
    return _titled(grid(np.stack(cells), columns, ENLARGED), title)


def _titled(picture: Image.Image, title: str) -> Image.Image:
    font = ImageFont.load_default(LETTERS)
    wide = max(picture.width, int(font.getlength(title)) + 5)
    canvas = Image.new("RGB", (wide, picture.height + LINE), "white")
    ImageDraw.Draw(canvas).text((2, 1), title, "black", font)
    canvas.paste(picture, (0, LINE))
    return canvas
