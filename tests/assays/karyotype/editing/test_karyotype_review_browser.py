"""The room of karyotypes in a real Chromium: each action by mouse and by key. Skipped where there is none."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawn.hands import Hands
from drawn.karyotype import CLASSES
from drawn.reviewing import CHROMIUM, DRIVER, Served, chromium, serving, wait
from test_karyotype_review import labelled, out, rendered  # noqa: F401 - fixtures

from cellscope.io.corrections import read_corrections

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver found"),
]
pytest.importorskip("selenium")
IMAGE = "case7/cell_01.png"


class Page(Hands):
    """What a person does."""

    def __init__(self, driver: Any, served: Served, folder: Path):
        super().__init__(driver, served.address, 60)
        self.served, self.out = served, folder
        self.load()

    def load(self) -> None:
        self.driver.get(self.served.address)
        wait(lambda: self.driver.find_elements("css selector", "#board .one"), 60)

    def chromosome(self, label: int) -> Any:
        return self.one(f'.one[data-label="{label}"]')

    def click(self, label: int, *, control: bool = False) -> None:
        from selenium.webdriver import ActionChains, Keys

        actions = ActionChains(self.driver)
        if control:
            actions = actions.key_down(Keys.CONTROL)
        actions = actions.click(self.chromosome(label))
        (actions.key_up(Keys.CONTROL) if control else actions).perform()

    def class_button(self, name: str) -> None:
        self.hit(f"#classes button:nth-child({[*CLASSES, 'unassigned'].index(name) + 1})")

    def classes(self) -> dict[int, str]:
        place = "[+one.dataset.label, one.closest('.slot').dataset.class]"
        script = f"return [...document.querySelectorAll('.one')].map((one) => {place})"
        return dict(self.driver.execute_script(script))

    def done(self, *kinds: str) -> None:
        """Wait until these edits are in force, in this order."""
        wait(lambda: [edit["do"] for edit in self.edits()] == list(kinds), 60)
        wait(lambda: self.driver.execute_script("return document.querySelectorAll('#history li').length") == len(kinds))

    def edits(self) -> list[dict[str, Any]]:
        found = read_corrections(self.out).get(IMAGE)
        return found.edits if found else []

    def box(self, label: int) -> list[int]:
        document = json.loads((self.out / "case7/cell_01.karyotype.json").read_text())
        found: list[int] = next(one["bbox"] for one in document["chromosomes"] if one["label"] == label)
        return found

    def place(self, label: int) -> tuple[int, int, list[float]]:
        """Where a chromosome's middle is, from the middle of the canvas, and how wide and high it is there."""
        script = "const canvas = document.getElementById('canvas'); return [canvas.clientWidth, canvas.clientHeight]"
        width, height = self.driver.execute_script(script)
        document = json.loads((self.out / "case7/cell_01.karyotype.json").read_text())
        box = self.box(label)
        scale = min(width / document["width"], height / document["height"]) * 0.98
        x, y = (box[0] + box[2]) / 2 - document["width"] / 2, (box[1] + box[3]) / 2 - document["height"] / 2
        return round(x * scale), round(y * scale), [scale * (box[2] - box[0]), scale * (box[3] - box[1])]

    def at(self, label: int) -> Any:
        from selenium.webdriver import ActionChains

        x, y, _ = self.place(label)
        return ActionChains(self.driver).move_to_element_with_offset(self.one("#canvas"), x, y)


@pytest.fixture
def page(out: Path) -> Iterator[Page]:  # noqa: F811
    with serving(out) as served, chromium() as driver:
        found = Page(driver, served, out)
        yield found
        wrong = [one for one in driver.get_log("browser") if one["level"] == "SEVERE" and "422" not in one["message"]]
        assert wrong == []


def test_each_change_by_mouse(page: Page) -> None:
    label, other = labelled(page.out, "5"), labelled(page.out, "6")
    page.click(label)
    next(
        button for button in page.driver.find_elements("css selector", "#classes button") if button.text == "21"
    ).click()
    page.done("class")
    assert page.classes()[label] == "21"
    assert "46,XY,-5,+21" in page.one("#facts").text
    for name, kind in (("flip", "flip"), ("turn", "turn"), ("remove", "remove")):
        before = [edit["do"] for edit in page.edits()]
        page.tool(name)
        page.done(*before, kind)
    assert label not in page.classes()
    page.hit("#undo")
    page.done("class", "flip", "turn")
    assert page.classes()[label] == "21"
    page.hit("#redo")
    page.done("class", "flip", "turn", "remove")
    first, second = labelled(page.out, "10"), labelled(page.out, "12")
    page.click(first)
    page.click(second, control=True)
    page.tool("join")
    page.done("class", "flip", "turn", "remove", "join")
    assert second not in page.classes()
    page.click(other)
    page.tool("split")
    x, y, (width, height) = page.place(other)
    across = (round(width) + 20, 0) if height > width else (0, round(height) + 20)
    from selenium.webdriver import ActionChains

    start = (x - across[0] // 2, y - across[1] // 2)
    drag = ActionChains(page.driver).move_to_element_with_offset(page.one("#canvas"), *start).click_and_hold()
    drag.move_by_offset(across[0] // 2, across[1] // 2).move_by_offset(
        across[0] // 2, across[1] // 2
    ).release().perform()
    page.done("class", "flip", "turn", "remove", "join", "split")
    assert len(page.classes()) == 45
    page.at(label).click().perform()  # what was removed lies bare now
    page.tool("add")
    page.at(label).click().perform()
    page.done("class", "flip", "turn", "remove", "join", "split", "add")
    assert len(page.classes()) == 46


def test_each_change_by_key(page: Page) -> None:
    from selenium.webdriver import Keys

    label = labelled(page.out, "5")
    page.press(Keys.ARROW_RIGHT)
    assert page.classes()[int(page.one('.one[aria-pressed="true"]').get_attribute("data-label"))] == "1"
    page.click(label)
    page.press("2", "1")
    page.done("class")
    assert page.classes()[label] == "21"
    page.press("f")
    page.done("class", "flip")
    page.press("t")
    page.done("class", "flip", "turn")
    page.press(Keys.DELETE)
    page.done("class", "flip", "turn", "remove")
    page.control("z")
    page.done("class", "flip", "turn")
    page.control("y")
    page.done("class", "flip", "turn", "remove")
    page.press("a")  # the cross starts in the middle; brought to the removed one by arrows
    script = "const c = document.getElementById('canvas'); return [c.clientWidth, c.clientHeight]"
    assert all(page.driver.execute_script(script))
    page.press(Keys.ESCAPE)
    one = labelled(page.out, "3")
    page.click(one)
    page.press("s")
    box = page.box(one)
    tall = box[3] - box[1] > box[2] - box[0]
    there, back = (Keys.ARROW_LEFT, Keys.ARROW_RIGHT) if tall else (Keys.ARROW_UP, Keys.ARROW_DOWN)
    page.press(*[there] * 20, Keys.ENTER, *[back] * 40, Keys.ENTER, Keys.ENTER)
    page.done("class", "flip", "turn", "remove", "split")
    page.click(labelled(page.out, "8"))
    page.press(Keys.ENTER)
    page.done("class", "flip", "turn", "remove", "split", "confirm")
    page.press(Keys.ESCAPE)
    page.press("R")
    wait(lambda: page.one("#count").text == "1 of 2 reviewed")
    page.press("]")
    wait(lambda: "cell_02" in page.one('nav [aria-current="true"]').text)
    page.press("[")
    wait(lambda: "cell_01" in page.one('nav [aria-current="true"]').text)
    page.press("?")
    assert page.one("#keys").is_displayed()


def test_a_reload_shows_what_was_done(page: Page) -> None:
    label = labelled(page.out, "Y")
    page.click(label)
    page.tool("remove")
    page.done("remove")
    page.load()
    assert label not in page.classes()
    assert page.one("#undo").is_enabled()


def test_a_second_tab_follows_the_first(page: Page) -> None:
    label = labelled(page.out, "Y")
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("tab")
    page.load()
    page.click(label)
    page.tool("remove")
    page.done("remove")
    page.driver.switch_to.window(first)
    wait(lambda: label not in page.classes(), 30)


@pytest.mark.parametrize("size", [(1280, 720), (1300, 800), (2560, 1440)])
def test_nothing_runs_over_its_box(page: Page, size: tuple[int, int]) -> None:
    page.driver.set_window_size(*size)
    script = """
    const board = document.getElementById("board"), page = document.documentElement;
    return [page.scrollWidth - innerWidth, board.scrollWidth - board.clientWidth,
            ...[...document.querySelectorAll("#board .row")].map((row) => row.scrollWidth - row.clientWidth)];
    """
    wait(lambda: max(page.driver.execute_script(script)) <= 0, 10)
    for dark in (False, True):
        if dark:
            page.one("#theme").click()
        ground = page.driver.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(18, 21, 27)" if dark else "rgb(244, 245, 247)")


def test_two_cells_side_by_side_and_on_paper(page: Page) -> None:
    from selenium.webdriver.common.print_page_options import PrintOptions

    page.press("b", "]")
    wait(lambda: page.driver.find_elements("css selector", "#beside:not([hidden]) .one"), 60)
    assert "cell_01" in page.one("#beside h2").text
    assert not page.one("#spread").is_displayed()
    before = page.driver.execute_script("return document.querySelector('#board .one img').width")
    pdf = base64.b64decode(page.driver.print_page(PrintOptions()))
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/") == 1
    assert "cell_02.png" in page.driver.execute_script("return document.getElementById('sheet').textContent")
    assert page.driver.execute_script("return document.querySelector('#board .one img').width") == before
    page.press("b")
    wait(lambda: page.one("#spread").is_displayed(), 30)
    assert not page.one("#beside").is_displayed()
