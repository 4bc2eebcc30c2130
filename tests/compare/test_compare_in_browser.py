"""The page of `ganpipe compare` in a real Chromium, opened as a person opens it: by file://."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ganpipe.compare import page as compare_page
from ganpipe.compare.compared import Compared
from ganpipe.compare.tables import compare_runs
from support.browser import alone, chromium, needs_chromium
from support.compared import accuracies, png, sample, training

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with alone(browser, "compare.html") as context:
        yield context


COLOURS = {0: "#808080", 50: "#ff0000", 100: "#0000ff", 120: "#00ff00"}


def run(name: str, steps: tuple[int, ...] = (0, 50, 100), accuracy: float = 0.6, **what: Any) -> Compared:
    figures = {f"cifar10/{key}": value for key, value in accuracies(accuracy, 10_000, accuracy_validation=0.5).items()}
    held = {
        "figures": figures,
        "curves": {
            "train/loss_d": [(step, accuracy + step) for step in range(10, 101, 10)],
            "train/gradient_g": [(step, 10 ** (step / 20)) for step in range(10, 101, 10)],
        },
        "parameters": {"train.width": name, "train.a_setting_with_a_rather_long_name_that_must_go_on": name},
        "samples": {step: sample(png(COLOURS[step], 64)) for step in steps},
        "load": {"cpu_utilization_percentage": [50.0, 100.0]},
        "took": 60.0,
    }
    return training(name, **{**held, **what})


def opened(context: BrowserContext, *runs: Compared) -> Page:
    path = Path("compare.html").resolve()
    compare_page.write(path, compare_runs(runs))
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(path.as_uri())
    return page


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """Three runs, the last of which went on for longer."""
    return opened(context, run("one"), run("two", accuracy=0.65), run("three", (0, 50, 120), accuracy=0.55))


def colours(page: Page) -> list[str]:
    """Of the pictures in sight, decoded."""
    return list(
        page.locator("figure img").evaluate_all(
            """images => Promise.all(images.map(async image => {
                await image.decode();
                const canvas = document.createElement("canvas").getContext("2d");
                canvas.drawImage(image, 0, 0);
                const [red, green, blue] = canvas.getImageData(5, 5, 1, 1).data;
                return "#" + [red, green, blue].map(each => each.toString(16).padStart(2, "0")).join("");
            }))"""
        )
    )


def values(page: Page, chart: int = 0) -> str:
    return page.locator(".values").nth(chart).inner_text()


def test_the_slider_goes_over_the_steps_that_all_have_and_the_ends(page: Page) -> None:
    slider = page.get_by_role("slider", name="Step")
    expect(page.locator(".slide b")).to_have_text("the ends")
    assert colours(page) == [COLOURS[100], COLOURS[100], COLOURS[120]]
    assert page.locator("figcaption").all_inner_texts() == ["A\nstep 100", "B\nstep 100", "C\nstep 120"]
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator(".slide b")).to_have_text("50")
    expect(slider).to_have_attribute("aria-valuetext", "50")
    assert colours(page) == [COLOURS[50]] * 3
    assert page.get_by_alt_text("Samples of C, step 50").count() == 1
    page.keyboard.press("Home")
    assert colours(page) == [COLOURS[0]] * 3
    page.keyboard.press("End")
    assert colours(page) == [COLOURS[100], COLOURS[100], COLOURS[120]]


def test_of_one_step_there_is_no_slider(context: BrowserContext) -> None:
    page = opened(context, run("one", (50,)), run("two", (50,)))
    assert page.get_by_role("slider").count() == 0
    assert colours(page) == [COLOURS[50]] * 2


def test_steps_that_are_only_near_are_shown_as_what_they_are(context: BrowserContext) -> None:
    page = opened(context, run("one", (50, 100)), run("two", (0, 120)))
    page.get_by_role("slider").focus()
    page.keyboard.press("Home")
    expect(page.locator(".slide b")).to_have_text("about 50")
    assert page.locator("figcaption").all_inner_texts() == ["A\nstep 50", "B\nstep 0"]
    expect(page.get_by_text("The runs have no step in common")).to_have_count(1)


def test_values_under_the_pointer_in_all_charts(page: Page) -> None:
    assert values(page) == "At the end: A 100.6, B 100.7, C 100.5"
    plot = page.locator(".plot").first
    box = plot.bounding_box()
    assert box is not None
    plot.hover(position={"x": box["width"] * (46 + 334 * 4 / 9) / 400, "y": 60})  # of 10 to 100
    assert values(page) == "Step 50: A 50.6, B 50.65, C 50.55"
    assert values(page, 1) == "Step 50: A 316.2, B 316.2, C 316.2"
    assert page.locator(".at").count() == 6
    page.mouse.move(5, 5)
    assert values(page) == "At the end: A 100.6, B 100.7, C 100.5"
    assert page.locator(".at").count() == 0


def test_dots_lie_on_the_lines(page: Page) -> None:
    page.locator(".plot").nth(1).focus()
    page.keyboard.press("Home")
    starts = (
        page.locator(".chart")
        .nth(1)
        .evaluate(
            """chart => {
            const line = chart.querySelector("path.run"), dot = chart.querySelector(".at");
            const start = line.getPointAtLength(0);
            return [start.x - dot.cx.baseVal.value, start.y - dot.cy.baseVal.value];
        }"""
        )
    )
    assert starts == pytest.approx([0, 0], abs=0.2)


def test_values_by_the_keyboard_are_said(page: Page) -> None:
    plot = page.get_by_role("group", name="Loss of the discriminator")
    plot.focus()
    before = page.evaluate("scrollY")
    for key, step in (("ArrowRight", 10), ("ArrowRight", 20), ("ArrowLeft", 10), ("End", 100), ("ArrowRight", 100)):
        page.keyboard.press(key)
        assert values(page).startswith(f"Step {step}: A {step + 0.6:.4g}")
        expect(page.get_by_role("status")).to_have_text(values(page))
    page.wait_for_timeout(100)
    assert page.evaluate("scrollY") == before
    page.keyboard.press("Escape")
    assert values(page).startswith("At the end")
    page.keyboard.press("ArrowLeft")
    assert values(page).startswith("Step 100")
    page.keyboard.press("Tab")
    assert values(page).startswith("At the end")


def test_values_at_other_steps_and_beyond_an_end_are_told_so(context: BrowserContext) -> None:
    curves = {"train/loss_d": [(5, 1.0), (15, 2.0)]}
    page = opened(context, run("one"), run("two", curves=curves))
    page.locator(".plot").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert values(page) == "Step 10: A 10.6, B 1 (at 5)"
    page.keyboard.press("End")
    assert values(page) == "Step 100: A 100.6"


def test_all_that_can_be_moved_is_reached_by_the_keyboard(page: Page) -> None:
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.id"))
    assert reached[:3] == ["Table: parameter", "Table: accuracy", "step"]
    assert reached[3].startswith("Loss of the discriminator")
    assert "Table: load" in reached


def test_without_scripts_all_but_the_slider_is_there(browser: Browser) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = opened(context, run("one"), run("two", accuracy=0.65))
        expect(page.locator(".slide")).to_be_hidden()
        assert page.locator("figure img").count() == 2
        assert page.locator(".plot svg path.run").count() == 4
        expect(page.get_by_text("test up by 5.00 points")).to_be_visible()


@pytest.mark.parametrize("width", [1280, 768, 390, 320])
def test_nothing_hangs_over_the_side(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    edges = "parts => Math.max(...parts.map(part => part.getBoundingClientRect().right))"
    assert page.locator("section, .box, .plot, figure, .slide, h1, .runs li").evaluate_all(edges) <= width


def test_a_wide_table_moves_in_its_box_while_its_first_column_stays(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    box = page.get_by_role("region", name="Table: accuracy")
    box.focus()
    name = box.locator("tbody th").first
    before = name.bounding_box()
    box.evaluate("box => { box.scrollLeft = 120; }")
    assert name.bounding_box() == before
    assert box.evaluate("box => box.scrollLeft") > 50


def test_colours_follow_the_system(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    line = "getComputedStyle(document.querySelector('path.r0')).stroke"
    light = page.evaluate(ground)
    drawn = page.evaluate(line)
    page.emulate_media(color_scheme="dark")
    assert min(light) > 200 > 60 > max(page.evaluate(ground))
    assert page.evaluate(line) != drawn


def test_lines_differ_in_more_than_their_colour(context: BrowserContext) -> None:
    page = opened(context, *(run(str(number)) for number in range(6)))
    dashes = (
        page.locator(".plot")
        .first.locator("path.run")
        .evaluate_all("lines => lines.map(line => getComputedStyle(line).strokeDasharray)")
    )
    assert len(set(dashes)) == 6


HOSTILE = "</script><img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"


def test_hostile_names_are_text_and_run_nothing(context: BrowserContext) -> None:
    told: dict[str, Any] = {
        "parameters": {HOSTILE: HOSTILE},
        "curves": {f"train/{HOSTILE}": [(1, 1.0)]},
        "remarks": [f"`{HOSTILE}`"],
    }
    page = opened(context, run(HOSTILE, **told), run("two", parameters={HOSTILE: "x"}))
    expect(page).to_have_title("B against A")
    assert page.locator(".runs b").first.inner_text() == HOSTILE
    assert page.locator(".remarks code").inner_text() == HOSTILE
    assert page.locator("h3").last.inner_text().strip() == f"train/{HOSTILE}"


def test_the_policy_stops_what_might_slip_in(browser: Browser) -> None:
    with browser.new_context() as context:
        page = opened(context, run("one"), run("two"))
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "document.title = 'hacked'";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\\"document.title = 'hacked'\\">");
            }"""
        )
        assert not page.evaluate("fetch('data:,x').then(() => true, () => false)")
        page.wait_for_timeout(200)
        expect(page).to_have_title("B against A")
