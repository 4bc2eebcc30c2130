import shutil
from pathlib import Path

import pytest
import torch

import ganpipe
from ganpipe.training import checkpoint

FOLDER = Path("work")


def test_the_newest_that_is_not_too_late_is_found() -> None:
    for step in (5, 10):
        checkpoint.save(FOLDER, step, {"weights": torch.full((3,), float(step))})
    for up_to, expected in ((100, 10), (10, 10), (9, 5)):
        found = checkpoint.latest(FOLDER, up_to)
        assert found is not None
        assert found[0] == expected
        assert torch.equal(found[1]["weights"], torch.full((3,), float(expected)))
    assert checkpoint.latest(FOLDER, 4) is None


def test_old_ones_are_removed() -> None:
    for step in range(6):
        checkpoint.save(FOLDER, step, {})
    assert [path.name[5:14] for path in sorted(FOLDER.glob("*"))] == ["000000004", "000000005"]


def test_those_of_a_longer_training_stay() -> None:
    for step in (100, 110, 120, 5, 10, 15):
        checkpoint.save(FOLDER, step, {})
    assert [int(path.name[5:14]) for path in sorted(FOLDER.glob("*"))] == [10, 15, 110, 120]
    found = checkpoint.latest(FOLDER, 50)
    assert found is not None and found[0] == 15


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_one_is_named_and_the_one_before_it_used(damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint.save(FOLDER, 5, {"x": 1})
    path = checkpoint.save(FOLDER, 10, {"x": 2})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flipped": bytes(data), "cut": bytes(data[:-100]), "emptied": b""}[damage])
    assert checkpoint.latest(FOLDER, 100) == (5, {"x": 1})
    assert f"{path} is damaged" in capsys.readouterr().err


def test_no_code_is_ever_unpickled() -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path("ran"),)  # type: ignore[return-value]

    checkpoint.save(FOLDER, 1, {"evil": Evil()})
    with pytest.raises(Exception, match="weights_only|Weights only"):
        checkpoint.latest(FOLDER, 1)
    assert not Path("ran").exists()


def test_the_folder_depends_on_settings_and_code() -> None:
    one = checkpoint.folder_for("train", {"seed": 1})
    assert one == checkpoint.folder_for("train", {"seed": 1})
    assert one != checkpoint.folder_for("train", {"seed": 2})
    assert one.parent == Path(".ckpt/train")


def test_the_folder_depends_on_torch_and_on_each_part_of_the_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = checkpoint.folder_for("train", {})
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "0")
        assert checkpoint.folder_for("train", {}) != before
    package = tmp_path / "copy"
    shutil.copytree(Path(ganpipe.__file__).parent, package)
    monkeypatch.setattr(ganpipe, "__file__", str(package / "__init__.py"))
    names = {checkpoint.folder_for("train", {}).name}
    assert names == {before.name}
    parts = ("models/norm.py", "training/step.py", "runtime.py")
    for part in parts:
        with (package / part).open("a") as file:
            file.write("\n")
        names.add(checkpoint.folder_for("train", {}).name)
    assert len(names) == 1 + len(parts)


def test_saving_a_step_again_replaces_it() -> None:
    for value in (1, 2):
        checkpoint.save(FOLDER, 5, {"x": value})
    checkpoint.save(FOLDER, 6, {})
    assert sorted(path.name[5:14] for path in FOLDER.iterdir()) == ["000000005", "000000006"]
