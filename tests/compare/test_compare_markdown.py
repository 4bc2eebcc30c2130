from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ganpipe.compare.compared import Compared
from ganpipe.compare.markdown import SIZE, code, markdown
from ganpipe.compare.tables import compare_runs
from ganpipe.errors import printable
from support.compared import accuracies, training


def named(labelled: str, figures: dict[str, float]) -> dict[str, float]:
    return {f"{labelled}/{name}": value for name, value in figures.items()}


def rendered(text: str) -> Any:
    """As a reader sees it: of a parser with tables, as GitHub and GitLab have them."""
    markdown_it = pytest.importorskip("markdown_it", reason="needs markdown-it-py, which comes with others")
    return markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table")


def two() -> list[Compared]:
    one = training(
        "width 32",
        began="2026-11-25 20:26 UTC",
        commit="26ae6101",
        parameters={"train.width": "32", "train.steps": "100", "train.r1": None},
        figures={**named("cifar10", accuracies(0.6, 10_000, C=0.1)), "dedupe/kept": 1168.0, "train/loss_d": 0.7},
    )
    other = training(
        "width 64",
        status="killed",
        parameters={"train.width": "64", "train.steps": "100", "train.r1": "0.1"},
        figures={**named("cifar10", accuracies(0.65, 10_000, C=0.1)), "dedupe/kept": 1150.0, "train/loss_d": 0.5},
        remarks=["`svhn` was measured before the model was made anew, and is left out."],
    )
    return [one, other]


def test_of_two_runs() -> None:
    assert markdown(compare_runs(two())).splitlines() == [
        "### B against A",
        "",
        "|     | training   | from                                 | commit     |",
        "| --- | ---------- | ------------------------------------ | ---------- |",
        "| A   | `width 32` | `run 12345678`, 2026-11-25 20:26 UTC | `26ae6101` |",
        "| B   | `width 64` | `run 12345678`, killed               |            |",
        "",
        "**B against A:** `cifar10` test up by 5.00 points (+3.66 to +6.34).",
        "",
        "- B: `svhn` was measured before the model was made anew, and is left out.",
        "",
        "#### Parameters that differ (equal: 1)",
        "",
        "| parameter     | A      | B     |",
        "| ------------- | ------ | ----- |",
        "| `train.width` | `32`   | `64`  |",
        "| `train.r1`    | `null` | `0.1` |",
        "",
        "#### Accuracies: B against A",
        "",
        "| accuracy       |                       A |                       B |     difference, points | moved  |",
        "| -------------- | ----------------------: | ----------------------: | ---------------------: | ------ |",
        "| `cifar10` test | 60.00% (59.04 to 60.96) | 65.00% (64.06 to 65.93) | +5.00 (+3.66 to +6.34) | **up** |",
        "",
        "<sub>Intervals are of 95 %, of shares of 10,000 images; that of a difference takes the two shares for "
        "independent (Newcombe 1998, method 10), which is cautious where both are of the same images. They are of the "
        "images alone: another seed of the training may move a figure by more. Of twenty figures that did not change, "
        "one seems to have moved.</sub>",
        "",
        "#### Counts that differ",
        "",
        "| figure        |     A |     B | difference |",
        "| ------------- | ----: | ----: | ---------: |",
        "| `dedupe/kept` | 1,168 | 1,150 |        -18 |",
        "",
        "<details>",
        "<summary>Other figures that differ: 1 (equal: 3)</summary>",
        "",
        "| figure         |   A |   B | difference |",
        "| -------------- | --: | --: | ---------: |",
        "| `train/loss_d` | 0.7 | 0.5 |       -0.2 |",
        "",
        "</details>",
    ]


def test_it_is_read_as_tables_and_the_rest_is_folded_away() -> None:
    page = rendered("").render(markdown(compare_runs(two())))
    assert page.count("<table>") == 5
    before, _, folded = page.partition("<details>")
    assert before.count("<table>") == 4
    assert "<code>train/loss_d</code>" in folded
    assert "<code>train/loss_d</code>" not in before


def test_each_other_run_is_told_against_the_first() -> None:
    one, other = two()
    third = training("third", figures=named("svhn", accuracies(0.5)))
    lines = markdown(compare_runs([one, other, third])).splitlines()
    assert lines[0] == "### B and C against A"
    assert "#### Accuracies: B against A" in lines
    assert "#### Accuracies: C against A" in lines
    assert "**C against A:** no accuracy that both have." in lines
    assert "Only A was measured on `cifar10`." in lines
    assert "Only C was measured on `svhn`." in lines
    assert not [line for line in lines if line.startswith("| `svhn` ")]
    assert markdown(compare_runs([one, other, third, third])).startswith("### B, C and D against A\n")


def test_equal_runs_say_so() -> None:
    one, _ = two()
    words = markdown(compare_runs([one, one]))
    assert "No parameter differs (equal: 3)." in words
    assert "No other figure differs (equal: 5)." in words
    assert "<details>" not in words


def test_a_comment_holds_it_however_much_differs() -> None:
    one, other = (
        training(name, figures={f"imagenet/class/{'long ' * 9}{n}": value for n in range(3000)})
        for name, value in (("one", 0.5), ("two", 0.6))
    )
    words = markdown(compare_runs([one, other]))
    assert SIZE * 0.9 < len(words.encode()) < 65_536
    assert "more are left out, for a comment would be too long: the page has all." in words
    shown = words.count("| `imagenet/")
    assert f"{3000 - shown:,} more are left out" in words
    assert words.rstrip().endswith("</details>")


HOSTILE = [
    "@everyone",
    "#1",
    "a|b",
    "`a`",
    "\\",
    "a\\|b",
    "</td><script>alert(1)</script>",
    "<!--",
    "](http://127.0.0.1) ![x](http://127.0.0.1)",
    "a\nb\r\nc",
    " ",
    "",
    "gpj.\u202eexe",
    "undecodable \udcff",
    "$x$ ~~a~~ __b__ &amp;",
]


@given(st.text() | st.sampled_from(HOSTILE))
@example("``")
def test_hostile_names_are_code_in_their_cell(name: str) -> None:
    found = rendered(name)
    page = found.parse(f"| a | b |\n| - | - |\n| {code(name, 10**6)} | {code('b')} |\n")
    cells = [token for token in page if token.type == "inline"]
    assert len(cells) == 4
    inside = cells[2].children or []
    kinds = [token.type for token in inside]
    assert kinds == ["code_inline"] or (kinds[0], kinds[-1]) == ("html_inline", "html_inline")
    assert {token.type for token in inside[1:-1]} <= {"text", "text_special"}
    shown = inside[0].content if kinds == ["code_inline"] else "".join(token.content for token in inside[1:-1])
    # A reader sees spaces at the ends, and several of them, as one or none.
    assert shown.split() == printable(name, kept="").split()


def test_long_values_are_cut_in_the_middle() -> None:
    assert code("a" * 50 + "b" * 50, 30) == f"`{'a' * 18}...{'b' * 9}`"


def test_hostile_names_of_runs_sets_and_settings_stay_where_they_are() -> None:
    for name in filter(None, HOSTILE):
        run = training(
            name,
            place=f"files in {name}",
            commit=name,
            parameters={name: "1"},
            evaluations={name: {"evaluate.validation": name}},
            figures={f"{name}/accuracy": 0.5, f"train/{name}": 1.0, f"dedupe/{name}": 1.0},
        )
        other = training("b", parameters={name: name}, figures={f"{name}/accuracy": 0.6, "train/x": 2.0, "dedupe/x": 1})
        page = rendered(name).render(markdown(compare_runs([run, other])))
        assert page.count("<table>") == 5
        assert "<script" not in page
        assert "href" not in page
        assert "<img" not in page
        outside = "".join(part.partition("</code>")[2] for part in page.split("<code>"))
        assert "@" not in outside
        assert "#" not in outside
