"""Against real MLflow on SQLite: runs as the stages track them, compared."""

import io
import re
import shutil
from itertools import repeat
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from PIL import Image

from ganpipe.compare.compare import compare
from ganpipe.compare.compared import Compared
from ganpipe.compare.from_store import Store, open_store
from ganpipe.errors import UserError
from ganpipe.tracking.run import track
from ganpipe.tracking.store import EXPERIMENT, MODEL, store_uri
from support.compared import SETTINGS, accuracies, png, write_folder

RAW, FIRST, SECOND = "1a" * 8, "2b" * 8, "3c" * 8  # checksums of images


def tracked(name: str, processed: str, width: int, steps: int) -> None:
    """A training, as its stage tells of it, in a project with these settings."""
    settings = {**SETTINGS, "train": {**SETTINGS["train"], "width": width, "steps": steps}}
    Path("params.yaml").write_text(yaml.safe_dump(settings))
    with track("train", {"processed": processed}, name=name) as run:
        for step in range(10, steps + 1, 10):
            run.tick({"step": step, "loss_d": width + step / 100, "real_accuracy": 0.5})
        for step in (0, 20, steps):
            grid = Path(f"{width}-{steps}-{step}.png")  # one each: what a journal holds is never changed
            grid.write_bytes(png("red" if step else "grey", width))
            run.picture("samples", grid, step)
        run.load({"cpu_utilization_percentage": 50.0})
        run.tags({MODEL: f"weights of {name}"})


def measured(name: str, labelled: str, figures: dict[str, float], **settings: Any) -> None:
    """An evaluation of it."""
    held = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump({**held, "evaluate": {**SETTINGS["evaluate"], **settings}}))
    inputs = {"evaluation": f"of {labelled}", "weights": name}
    with track("evaluate", inputs, name=f"evaluate@{labelled}", parent_of=f"weights of {name}") as run:
        unless = None if "accuracy" in figures else f"{labelled}/accuracy"
        run.metrics(figures, f"{labelled}/", unless)
        run.curve(f"{labelled}/accuracy_validation_by_step", {10: 0.5, 20: 0.6})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """The folder of a project with trainings, some of them measured, in its store."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        Path(".dvc").mkdir()
        shutil.copy(empty_store, "mlflow.db")
        Path("params.yaml").write_text(yaml.safe_dump(SETTINGS))
        for stage, figures in (
            ("download", {"images": 1797}),
            ("dedupe", {"kept": 1168}),
            ("preprocess", {"side": 32}),
        ):
            inputs = {} if stage == "download" else {"raw": RAW}
            with track(stage, inputs) as run:
                run.metrics(figures)
                run.made(RAW if stage == "download" else FIRST)
        tracked("width 4", FIRST, 4, 30)
        measured("width 4", "digits", accuracies(0.7, 360, accuracy_validation=0.72))
        tracked("width 8", SECOND, 8, 30)
        measured("width 8", "digits", accuracies(0.9, 360, accuracy_validation=0.92))
        # Settings that are still chosen do not look at the test set: this one hides none that did.
        measured("width 8", "digits", {"accuracy_validation": 0.1, "train_images": 5000}, pooling="mean", test=False)
        measured("width 8", "svhn", accuracies(0.6, 100))
        with pytest.raises(ValueError, match="mine"), track("train", {"processed": FIRST}, name="it's <b>|`x`"):
            raise ValueError("mine")
        tracked("width 4", FIRST, 4, 40)
        # What is not to be taken for anything of the above.
        Path("params.yaml").write_text(yaml.safe_dump({**SETTINGS, "dedupe": {"method": "phash", "radius": 3}}))
        with track("dedupe", {"raw": RAW}, name="width 8") as run:
            run.metrics({"kept": 5})
        older = Path("samples+step+40+timestamp+1+older.png")
        older.write_bytes(png("green"))
        mlflow.MlflowClient(store_uri()).log_artifact(ids()["width 4"], str(older), "images")
    return folder


@pytest.fixture
def project(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


def runs() -> list[Any]:
    """The oldest first."""
    client = mlflow.MlflowClient(store_uri())
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def ids() -> dict[str, str]:
    """Of the runs by name: of equal ones the latest that is a training."""
    ordered = sorted(runs(), key=lambda run: run.data.tags["ganpipe.stage"] == "train")
    return {str(run.info.run_name): str(run.info.run_id) for run in ordered}


def read(name: str) -> Compared:
    store = open_store(mlflow, store_uri())
    return store.read(store.find(name))


def words(*names: str, capsys: pytest.CaptureFixture[str]) -> str:
    compare(names, Path("compare.html"))
    told = capsys.readouterr()
    assert told.err == "compare.html: the page, to open in a browser\n"
    return told.out


def test_a_training_is_read_with_all_that_belongs_to_it(project: Path) -> None:
    found = read("width 4")
    assert found.key == ids()["width 4"]
    assert found.place == f"run {found.key[:8]}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC", found.began)
    assert found.parameters["train.steps"] == "40"
    assert found.parameters["download.path"] is None
    assert not [name for name in found.parameters if name.startswith("evaluate.")]
    assert found.figures == {
        **{"download/images": 1797, "dedupe/kept": 1168, "preprocess/side": 32},
        **{"train/loss_d": 4.4, "train/real_accuracy": 0.5},
    }
    assert found.curves["train/loss_d"] == [(10, 4.1), (20, 4.2), (30, 4.3), (40, 4.4)]
    assert sorted(found.samples) == [0, 20, 40]
    for step, colour in ((0, (128, 128, 128)), (40, (255, 0, 0))):
        picture = found.samples[step].read()
        assert len(picture) == found.samples[step].size
        with Image.open(io.BytesIO(picture)) as image:
            assert (image.size, image.getpixel((0, 0))) == ((4, 4), colour)
    assert found.load == {"cpu_utilization_percentage": [50.0]}
    assert found.took is not None
    assert 0 <= found.took < 600
    assert found.data == {"data/processed": FIRST}
    assert (found.status, found.remarks) == ("", [])


def test_measurements_are_those_that_looked_at_the_test_set_with_their_settings(project: Path) -> None:
    found = read("width 8")
    assert set(found.evaluations) == {"digits", "svhn"}
    assert found.evaluations["digits"]["evaluate.pooling"] == "max"
    assert found.figures["digits/accuracy"] == 0.9
    assert found.figures["digits/accuracy_validation"] == 0.92
    assert found.figures["svhn/test_images"] == 100
    assert "best/accuracy" not in found.figures
    assert found.curves["digits/accuracy_validation_by_step"] == [(10, 0.5), (20, 0.6)]
    assert found.data["data/evaluation/digits"] == "of digits"
    assert found.remarks == [
        "`digits` was measured in 2 ways: shown is the latest that looked at the test set, or else the latest.",
        "What was counted by download, dedupe, preprocess is not known: no run of it has these settings and data.",
    ]


def test_a_failed_training_says_so(project: Path) -> None:
    found = read("it's <b>|`x`")
    assert found.status == "failed"
    assert (found.samples, found.curves) == ({}, {})


def test_each_way_to_name_a_training(project: Path) -> None:
    known = ids()
    one, others = known["width 8"], [run.info.run_id for run in runs() if run.info.run_id != known["width 8"]]
    assert read(one).key == read("width 8").key == one
    beginnings = (one[:length] for length in range(1, 32))
    assert read(next(each for each in beginnings if not any(map(str.startswith, others, repeat(each))))).key == one
    nested = read(known["evaluate@svhn"])
    assert nested.key == one
    assert (
        nested.remarks[0]
        == f"`{known['evaluate@svhn']}` is `evaluate@svhn` of this training, which is compared instead."
    )
    assert read("evaluate@svhn").key == one
    client = mlflow.MlflowClient(store_uri())
    client.set_tag(one, "dvc.exp", "woven-zest")  # whose run is called woven-zest: width 8
    assert read("woven-zest").key == one
    client.delete_tag(one, "dvc.exp")


def test_best_is_the_registered_one(project: Path) -> None:
    with pytest.raises(UserError, match=r"^no model is registered as ganpipe-default@best yet: an evaluation "):
        read("best")
    client = mlflow.MlflowClient(store_uri())
    client.create_registered_model("ganpipe-default")
    version = client.create_model_version("ganpipe-default", "file:///nowhere", ids()["width 8"])
    client.set_registered_model_alias("ganpipe-default", "best", version.version)
    assert read("best").name == "width 8"
    client.delete_registered_model("ganpipe-default")


def test_names_that_are_none_are_a_sentence_with_near_ones(project: Path) -> None:
    with pytest.raises(UserError) as error:
        read("widht 8")
    assert str(error.value) == "there is no run 'widht 8': did you mean 'width 8', 'width 4'?"
    with pytest.raises(UserError, match=r"^there is no run 'xyz': the latest trainings are 'width 4', \"it's <b>"):
        read("xyz")
    for name in ("' or 1 = 1", '"', "`", "%", "_", "x' and tags.`a` = 'b", "ffffffff" * 4, "deadbeefdeadbeef"):
        with pytest.raises(UserError, match=r"^there is no run "):
            read(name)
    Path("folder").mkdir()
    with pytest.raises(UserError, match=r"^there is no run 'folder': for the folder of that name, write \./folder$"):
        read("folder")


def test_a_beginning_of_several_ids_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = mlflow.MlflowClient(store_uri())
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    more: list[str] = []
    while not (several := {one[0] for one in more if sum(other[0] == one[0] for other in more) > 1}):
        made = client.create_run(
            experiment.experiment_id, tags={"ganpipe.stage": "train"}, run_name=f"more {len(more)}"
        )
        more.append(made.info.run_id)
    try:
        with pytest.raises(
            UserError, match=rf"^'{next(iter(several))}' is the beginning of \w{{8}} \(.+: give more of it$"
        ):
            read(next(iter(several)))
    finally:
        for one in more:
            client.delete_run(one)
    with pytest.raises(UserError, match=r"^there is no run "):  # a deleted one is none
        read(more[0])


def test_a_run_that_is_no_training_is_refused(project: Path) -> None:
    run = ids()["dedupe"]
    with pytest.raises(UserError, match=rf"^run {run[:8]} \(dedupe\) is no training, but of the stage dedupe: name a "):
        read(run)


def test_the_table_and_the_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = words("width 4", "width 8", capsys=capsys)
    assert "| `train.width`                | `4`                | `8`" in told
    assert f"| `checksum of data/processed` | `{FIRST}` | `{SECOND}` |" in told
    assert "Only B was measured on `digits` and `svhn`." not in told  # the latest "width 4" was not measured
    assert "Only B was measured on `digits`, `svhn`." in told
    page = Path("compare.html").read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert "Loss of the discriminator" in page


def test_with_a_measurement_of_both(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = [
        run.info.run_id for run in runs() if run.info.run_name == "width 4" and run.data.params["train.steps"] == "30"
    ]
    told = words(run, "width 8", capsys=capsys)
    assert "**B against A:** `digits` test up by 20.00 points (" in told
    line = next(line for line in told.splitlines() if line.startswith("| `digits` test "))
    assert line.split(" | ")[1].strip() == "70.00% (65.08 to 74.50)"
    assert line.endswith("| **up** |")


def test_a_run_against_a_folder(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_folder(tmp_path / "branch", train__width=8)
    told = words("width 8", str(tmp_path / "branch"), capsys=capsys)
    assert "| `train.width`" not in told
    assert "`digits` test" in told


def test_a_hostile_name_is_text_everywhere(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = words("width 4", "it's <b>|`x`", capsys=capsys)
    assert "<b>" not in told
    assert "it&#39;s &#60;b&#62;&#124;&#96;x&#96;" in told
    assert "it&#x27;s &lt;b&gt;|`x`" in Path("compare.html").read_text()


def test_the_table_goes_to_a_file(project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    compare(["width 4", "width 8"], tmp_path / "a/page.html", str(tmp_path / "b/table.md"))
    assert capsys.readouterr().out == ""
    assert (tmp_path / "b/table.md").read_text().startswith("### B against A\n")
    assert (tmp_path / "a/page.html").exists()


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["."], {}, "one run is named: compare takes 2 to 6"),
        ([], {}, "0 runs are named: compare takes 2 to 6"),
        (["."] * 7, {}, "7 runs are named: compare takes 2 to 6"),
        ([".", "./"], {}, ". and ./ are the same training, files in .: name another one"),
        (["width 8", "evaluate@svhn"], {}, "width 8 and evaluate@svhn are the same training, run "),
        ([".", "width 8"], {"html": Path("folder")}, "--html is folder, a folder: name a file"),
        (
            [".", "width 8"],
            {"html": Path("-"), "table": "x"},
            "--html is -, but a page is no text to print: name a file",
        ),
        ([".", "width 8"], {"table": "folder"}, "--markdown is folder, a folder: name a file"),
        ([".", "width 8"], {"html": Path("x"), "table": "./x"}, "--html and --markdown are both x: name two files"),
    ],
)
def test_mistakes_are_a_sentence(
    made: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], options: dict[str, Any], message: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{made / 'mlflow.db'}")
    write_folder(Path())
    Path("folder").mkdir()
    with pytest.raises(UserError) as error:
        compare(names, **{"html": Path("compare.html"), **options})
    assert str(error.value).startswith(message)
    assert not Path("compare.html").exists()


def test_a_store_that_is_not_there_is_not_made(monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> None:
    with pytest.raises(UserError, match=r"^nothing is tracked yet, there is no .*mlflow\.db: `dvc repro` makes it"):
        compare(["one", "two"], Path("compare.html"))
    assert list(Path().iterdir()) == []
    shutil.copy(empty_store, "mlflow.db")
    with pytest.raises(UserError, match=r"^nothing is tracked in sqlite:///.*mlflow\.db yet: `dvc repro` makes a run"):
        compare(["one", "two"], Path("compare.html"))


@pytest.mark.parametrize("store", ["http://user:secret@127.0.0.1:9", "nonsense://x"])
def test_a_store_that_does_not_answer_is_a_sentence_without_its_password(
    monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"^MLflow's store at .* cannot be read \(.*\): see that it is there$") as error:
        compare(["one", "two"], Path("compare.html"))
    assert "secret" not in str(error.value)


def test_a_file_that_is_no_store_is_a_sentence() -> None:
    Path("mlflow.db").write_text("no database " * 100)
    with pytest.raises(UserError, match=r"^MLflow's store at sqlite:///.*mlflow\.db cannot be read \(.*not a database"):
        compare(["one", "two"], Path("compare.html"))


class Away:
    """A client to which the place of the artefacts does not answer."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def list_artifacts(self, run: str, path: str) -> Any:
        raise ConnectionError("gone")


def test_without_the_artefacts_there_are_figures(project: Path) -> None:
    store = Store(Away(mlflow.MlflowClient(store_uri())), store_uri())
    found = store.read(store.find("width 4"))
    assert found.samples == {}
    assert found.remarks == ["Its samples cannot be read (ConnectionError)."]
    assert found.figures["train/loss_d"] == 4.4


def test_a_picture_that_is_gone_is_said_on_the_page(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = project / "mlartifacts" / ids()["width 4"] / "artifacts/images"
    picture = max(folder.glob("samples+step+40+*.png"))  # the later one
    held = picture.read_bytes()
    picture.write_bytes(b"")
    try:
        words("width 4", "width 8", capsys=capsys)
    finally:
        picture.write_bytes(held)
    assert "Not read: A, step 40." in Path("compare.html").read_text()
