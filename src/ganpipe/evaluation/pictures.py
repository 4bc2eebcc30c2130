"""Pictures and tables of an evaluation: the confusion matrix and the most confident mistakes."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganpipe import files
from ganpipe.corpus.images import grid
from ganpipe.evaluation.report import Evaluation

MISTAKES, CELL, MARGIN = 40, 56, 110


def save_pictures(evaluation: Evaluation, folder: Path) -> None:
    """Write `confusion.png`, `mistakes.png` and `predictions.csv`, the class and prediction of each test image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in (("confusion", confusion_picture(evaluation)), ("mistakes", mistakes_picture(evaluation))):
        with files.atomic(folder / f"{name}.png") as draft:
            picture.save(draft, "PNG")
    names = np.array(evaluation.classes)
    pairs = zip(names[evaluation.truth], names[evaluation.trained.predicted], strict=True)
    with files.atomic(folder / "predictions.csv") as draft:
        draft.write_text("actual,predicted\n" + "".join(f"{actual},{predicted}\n" for actual, predicted in pairs))


def confusion(evaluation: Evaluation) -> np.ndarray:
    """Test images by true (row) and predicted (column) class, int64."""
    count = len(evaluation.classes)
    flat = np.bincount(evaluation.truth * count + evaluation.trained.predicted, minlength=count * count)
    return flat.reshape(count, count)


def confusion_picture(evaluation: Evaluation) -> Image.Image:
    """The confusion matrix: shares of each true class in per cent, the darker the more."""
    matrix = confusion(evaluation)
    shares = matrix / matrix.sum(1, keepdims=True).clip(1)
    count = len(matrix)
    canvas = Image.new("RGB", (MARGIN + count * CELL + 10, MARGIN + count * CELL + 10), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    draw.text((8, 8), "true \\ predicted, %", fill="gray", font=ImageFont.load_default(12))
    for row, name in enumerate(evaluation.classes):
        place = MARGIN + row * CELL
        draw.text((MARGIN - 8, place + CELL / 2), name, fill="black", font=font, anchor="rm")
        upright = Image.new("L", (MARGIN - 30, CELL), 0)
        ImageDraw.Draw(upright).text((4, CELL / 2), name, fill=255, font=font, anchor="lm")
        turned = upright.rotate(90, expand=True)
        canvas.paste("black", (place, 26), turned)
        for column in range(count):
            share = float(shares[row, column])
            left, top = MARGIN + column * CELL, MARGIN + row * CELL
            shade = tuple(round(255 + (deep - 255) * share**0.6) for deep in (8, 64, 129))
            draw.rectangle((left, top, left + CELL - 2, top + CELL - 2), fill=shade)
            ink = "white" if share > 0.35 else "black"
            draw.text((left + CELL / 2, top + CELL / 2), f"{100 * share:.0f}", fill=ink, font=font, anchor="mm")
    return canvas


def mistakes_picture(evaluation: Evaluation) -> Image.Image:
    """The test images that were misclassified most confidently, under what they are and what the machine said."""
    scores = evaluation.trained.scores
    if scores.shape[1] == 1:
        scores = np.concatenate([-scores, scores], axis=1)
    truth, predicted = evaluation.truth, evaluation.trained.predicted
    margin = scores[np.arange(len(truth)), predicted] - scores[np.arange(len(truth)), truth]
    worst = np.argsort(-margin, kind="stable")[:MISTAKES]
    worst = worst[predicted[worst] != truth[worst]]
    columns, scale, caption = 8, 3, 34
    side = evaluation.test_pixels.shape[1] * scale
    rows = max(1, -(-len(worst) // columns))
    canvas = Image.new("RGB", (columns * (side + 8) + 8, rows * (side + caption + 8) + 8), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for place, index in enumerate(worst):
        left, top = 8 + place % columns * (side + 8), 8 + place // columns * (side + caption + 8)
        canvas.paste(grid(evaluation.test_pixels[index : index + 1], 1, scale, gap=0), (left, top + caption))
        draw.text((left, top), f"is {evaluation.classes[truth[index]]}", fill="black", font=font)
        draw.text((left, top + 16), f"said {evaluation.classes[predicted[index]]}", fill="firebrick", font=font)
    return canvas
