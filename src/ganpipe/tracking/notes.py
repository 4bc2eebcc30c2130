"""What a person reads first on a run's page: a sentence or two, with the name of the picture to look at."""

from collections.abc import Mapping
from typing import Any

NOTE = "mlflow.note.content"  # the tag that a run's page shows as its description


def of_training(config: Mapping[str, Any]) -> str:
    """Of a GAN, by the config beside its weights."""
    train, corpus = config["train"], config["corpus"]
    return (
        f"{train['network']} of width {train['width']}, {train['steps']:,} steps of {train['batch_size']}, on "
        f"{corpus['images']:,} images of {corpus.get('title') or corpus.get('name')}. Pictures: `gan/samples` "
        "under Artifacts; beside those of others in the view *Which training is better*."
    )


def of_evaluation(name: str, figures: Mapping[str, Any]) -> str:
    """Of the measurement on one set, with its controls, in one line."""
    kind = "accuracy" if "accuracy" in figures else "accuracy_validation"
    parts = [f"**{name}**: {figures[kind]:.1%} on {'test' if kind == 'accuracy' else 'validation'}"]
    if "accuracy_low" in figures:
        parts[0] += f" ({figures['accuracy_low']:.1%} to {figures['accuracy_high']:.1%})"
    for control, suffix in (("untrained", "_random_init"), ("pixels", "_pixels"), ("supervised", "_supervised")):
        if kind + suffix in figures:
            parts.append(f"{control} {figures[kind + suffix]:.1%}")
    return ", ".join(parts) + f". Picture: `{name}/confusion.png`."


def of_data(stage: str, figures: Mapping[str, Any]) -> str:
    """Of a stage that makes data, by its counts."""
    if stage == "dedupe":
        left = f"{figures['kept']:,} of {figures['images']:,} images are kept"
        return f"{left}, within {figures['radius']} bits. Pictures: `duplicates/groups.png`; `deduped/review.html`."
    rejected = figures.get("rejected", 0)
    if "numbers" in figures:
        return f"{figures['numbers']:,} numbers."
    return f"{figures['images']:,} images" + (f", {rejected:,} set aside." if rejected else ".")


def with_line(note: str, line: str) -> str:
    """The note with that line, in place of an older one that begins with the same word."""
    word = line.split(":", 1)[0] + ":"
    kept = [each for each in note.split("\n\n") if each and not each.startswith(word)]
    return "\n\n".join([*kept, line])
