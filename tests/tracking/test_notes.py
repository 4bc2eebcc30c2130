import pytest

from ganpipe.tracking import notes

FIGURES = {
    "accuracy": 0.6483,
    "accuracy_low": 0.6389,
    "accuracy_high": 0.6576,
    "accuracy_random_init": 0.6016,
    "accuracy_pixels": 0.4101,
    "accuracy_validation": 0.647,
    "accuracy_validation_pixels": 0.4106,
}


def test_an_evaluation_is_a_line_with_its_controls() -> None:
    picture = " Picture: `cifar10/confusion.png`."
    line = notes.of_evaluation("cifar10", FIGURES)
    assert line == "**cifar10**: 64.8% on test (63.9% to 65.8%), untrained 60.2%, pixels 41.0%." + picture
    unseen = {name: value for name, value in FIGURES.items() if "validation" in name}
    assert notes.of_evaluation("cifar10", unseen) == "**cifar10**: 64.7% on validation, pixels 41.1%." + picture


def test_data_are_told_by_their_counts() -> None:
    assert notes.of_data("download", {"images": 1797, "rejected": 3}) == "1,797 images, 3 set aside."
    assert notes.of_data("preprocess", {"images": 5}) == "5 images."
    said = notes.of_data("dedupe", {"images": 10, "kept": 8, "radius": 25})
    assert said.startswith("8 of 10 images are kept, within 25 bits. Pictures: `duplicates/groups.png`;")


def test_a_training_is_told_by_its_config() -> None:
    train = {"network": "dcgan32", "width": 32, "steps": 4200, "batch_size": 64}
    config = {"train": train, "corpus": {"name": "cifar10", "title": "CIFAR-10", "images": 48993}}
    assert notes.of_training(config).startswith("dcgan32 of width 32, 4,200 steps of 64, on 48,993 images of CIFAR-10.")


@pytest.mark.parametrize(
    ("note", "after"),
    [
        ("", "**a**: 2"),
        ("A GAN.", "A GAN.\n\n**a**: 2"),
        ("A GAN.\n\n**a**: 1", "A GAN.\n\n**a**: 2"),
        ("A GAN.\n\n**a**: 1\n\n**ab**: 1", "A GAN.\n\n**ab**: 1\n\n**a**: 2"),
    ],
)
def test_a_line_takes_the_place_of_its_older_self(note: str, after: str) -> None:
    assert notes.with_line(note, "**a**: 2") == after
