import base64
import hashlib
import json
import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ganpipe.compare import page as compare_page
from ganpipe.compare import samples as compare_samples
from ganpipe.compare.compared import Compared, quoted
from ganpipe.compare.tables import compare_runs
from ganpipe.errors import printable
from support.compared import accuracies, png, sample, training

PAGE = Path("compare.html")
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b>&amp;&lt;",
    "@data@ @script@ \\1",
    "a\x00b\x1b[31m\r\nc",
    "gpj.\u202eexe",
    "caf\u00e9 \u732b",
    "undecodable \udcff",
]


class Page(HTMLParser):
    """Tags in their order, all text that is read, the scripts by their id; that which runs is "code"."""

    def __init__(self, path: Path = PAGE) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: dict[str, str] = {}
        self.feed(self.source)
        self.data: Any = json.loads(self.scripts["data"])
        self.text = " ".join(self.words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag == "script":
            self.scripts.setdefault(attributes.get("id") or "code", data)  # what follows it is the space behind
        elif tag != "style" and data.strip():
            self.words.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def run(name: str = "width 32", accuracy: float = 0.6, **what: Any) -> Compared:
    figures = {f"cifar10/{key}": value for key, value in accuracies(accuracy, 10_000, accuracy_pixels=0.4).items()}
    held = {
        "figures": {**figures, "dedupe/kept": 1000 * accuracy, "train/loss_d": accuracy},
        "curves": {"train/loss_d": [(step, accuracy + step) for step in range(0, 101, 10)]},
        "parameters": {"train.width": name},
        "samples": {step: sample(png(colour)) for step, colour in ((0, "grey"), (50, "red"), (100, name and "blue"))},
        "load": {"cpu_utilization_percentage": [50.0, 100.0], "gpu_0_memory_usage_megabytes": [1500.0]},
        "took": 3725.0,
    }
    return training(name, **{**held, **what})


def write(*runs: Compared) -> Page:
    compare_page.write(PAGE, compare_runs(runs))
    return Page()


def test_all_is_there_without_a_script() -> None:
    page = write(run(), run("width 64", 0.65))
    assert page.all("h1")
    for words in (
        *("B against A", "width 32", "width 64", "run 12345678", "baseline"),
        *("Parameters that differ", "Accuracies", "Samples", "Curves", "Counts that differ", "The machine"),
        *("test up by 5.00 points (+3.66 to +6.34)", "60.00%", "65.00%", "(64.06 to 65.93)", "+5.00"),
        *("\u25b2 up", "within chance", "Loss of the discriminator", "At the end: A 100.6, B 100.7"),
        *("75%", "(50 to 100)", "1.5 GB", "1:02:05", "shares of 10,000 images"),
    ):
        assert words in page.text, words
    assert [image["alt"] for image in page.all("img")] == ["Samples of A, step 100", "Samples of B, step 100"]
    assert len(page.all("path")) == 2 * 4  # two runs, in: the list of runs, the legend, the samples, the chart


def test_pictures_are_embedded_as_they_are() -> None:
    page = write(run(), run("two"))
    assert page.data["samples"] == [[0, 0], [50, 50], [100, 100]]
    first = page.all("img")[0]["src"] or ""
    assert first.startswith("data:image/png;base64,")
    assert base64.b64decode(first.partition(",")[2]) == png("blue")
    assert base64.b64decode(page.scripts["picture-1-50"]) == png("red")
    assert {name for name in page.scripts if name.startswith("picture")} == {
        f"picture-{number}-{step}" for number in (0, 1) for step in (0, 50)
    }


def test_what_does_not_fit_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_samples.choose, "__defaults__", (4 * len(png("blue")),))
    page = write(run(), run("two"))
    assert page.data["samples"] == [[0, 0], [100, 100]]
    assert "Left out: 1 of 3 steps, for the page would be too large." in page.text


def test_pictures_that_are_none_or_gone_are_said() -> None:
    def gone() -> bytes:
        raise FileNotFoundError

    broken = {0: sample(b"<svg onload=alert(1)>"), 100: sample(png("red"))._replace(read=gone)}
    page = write(run(), run("two", samples=broken))
    assert "Not read: B, step 0, B, step 100." in page.text
    assert "svg onload" not in page.source
    assert page.data["samples"] == [[0, 0], [100, 100]]


def test_a_run_without_samples_stands_there_without() -> None:
    page = write(run(), run("two", samples={}))
    assert "no samples" in page.text
    assert len(page.all("img")) == 1
    assert page.data["samples"] == [[0, None], [50, None], [100, None]]
    page = write(run(samples={}), run("two", samples={}))
    assert page.all("img") == []
    assert "Samples There are none." in page.text


def test_runs_of_nothing_make_a_page() -> None:
    page = write(training("one"), training("two"))
    assert page.data == {"letters": ["A", "B"], "charts": [], "samples": []}
    assert "None differs." in page.text
    assert "None was measured." in page.text


def test_curves_that_are_no_numbers_make_a_page() -> None:
    curves = {"train/loss_d": [(0, math.nan), (1, math.inf)], "train/loss_g": [(0, 1.0), (1, math.nan)]}
    page = write(run(curves=curves), run("two", curves={}))
    assert page.text.count("Loss of the") == 1
    assert page.data["charts"][0]["values"] == [[1.0, None], []]
    assert not re.search(r"\bNaN\b", page.scripts["data"])


def test_curves_of_sets_have_a_chart() -> None:
    name = "cifar10/accuracy_validation_by_step"
    page = write(run(curves={name: [(1, 0.5), (2, 0.6)]}), run("two", curves={"x/new": [(1, 2.0)]}))
    assert "Accuracy on validation, cifar10" in page.text
    assert "At the end: A 60" in page.text
    assert "x/new" in page.text
    assert "At the end: B 2" in page.text


def of_names(name: str) -> Page:
    """With that wherever a name of others' making may stand."""
    told: dict[str, Any] = {
        "figures": {f"{name}/accuracy": 0.5, f"train/{name}": 1.0, f"dedupe/{name}": 2.0},
        "curves": {f"train/{name}": [(1, 1.0)], f"{name}/accuracy_validation_by_step": [(1, 0.5)]},
        "parameters": {f"train.{name}": name},
        "evaluations": {name: {"evaluate.path": name}},
        "data": {name: name},
        "load": {name: [1.0]},
        "remarks": [f"{quoted(name)} was left out."],
        **dict.fromkeys(("place", "began", "commit", "status"), name),
    }
    return write(run(name, **told), run("b", data={name: "other"}))


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name: str) -> None:
    page, calm = of_names(name), of_names("calm")
    assert Counter(tag for tag, _ in page.tags if tag != "wbr") == Counter(tag for tag, _ in calm.tags if tag != "wbr")
    assert page.scripts["code"] == calm.scripts["code"]
    assert [key for _, attributes in page.tags for key in attributes if key.startswith("on")] == []
    assert page.words.count(printable(name, kept="")) >= 7


def test_the_policy_lets_the_pages_own_style_and_script_run_and_nothing_else() -> None:
    page = write(run(), run("two"))
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    style = re.findall("<style>(.*?)</style>", page.source, re.DOTALL)
    assert len(style) == 1
    for kind, text in (("style", style[0]), ("script", page.scripts["code"])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    assert not re.search(r"https?:", page.source.replace("http://www.w3.org/2000/svg", ""))
    assert [attributes for _, attributes in page.tags if "style" in attributes] == []


def test_equal_runs_give_equal_bytes() -> None:
    one = write(run(), run("two")).source
    assert write(run(), run("two")).source == one
