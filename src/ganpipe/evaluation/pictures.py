"""Pictures and tables of an evaluation: confusion matrix, confident mistakes, bars, and the tables for DVC's plots."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ganpipe import files
from ganpipe.corpus.images import grid
from ganpipe.evaluation.report import Evaluation

MISTAKES, CELL, MARGIN = 40, 56, 110
BAR, BARS_WIDTH, BARS_MARGIN = 26, 520, 130
BLUE, GREY = (8, 64, 129), (170, 180, 190)
LARGEST = 100 * CELL  # pixels of the confusion matrix; with more classes its cells are smaller, and not inscribed


def save_pictures(evaluation: Evaluation, folder: Path) -> None:
    """Write the pictures, and as tables each image's class and prediction, the bars, and the accuracy by step."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {"confusion": confusion_picture, "mistakes": mistakes_picture, "bars": bars_picture}
    for name, picture in pictures.items():
        with files.atomic(folder / f"{name}.png") as draft:
            picture(evaluation).save(draft, "PNG")
    names, answers = np.array(evaluation.classes), evaluation.answers
    tables: dict[str, tuple[list[str], Iterable[tuple[Any, ...]]]] = {
        "predictions": (["actual", "predicted"], zip(names[answers.truth], names[answers.predicted], strict=True)),
        "classes": (["class", "accuracy", "low", "high"], [(name, *of) for name, of in evaluation.by_class.items()]),
        "representations": (["features", "accuracy_validation"], evaluation.bars.items()),
        "steps": (["step", "accuracy_validation"], evaluation.curve.items()),
    }
    for name, (header, rows) in tables.items():
        with files.atomic(folder / f"{name}.csv") as draft, draft.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([header, *rows])


def confusion(evaluation: Evaluation) -> np.ndarray:
    """Images by true (row) and predicted (column) class, int64."""
    count = len(evaluation.classes)
    flat = np.bincount(evaluation.answers.truth * count + evaluation.answers.predicted, minlength=count * count)
    return flat.reshape(count, count)


def confusion_picture(evaluation: Evaluation) -> Image.Image:
    """The confusion matrix: shares of each true class in per cent, the darker the more."""
    matrix = confusion(evaluation)
    shares = matrix / matrix.sum(1, keepdims=True).clip(1)
    count = len(matrix)
    cell = min(CELL, max(2, LARGEST // count))
    canvas = Image.new("RGB", (MARGIN + count * cell + 10, MARGIN + count * cell + 10), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(15)
    draw.text((8, 8), "true \\ predicted, %", fill="gray", font=ImageFont.load_default(12))
    for row, name in enumerate(evaluation.classes):
        if cell == CELL:
            place = MARGIN + row * CELL
            draw.text((MARGIN - 8, place + CELL / 2), name, fill="black", font=font, anchor="rm")
            upright = Image.new("L", (MARGIN - 30, CELL), 0)
            ImageDraw.Draw(upright).text((4, CELL / 2), name, fill=255, font=font, anchor="lm")
            turned = upright.rotate(90, expand=True)
            canvas.paste("black", (place, 26), turned)
        for column in range(count):
            share = float(shares[row, column])
            left, top = MARGIN + column * cell, MARGIN + row * cell
            shade = tuple(round(255 + (deep - 255) * share**0.6) for deep in BLUE)
            draw.rectangle((left, top, left + cell - 2, top + cell - 2), fill=shade)
            if cell == CELL:
                ink = "white" if share > 0.35 else "black"
                draw.text((left + CELL / 2, top + CELL / 2), f"{100 * share:.0f}", fill=ink, font=font, anchor="mm")
    return canvas


def mistakes_picture(evaluation: Evaluation) -> Image.Image:
    """The images that were misclassified most confidently, under what they are and what the machine said."""
    scores = evaluation.answers.scores
    if scores.shape[1] == 1:
        scores = np.concatenate([-scores, scores], axis=1)
    truth, predicted = evaluation.answers.truth, evaluation.answers.predicted
    margin = scores[np.arange(len(truth)), predicted] - scores[np.arange(len(truth)), truth]
    worst = np.argsort(-margin, kind="stable")[:MISTAKES]
    worst = worst[predicted[worst] != truth[worst]]
    columns, scale, caption = 8, 3, 34
    side = evaluation.pixels.shape[1] * scale
    rows = max(1, -(-len(worst) // columns))
    canvas = Image.new("RGB", (columns * (side + 8) + 8, rows * (side + caption + 8) + 8), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for place, index in enumerate(worst):
        left, top = 8 + place % columns * (side + 8), 8 + place // columns * (side + caption + 8)
        canvas.paste(grid(evaluation.pixels[index : index + 1], 1, scale, gap=0), (left, top + caption))
        draw.text((left, top), f"is {evaluation.classes[truth[index]]}", fill="black", font=font)
        draw.text((left, top + 16), f"said {evaluation.classes[predicted[index]]}", fill="firebrick", font=font)
    return canvas


def bars_picture(evaluation: Evaluation) -> Image.Image:
    """Accuracies on the validation part: of the discriminator, its layers where they were measured, its controls."""
    bars = evaluation.bars
    canvas = Image.new("RGB", (BARS_MARGIN + BARS_WIDTH + 70, 40 + len(bars) * BAR), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    draw.text((8, 8), "accuracy on validation, %, by what the linear SVM is given", fill="gray", font=font)
    for row, (name, accuracy) in enumerate(bars.items()):
        top = 34 + row * BAR
        draw.text((BARS_MARGIN - 8, top + BAR / 2 - 3), name, fill="black", font=font, anchor="rm")
        end = BARS_MARGIN + round(BARS_WIDTH * accuracy)
        draw.rectangle((BARS_MARGIN, top, end, top + BAR - 6), fill=BLUE if name == "trained" else GREY)
        draw.text((end + 6, top + BAR / 2 - 3), f"{100 * accuracy:.1f}", fill="black", font=font, anchor="lm")
    return canvas
