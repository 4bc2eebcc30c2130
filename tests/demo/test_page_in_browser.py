"""The page in a real Chromium, from a real `ganpipe serve` on loopback."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from support import tiny
from support.browser import chromium, needs_chromium
from support.scenes import scene
from support.server import WebServer, free_port
from support.tiny import GANPIPE, Project

pytestmark = needs_chromium
expect.set_options(timeout=60_000)  # a busy machine is no mistake

PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 740}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@contextmanager
def opened(browser: Browser, server: WebServer, panel: str = "draw", **how: Any) -> Iterator[Page]:
    """The page; at its end it has asked no other address, and had no error but refusals by the server."""
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | how))
    asked: list[str] = []
    wrong: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    context.on("console", lambda message: wrong.append(message.text))
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{server.url}/#{panel}")
    page.locator(f"#{panel} > :is(.present, .missing):visible").wait_for()
    yield page
    context.close()
    assert [text for text in wrong if "the server responded with a status of 4" not in text] == []
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []


@pytest.fixture
def page(browser: Browser, server: WebServer) -> Iterator[Page]:
    with opened(browser, server) as page:
        yield page


def canvas(page: Page) -> Locator:
    return page.get_by_role("application", name="Drawing of labels")


def picture(page: Page) -> Locator:
    return page.get_by_role("img", name="What the model makes of the drawing")


def pixels(page: Page, selector: str) -> np.ndarray:
    """What a canvas or an image shows, uint8 (H, W, 3)."""
    data = page.evaluate(
        """selector => {
            const shown = document.querySelector(selector);
            const paper = document.createElement("canvas");
            paper.width = shown.naturalWidth ?? shown.width;
            paper.height = shown.naturalHeight ?? shown.height;
            const context = paper.getContext("2d");
            context.drawImage(shown, 0, 0);
            const { data } = context.getImageData(0, 0, paper.width, paper.height);
            return [paper.height, paper.width, Array.from(data)];
        }""",
        selector,
    )
    high, wide, levels = data
    return np.array(levels, np.uint8).reshape(high, wide, 4)[..., :3]


def changed(page: Page, before: str | None) -> str:
    """The picture's address, once it is another one."""
    expect(picture(page)).to_be_visible()
    expect(picture(page)).not_to_have_attribute("src", before or "")
    return picture(page).get_attribute("src") or ""


def until(page: Page, true: Callable[[], bool]) -> None:
    """It is so, at last."""
    for _ in range(600):
        if true():
            return
        page.wait_for_timeout(100)
    raise AssertionError


def stroke(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """By the mouse, from one place to another, in shares of the canvas."""
    box = canvas(page).bounding_box()
    assert box is not None
    (x0, y0), (x1, y1) = ((box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end))
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=4)
    page.mouse.up()


def test_a_stroke_changes_the_drawing_and_then_the_picture(page: Page) -> None:
    stroke(page, (0.1, 0.2), (0.8, 0.2))
    first = changed(page, None)
    shown = pixels(page, "#canvas")
    assert (shown[26, 13:100] == tiny.LABELS[2]).all()
    assert (shown[60:] == tiny.LABELS[0]).all()
    before = pixels(page, "#picture")
    page.get_by_role("radio", name="door").check()
    stroke(page, (0.5, 0.4), (0.5, 0.9))
    changed(page, first)
    assert (pixels(page, "#picture") != before).any()


def test_the_picture_is_that_of_the_drawing(page: Page, server: WebServer) -> None:
    stroke(page, (0.1, 0.1), (0.9, 0.9))
    changed(page, None)
    written = io.BytesIO()
    Image.fromarray(pixels(page, "#canvas")).save(written, "PNG")
    answer = httpx.post(f"{server.url}/api/translate?model=facades", content=written.getvalue())
    np.testing.assert_array_equal(pixels(page, "#picture"), np.asarray(Image.open(io.BytesIO(answer.content))))


def test_rectangle_eraser_undo_and_clear(page: Page) -> None:
    empty = pixels(page, "#canvas")
    page.get_by_role("radio", name="Rectangle").check()
    stroke(page, (0.25, 0.25), (0.75, 0.5))
    source = changed(page, None)
    rectangle = pixels(page, "#canvas")
    assert (rectangle == tiny.LABELS[2]).all(2).sum() == 65 * 33
    page.get_by_role("radio", name="Eraser").check()
    stroke(page, (0.5, 0.1), (0.5, 0.9))
    source = changed(page, source)
    erased = pixels(page, "#canvas")
    assert (erased[:, 64] == tiny.LABELS[0]).all()
    page.get_by_role("button", name="Undo").click()
    source = changed(page, source)
    np.testing.assert_array_equal(pixels(page, "#canvas"), rectangle)
    page.get_by_role("button", name="Clear").click()
    changed(page, source)
    np.testing.assert_array_equal(pixels(page, "#canvas"), empty)


def test_an_example_is_drawn_and_a_saved_drawing_is_loaded_again(page: Page) -> None:
    page.get_by_role("button", name="Random example").click()
    source = changed(page, None)
    example = pixels(page, "#canvas")
    assert {tuple(colour) for colour in example.reshape(-1, 3)} == set(map(tuple, tiny.LABELS))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save drawing").click()
    download.value.save_as("mine.png")
    np.testing.assert_array_equal(np.asarray(Image.open("mine.png").convert("RGB")), example)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    download.value.save_as("picture.png")
    np.testing.assert_array_equal(np.asarray(Image.open("picture.png")), pixels(page, "#picture"))
    page.get_by_role("button", name="Clear").click()
    source = changed(page, source)
    page.locator("#drawing-file").set_input_files("mine.png")
    changed(page, source)
    np.testing.assert_array_equal(pixels(page, "#canvas"), example)


def test_by_the_keyboard_alone(page: Page) -> None:
    names: list[str] = []
    while names[-1:] != ["canvas"] or "tab-draw" not in names:  # all that there is, and then to the drawing
        assert len(names) < 40
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    start = names.index("tab-draw")
    assert [name for name in names[start:] if name] == [
        "tab-draw", "label", "tool", "size", "clear", "example", "load", "save-drawing", "canvas",
    ]  # fmt: skip
    for key in ("4", "Shift+ArrowUp", "Space"):  # a door, one dot
        page.keyboard.press(key)
    source = changed(page, None)
    door = [1, 207, 255]
    assert (pixels(page, "#canvas")[48, 64] == door).all()
    for key in ("p", "Shift+ArrowDown", "Shift+ArrowDown", "p"):  # a line
        page.keyboard.press(key)
    source = changed(page, source)
    assert (pixels(page, "#canvas")[48:81, 64] == door).all()
    for key in ("r", "Space", "Shift+ArrowRight", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    source = changed(page, source)
    assert (pixels(page, "#canvas")[80:85, 64:81] == door).all()
    page.keyboard.press("Control+z")
    source = changed(page, source)
    assert not (pixels(page, "#canvas")[80:85, 64:81] == door).all()
    page.keyboard.press("x")
    changed(page, source)
    assert not (pixels(page, "#canvas") == door).all(2).any()
    page.locator("#tab-draw").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Explore")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Explore")).to_be_visible()


def test_letters_are_left_alone_outside_of_the_drawing(page: Page) -> None:
    page.get_by_role("button", name="Random example").click()
    changed(page, None)
    before = pixels(page, "#canvas")
    page.get_by_role("radio", name="facade").focus()
    page.keyboard.press("x")
    np.testing.assert_array_equal(pixels(page, "#canvas"), before)


def test_on_a_phone_a_finger_draws_and_nothing_is_wider_than_the_screen(browser: Browser, server: WebServer) -> None:
    with opened(browser, server, **PHONE) as page:
        canvas(page).scroll_into_view_if_needed()
        box = canvas(page).bounding_box()
        assert box is not None and box["width"] > 300
        touch = page.context.new_cdp_session(page)
        places = [(box["x"] + x * box["width"], box["y"] + 0.2 * box["height"]) for x in (0.2, 0.4, 0.6)]
        for kind, place in zip(("touchStart", "touchMove", "touchMove"), places, strict=True):
            points = [{"x": place[0], "y": place[1]}]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        changed(page, None)
        assert (pixels(page, "#canvas")[26, 30:70] == tiny.LABELS[2]).all()
        for panel in ("draw", "explore", "inspect"):
            page.get_by_role("tab", name=panel.title()).tap()
            if panel == "inspect":
                page.get_by_role("button", name="Inspect a sample").tap()
                page.locator("#nearest img").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_two_people_at_once_do_not_see_each_other(browser: Browser, server: WebServer) -> None:
    with opened(browser, server) as one, opened(browser, server) as other:
        for number in range(3):
            stroke(one, (0.1, 0.1 + number / 4), (0.9, 0.1 + number / 4))
            stroke(other, (0.1 + number / 4, 0.1), (0.1 + number / 4, 0.9))
        for page in (one, other):
            changed(page, None)
            expect(page.locator("#status")).to_have_text("The picture is new.")
        assert (pixels(one, "#canvas") != pixels(other, "#canvas")).any()
        assert (pixels(one, "#picture") != pixels(other, "#picture")).any()


@pytest.mark.parametrize("panel", ["draw", "inspect"])
def test_a_bad_or_a_huge_file_gets_a_sentence_and_the_page_goes_on(
    browser: Browser, server: WebServer, panel: str
) -> None:
    Path("bad.png").write_bytes(b"no image")
    Path("huge.png").write_bytes(bytes((8 << 20) + 1))
    Image.fromarray(scene(3)).save("good.png")
    with opened(browser, server, panel) as page:
        file = page.locator("#drawing-file" if panel == "draw" else "#image-file")
        file.set_input_files("bad.png")
        expect(page.locator("#status")).to_have_text(re.compile("cannot be used as an image"))
        file.set_input_files("huge.png")
        expect(page.locator("#status")).to_have_text("The file is larger than 8 MB: choose a smaller one.")
        file.set_input_files("good.png")
        expect(page.locator("#picture" if panel == "draw" else "#seen")).to_be_visible()
        expect(page.locator("#status")).not_to_have_class("wrong")


def test_a_training_image_is_found_again(browser: Browser, server: WebServer, project: Project) -> None:
    Image.fromarray(project.images[11]).resize((96, 96), Image.Resampling.BICUBIC).save("larger.png")
    with opened(browser, server, "inspect") as page:
        page.locator("#image-file").set_input_files("larger.png")
        expect(page.locator("#duplicate")).to_contain_text("#11")
        expect(page.locator("#nearest figure").first).to_contain_text("#11")
        assert page.locator("#layers img").count() == 6


def test_samples_are_looked_at_moved_summed_and_walked_between(browser: Browser, server: WebServer) -> None:
    with opened(browser, server, "explore") as page:
        samples = page.locator(".sample")
        expect(samples).to_have_count(24)

        def pick(role: str, *numbers: int) -> None:
            page.get_by_role("radio", name=role).check()
            for number in numbers:
                samples.nth(number).click()

        pick("looks at it", 5)
        expect(page.locator("#look-told")).to_have_text("This is sample 5.")
        sample = pixels(page, '.sample[data-seed="5"] canvas')
        page.wait_for_function("() => document.querySelector('#map').getContext('2d').getImageData(0, 0, 1, 1).data[3]")
        until(page, lambda: np.array_equal(pixels(page, "#look"), sample))

        slider = page.get_by_role("slider", name="Direction 3")
        slider.fill("3")
        until(page, lambda: not np.array_equal(pixels(page, "#look"), sample))

        field = page.get_by_role("application", name="Map")
        field.click(position={"x": 20, "y": 20})
        expect(page.get_by_role("slider", name="Direction 1")).to_have_value("-4")
        field.focus()
        page.keyboard.press("ArrowRight")
        expect(page.get_by_role("slider", name="Direction 1")).not_to_have_value("-4")

        pick("adds it to A", 0, 1, 2)
        pick("adds it to B", 3)
        pick("adds it to C", 4)
        expect(page.locator("#sum figure")).to_have_count(4)
        expect(page.locator("#sum figure").first).to_contain_text("A, mean of 3")
        terms = [{"seeds": [0, 1, 2]}, {"weight": -1, "seeds": [3]}, {"seeds": [4]}]
        question = {"model": "some-images", "points": [{"terms": terms}]}
        answer = httpx.post(f"{server.url}/api/images", json=question)
        result = np.asarray(Image.open(io.BytesIO(answer.content)))
        np.testing.assert_allclose(pixels(page, "#sum figure:last-child canvas"), result, atol=1)
        page.get_by_role("button", name="Look at the result").click()
        expect(page.locator("#look-told")).to_have_text("This is A − B + C.")
        samples.nth(4).click()  # no more
        expect(page.locator("#sum figure")).to_have_count(2)
        expect(page.get_by_role("button", name="Look at the result")).to_be_disabled()

        pick("starts the walk", 6)
        pick("ends the walk", 7)
        expect(page.locator("#walk-told")).to_have_text("From sample 6 to sample 7")
        np.testing.assert_allclose(pixels(page, "#walk"), pixels(page, '.sample[data-seed="6"] canvas'), atol=1)
        page.get_by_role("button", name="Play").click()
        expect(page.get_by_role("slider", name="Place")).to_have_value("23")
        np.testing.assert_allclose(pixels(page, "#walk"), pixels(page, '.sample[data-seed="7"] canvas'), atol=1)


def test_without_a_model_each_panel_says_how_to_make_one(browser: Browser) -> None:
    port = free_port()
    empty = WebServer([str(GANPIPE), "serve", "--port", str(port)], Path.cwd(), port, None)
    empty.start()
    try:
        with opened(browser, empty) as page:
            for panel, command in (
                ("Draw", "make study NAME=facades"),
                ("Explore", "make study NAME=faces"),
                ("Inspect", "make repro"),
            ):
                page.get_by_role("tab", name=panel).click()
                expect(page.get_by_role("tabpanel", name=panel)).to_contain_text(command)
                expect(page.get_by_role("tabpanel", name=panel).get_by_label("Model")).to_be_hidden()
    finally:
        empty.kill()
