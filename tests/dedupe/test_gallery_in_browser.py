"""The review page in a real Chromium, opened as a person opens it: by file://."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from ganpipe.dedupe import gallery, vetoes
from ganpipe.dedupe.gallery import Group, Shown
from ganpipe.dedupe.vetoes import Veto
from support.browser import alone, chromium, needs_chromium

pytestmark = needs_chromium

ABOUT = {"title": "Duplicates", "method": "phash", "radius": 9, "images": 20_000, "kept": 5_000, "removed": 15_000}
MANY, EACH = 5_000, 4
NODES = 2_500  # of the many groups' 80,000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with alone(browser, "review.html", accept_downloads=True) as context:
        yield context


def shown(name: str, distance: int = 0) -> Shown:
    """An image whose key tells its name."""
    return Shown(
        name, name.encode(errors="surrogateescape").hex(), np.full((8, 8, 3), len(name) % 256, np.uint8), distance
    )


def group(name: str, *distances: int, kind: Any = "duplicates") -> Group:
    """Images NAME, NAME-1, NAME-2, ... the first of which is kept."""
    removed = [shown(f"{name}-{number}", bits) for number, bits in enumerate(distances, start=1)]
    return Group(kind, [shown(name), *removed])


def pair(image: str, kept: str) -> Veto:
    return frozenset({shown(image).key, shown(kept).key})


# In the order of the page.
FEW = [
    group("rose", 9, 4),
    group("tulip", 7, 6, 1, kind="leak"),
    group("oak", 7),
    group("Birch", 2, 2, 2, 1, 1),
    group("elm", 2, kind="leak"),
    group("ash", 0),
]


def written(groups: list[Group], honoured: Any = ()) -> Path:
    path = Path("review.html").resolve()
    gallery.write(path, groups, ABOUT, honoured)
    return path


def opened(context: BrowserContext, path: Path) -> Page:
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(path.as_uri())
    return page


@pytest.fixture
def page(context: BrowserContext) -> Page:
    """The few groups, given in another order than the page's."""
    return opened(context, written(FEW[::-1]))


def kept(page: Page) -> list[str]:
    """Names of the kept images in sight, in their order."""
    return page.locator(".kept .name").all_text_contents()


def removed(page: Page, name: str) -> Locator:
    return page.locator(f'button[title="{name}"]')


def tools(page: Page) -> Locator:
    return page.get_by_role("search")


def saved(page: Page) -> frozenset[Veto]:
    """What a person gets by the button."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save vetoes").click()
    assert download.value.suggested_filename == "vetoes.csv"
    download.value.save_as("vetoes.csv")
    return vetoes.read(Path("vetoes.csv"))


def load(page: Page, content: str) -> None:
    Path("mine.csv").write_text(content, encoding="utf-8")
    tools(page).get_by_label("Load vetoes").set_input_files("mine.csv")


def test_groups_are_there_worst_first_with_bits_and_counts(page: Page) -> None:
    assert kept(page) == ["rose", "tulip", "oak", "Birch", "elm", "ash"]
    words = page.locator("article").nth(1).locator(".words").all_inner_texts()
    assert words == ["test image", "7 bits", "6 bits", "1 bit"]
    expect(page.get_by_label("tulip-1, 7 bits from the test image: not a duplicate")).to_have_count(1)
    assert page.locator("article").nth(1).locator("h2").inner_text().split("\n") == ["leak", "7 bits", "4 images"]
    assert page.locator("article").first.locator(".words").all_inner_texts() == ["kept", "9 bits", "4 bits"]
    expect(page.locator("#count")).to_have_text("6 groups, worst first")
    expect(page).to_have_title("Duplicates")


def test_thumbnails_are_decoded(page: Page) -> None:
    sizes = "images => Promise.all(images.map(async image => (await image.decode(), image.naturalWidth)))"
    assert page.locator("img").evaluate_all(sizes) == [8] * sum(len(group.images) for group in FEW)


@pytest.mark.parametrize(
    ("control", "value", "expected"),
    [
        ("Show", "duplicates", ["rose", "oak", "Birch", "ash"]),
        ("Show", "leak", ["tulip", "elm"]),
        ("Bits from", "7", ["rose", "tulip", "oak"]),
        ("Images from", "4", ["tulip", "Birch"]),
        ("Name", "birch-5", ["Birch"]),
        ("Name", "E", ["rose", "elm"]),
        ("Name", ".*", []),
    ],
)
def test_each_filter_leaves_what_passes_and_lets_all_come_back(
    page: Page, control: str, value: str, expected: list[str]
) -> None:
    box = tools(page).get_by_label(control)
    set_to = box.select_option if control == "Show" else box.fill
    set_to(value)
    assert kept(page) == expected
    expect(page.locator("#count")).to_have_text(f"{len(expected)} of 6 groups")
    set_to("")
    assert len(kept(page)) == 6


def test_filters_add_up(page: Page) -> None:
    tools(page).get_by_label("Show").select_option("duplicates")
    tools(page).get_by_label("Bits from").fill("2")
    tools(page).get_by_label("Images from").fill("3")
    assert kept(page) == ["rose", "Birch"]


def test_groups_with_a_veto_stay_when_it_is_undone_until_the_next_filter(page: Page) -> None:
    removed(page, "oak-1").click()
    only = tools(page).get_by_label("with a veto only")
    only.check()
    assert kept(page) == ["oak"]
    removed(page, "oak-1").click()
    assert kept(page) == ["oak"]
    only.uncheck()
    only.check()
    assert kept(page) == []


def test_a_veto_by_mouse_shows_and_is_undone_by_another_click(page: Page) -> None:
    button = removed(page, "tulip-2")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button.locator(".words")).to_have_text("not a duplicate")
    expect(page.locator("#save")).to_have_text("Save vetoes (1)")
    assert page.locator('[aria-pressed="true"]').count() == 1
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(button.locator(".words")).to_have_text("6 bits")
    expect(page.locator("#save")).to_have_text("Save vetoes")


def test_a_veto_by_keyboard(page: Page) -> None:
    page.locator("#save").focus()
    page.keyboard.press("Tab")
    button = removed(page, "rose-1")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    expect(button).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert saved(page) == {pair("rose-2", "rose")}


def test_a_veto_is_a_button_that_says_what_it_does_and_the_kept_image_is_none(page: Page) -> None:
    button = page.get_by_role("button", name="oak-1, 7 bits from the kept image: not a duplicate", pressed=False)
    expect(button).to_have_count(1)
    assert page.locator("button.image").count() == sum(len(group.images) - 1 for group in FEW)
    assert page.locator("button .kept, button.kept").count() == 0


def test_vetoes_survive_a_reload_and_only_on_their_page(context: BrowserContext, page: Page) -> None:
    for name in ("oak-1", "elm-1", "ash-1"):
        removed(page, name).click()
    removed(page, "elm-1").click()
    page.reload()
    expect(removed(page, "oak-1")).to_have_attribute("aria-pressed", "true")
    expect(removed(page, "elm-1")).to_have_attribute("aria-pressed", "false")
    assert saved(page) == {pair("oak-1", "oak"), pair("ash-1", "ash")}
    other = opened(context, written(FEW[:3]))
    expect(removed(other, "oak-1")).to_have_attribute("aria-pressed", "false")


def test_what_another_tab_of_the_page_stored_is_taken_over(page: Page) -> None:
    removed(page, "elm-1").click()
    theirs = f"image,kept\n{shown('oak-1').key},{shown('oak').key}\n"
    page.evaluate(
        """text => {
            localStorage.setItem(store, text);
            dispatchEvent(new StorageEvent("storage", {key: store}));   // which only another tab's change brings about
        }""",
        theirs,
    )
    expect(removed(page, "oak-1")).to_have_attribute("aria-pressed", "true")
    assert saved(page) == {pair("oak-1", "oak")}


def test_saved_file_holds_what_was_clicked(page: Page) -> None:
    clicked = [("rose-1", "rose"), ("tulip-3", "tulip"), ("Birch-5", "Birch"), ("ash-1", "ash")]
    for image, _ in clicked:
        removed(page, image).click()
    assert saved(page) == {pair(image, kept) for image, kept in clicked}
    rows = Path("vetoes.csv").read_text(encoding="utf-8").splitlines()
    assert rows == ["image,kept", *sorted(f"{shown(image).key},{shown(kept).key}" for image, kept in clicked)]


def test_no_vetoes_save_a_file_without_rows(page: Page) -> None:
    assert saved(page) == frozenset()


def test_an_earlier_file_is_gone_on_from(page: Page) -> None:
    removed(page, "oak-1").click()
    removed(page, "ash-1").click()
    given = {pair("rose-1", "rose"), pair("oak-1", "oak"), pair("gone", "away")}
    vetoes.write(Path("mine.csv"), given)
    rows = Path("mine.csv").read_text(encoding="utf-8").split("\n")
    load(
        page, "\ufeff# from a spreadsheet\r\n\r\n" + "\r\n".join(row.replace(",", ' , "') + '"' for row in rows if row)
    )
    expect(page.locator("#said")).to_have_text("mine.csv: 3 vetoes, 2 of them new")
    expect(removed(page, "rose-1")).to_have_attribute("aria-pressed", "true")
    removed(page, "elm-1").click()
    page.reload()
    assert saved(page) == {*given, pair("ash-1", "ash"), pair("elm-1", "elm")}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("", 1),
        ("# nothing\nkept,image\n", 2),
        ("image;kept\n", 1),
        ("image,kept\n\n0a,b2\n0a,B2\n", 4),
        ("image,kept\n0a\n", 2),
        ("image,kept\n0a,b2,0c\n", 2),
        ("image,kept\n0a,0a\n", 2),
    ],
)
def test_a_malformed_file_is_told_with_its_line_and_changes_nothing(page: Page, content: str, line: int) -> None:
    removed(page, "oak-1").click()
    load(page, content)
    expect(page.locator("#said")).to_contain_text(f"mine.csv, line {line}: ")
    assert saved(page) == {pair("oak-1", "oak")}


def test_vetoes_that_the_stage_honoured_are_shown_saved_and_can_be_undone(context: BrowserContext) -> None:
    honoured = {pair("oak-1", "oak"), pair("gone", "oak"), pair("gone", "rose-1")}
    page = opened(context, written(FEW, honoured))
    expect(removed(page, "oak-1")).to_have_attribute("aria-pressed", "true")
    page.get_by_text("2 vetoes of images that no group here shows together").click()
    rows = page.locator("#elsewhere li")
    assert sorted(rows.locator("span").all_inner_texts()) == [
        f"{shown('gone').key} and oak",
        f"{shown('gone').key} and rose-1",
    ]
    assert saved(page) == honoured
    rows.filter(has_text="rose-1").get_by_role("button").click()
    expect(rows.filter(has_text="rose-1").get_by_role("button")).to_be_focused()
    page.reload()
    assert saved(page) == honoured - {pair("gone", "rose-1")}
    page.get_by_text("2 vetoes of images that no group here shows together").click()
    rows.filter(has_text="rose-1").get_by_role("button", name="veto again").click()
    assert saved(page) == honoured


def test_a_removed_image_with_the_kept_ones_bytes_cannot_be_vetoed(context: BrowserContext) -> None:
    one = shown("one")
    page = opened(context, written([Group("duplicates", [one, one._replace(name="copy"), shown("other", 1)])]))
    assert page.locator(".words").all_inner_texts() == ["kept", "1 bit", "same file"]
    assert page.locator("button.image").count() == 1


def test_images_of_equal_bytes_share_their_veto(context: BrowserContext) -> None:
    kept_one, twin = shown("one"), shown("twin", 2)
    page = opened(context, written([Group("duplicates", [kept_one, twin, twin._replace(name="copy")])]))
    removed(page, "copy").click()
    expect(removed(page, "twin")).to_have_attribute("aria-pressed", "true")
    assert saved(page) == {pair("one", "twin")}


HOSTILE = {
    "</script><script>document.title='hacked'</script>": "</script><script>document.title='hacked'</script>",
    "<img src=x onerror=\"document.title='hacked'\">": "<img src=x onerror=\"document.title='hacked'\">",
    "\"'><svg onload=alert(1)>&amp;": "\"'><svg onload=alert(1)>&amp;",
    "javascript:alert(1)": "javascript:alert(1)",
    "a\x00b\x1b[31m\r\nc": "a\\x00b\\x1b[31m\\r\\nc",
    "gpj.\u202eexe": "gpj.\\u202eexe",
    "caf\u00e9 \u732b \U0001f408": "caf\u00e9 \u732b \U0001f408",
    "undecodable \udcff": "undecodable \\udcff",
    "__proto__": "__proto__",
    "x" * 5000: "x" * 5000,
}


def test_hostile_names_are_text_and_run_nothing(context: BrowserContext) -> None:
    page = opened(context, written([Group("leak", [shown("kept"), *map(shown, HOSTILE)])]))
    assert page.locator(".name").evaluate_all("names => names.map(name => name.textContent)") == [
        "kept",
        *(text.rsplit("/", 1)[-1] for text in HOSTILE.values()),
    ]
    titles = page.locator(".image").evaluate_all("images => images.map(image => image.title)")
    assert titles == ["kept", *HOSTILE.values()]
    for button in page.locator("button.image").all():
        button.click()
    assert saved(page) == {pair(name, "kept") for name in HOSTILE}
    expect(page).to_have_title("Duplicates")


def test_policy_stops_what_might_slip_in(browser: Browser) -> None:
    with browser.new_context() as context:
        page = opened(context, written(FEW))
        page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "document.title = 'hacked'";
                document.body.append(script);
                document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=\\"document.title = 'hacked'\\">");
            }"""
        )
        reached = "fetch('data:,x').then(() => true, () => false)"
        assert not page.evaluate(reached)
        page.wait_for_timeout(200)
        expect(page).to_have_title("Duplicates")


def test_a_browser_that_keeps_nothing_says_so_and_still_saves(context: BrowserContext) -> None:
    context.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('denied'); }})")
    page = opened(context, written(FEW))
    removed(page, "oak-1").click()
    expect(page.locator("#said")).to_contain_text("save them before you close")
    assert saved(page) == {pair("oak-1", "oak")}


@pytest.mark.parametrize("stored", ["[]", "image,kept\nx,y\n", "null"])
def test_what_another_page_stored_under_the_name_is_passed_over(page: Page, stored: str) -> None:
    page.evaluate("text => localStorage.setItem(store, text)", stored)
    page.reload()
    assert len(kept(page)) == 6
    assert saved(page) == frozenset()


@pytest.mark.parametrize("width", [1280, 400, 320])
def test_nothing_hangs_over_the_side_or_into_the_next_row(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(200)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    edges = "parts => Math.max(...parts.map(part => part.getBoundingClientRect().right))"
    assert page.locator("article, .image, .tools > *").evaluate_all(edges) <= width
    below = "cards => cards.map(card => card.getBoundingClientRect().height - card.parentElement.offsetHeight)"
    assert max(page.locator("article").evaluate_all(below)) <= 0


def test_colours_follow_the_system(page: Page) -> None:
    ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert min(light) > 200 > 60 > max(page.evaluate(ground))


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 groups of four: the largest distance falls from 49 to 0."""
    path = tmp_path_factory.mktemp("many") / "review.html"
    groups = [group(f"g{number}", *[49 - number // 100] * (EACH - 1)) for number in range(MANY)]
    gallery.write(path, groups, ABOUT)
    return path


FRAME = """new Promise((done, failed) => {
    requestAnimationFrame(() => requestAnimationFrame(done));
    setTimeout(() => failed(new Error("no frame for 20 s")), 20_000);
})"""
IN_SIGHT = """() => [...document.querySelectorAll("article")]
    .filter(card => card.getBoundingClientRect().bottom > 0 && card.getBoundingClientRect().top < innerHeight)
    .map(card => Number(card.getAttribute("aria-posinset")))"""


def test_thousands_of_groups_are_scrolled_through_with_few_nodes(context: BrowserContext, many: Path) -> None:
    page = opened(context, many)
    expect(page.locator("#count")).to_have_text("5,000 groups, worst first")
    drawn: set[int] = set()
    nodes = 0
    end = page.evaluate("document.documentElement.scrollHeight - innerHeight")
    for top in [
        *range(0, end, 3000),
        end,
        end - 900,
        end // 2,
        end // 2 - 900,
    ]:  # what is drawn reaches 1,200 px beyond the 900 in sight
        page.evaluate(f"top => {{ scrollTo(0, top); return {FRAME}; }}", top)
        places = page.locator("article").evaluate_all("cards => cards.map(card => Number(card.ariaPosInSet))")
        assert places == list(range(places[0], places[-1] + 1))
        assert set(page.evaluate(IN_SIGHT)) <= set(places)
        drawn.update(places)
        nodes = max(nodes, page.evaluate("document.querySelectorAll('*').length"))
    assert drawn == set(range(1, MANY + 1))
    assert nodes < NODES
    assert page.evaluate("document.documentElement.scrollHeight - innerHeight") == end


def test_a_leap_to_the_end_and_a_filter_there(context: BrowserContext, many: Path) -> None:
    page = opened(context, many)
    page.keyboard.press("End")
    page.locator(f'[title="g{MANY - 1}"]').wait_for()
    assert page.evaluate("document.querySelectorAll('*').length") < NODES
    tools(page).get_by_label("Name").fill("g499")
    expect(page.locator("#count")).to_have_text("11 of 5,000 groups")
    assert kept(page) == ["g499", *(f"g{number}" for number in range(4990, 5000))]
    expect(page.locator('[title="g499"]')).to_be_in_viewport()


def test_the_keyboard_goes_through_all_images_in_their_order(context: BrowserContext, many: Path) -> None:
    page = opened(context, many)
    page.locator("#save").focus()
    names = []
    for _ in range(200):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.title"))
    assert names == [f"g{number // 3}-{number % 3 + 1}" for number in range(200)]
    page.evaluate(f"() => {{ scrollTo(0, 1e9); return {FRAME}; }}")
    page.keyboard.press("Tab")  # the focus did not get lost on the way
    assert page.evaluate("document.activeElement.title") == "g66-3"


def test_a_row_is_next_to_the_focus_before_the_next_frame(context: BrowserContext, many: Path) -> None:
    """A held Tab may be faster than the frames."""
    page = opened(context, many)
    beyond = page.evaluate("""() => {
        const last = [...document.querySelectorAll("button.image")].at(-1);
        last.focus();
        return last.closest(".row").nextElementSibling?.className;
    }""")
    assert beyond == "row"


def test_what_is_in_sight_stays_there_when_the_window_changes(context: BrowserContext, many: Path) -> None:
    page = opened(context, many)
    page.evaluate(f"() => {{ scrollTo(0, 100_000); return {FRAME}; }}")
    first = page.evaluate(IN_SIGHT)[0]
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_timeout(300)
    assert first in page.evaluate(IN_SIGHT)
