"""Hands at the page of a review of nuclei: every change by mouse and by key, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from drawn.reviewing import wait

Point = tuple[float, float]


class Hands:
    """What a person does; each generator makes the changes in turn and names them once the page shows them."""

    def __init__(self, driver: Any, address: str, seconds: float = 600) -> None:
        from selenium.webdriver import ActionChains, Keys

        self.driver, self.address, self.seconds = driver, address, seconds
        self.actions, self.keys = ActionChains, Keys
        self.changes = 0

    def load(self) -> None:
        """Open the page and wait for its first image."""
        self.driver.get(self.address)
        self.until("document.getElementById('status').textContent.includes('to review')")

    def until(self, condition: str) -> None:
        """Wait for what a line of JavaScript says."""
        wait(lambda: self.driver.execute_script(f"return {condition}"), self.seconds, 0.02)

    def one(self, query: str) -> Any:
        """Give an element."""
        return self.driver.find_element("css selector", query)

    def shows(self, changes: int) -> None:
        """Wait until the page shows so many changes of this image."""
        self.until(f"document.getElementById('history')?.children.length === {changes}")
        self.changes = changes

    def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        self.actions(self.driver).send_keys(*keys).perform()

    def control(self, key: str) -> None:
        """Press a key with Ctrl."""
        keys = self.keys
        self.actions(self.driver).key_down(keys.CONTROL).send_keys(key).key_up(keys.CONTROL).perform()

    def hit(self, query: str) -> None:
        """Click a button once it can be pressed; the page may draw it anew meanwhile."""
        from selenium.common.exceptions import ElementNotInteractableException, StaleElementReferenceException

        def once() -> bool:
            try:
                found = self.one(query)
                if not found.is_enabled():
                    return False
                found.click()
            except (StaleElementReferenceException, ElementNotInteractableException):
                return False
            return True

        wait(once, self.seconds)

    def tool(self, name: str) -> None:
        """Press a tool's button."""
        self.hit(f'#tools [data-do="{name}"]')

    def shown(self) -> dict[str, Any]:
        """Ask the server for the image that is open."""
        script = """
        const [address, done] = arguments, name = decodeURIComponent(location.hash.slice(1));
        fetch(`${address}api/run`).then((answer) => answer.json())
          .then((run) => fetch(`${address}api/image/${run.images.findIndex((one) => one.image === name)}`))
          .then((answer) => answer.json()).then(done);
        """
        self.driver.set_script_timeout(self.seconds)
        found: dict[str, Any] = self.driver.execute_async_script(script, self.address)
        return found

    def middles(self) -> dict[int, Point]:
        """Give the middle of each object, x and y, nearest to the middle of the image first."""
        shown = self.shown()
        self.size = shown["width"], shown["height"]
        found = {one["label"]: tuple(np.mean(one["outline"][0], axis=0)) for one in shown["objects"]}
        middle = np.array(self.size) / 2
        return dict(sorted(found.items(), key=lambda item: float(np.hypot(*(np.array(item[1]) - middle)))))

    def at(self, place: Point) -> tuple[int, int]:
        """Give a place of the image, seen as a whole, from the middle of the canvas."""
        script = "const canvas = document.getElementById('canvas'); return [canvas.clientWidth, canvas.clientHeight]"
        scale = 0.98 * min(np.array(self.driver.execute_script(script)) / self.size)
        x, y = (np.array(place) - np.array(self.size) / 2) * scale
        return round(float(x)), round(float(y))

    def click(self, place: Point, *, control: bool = False) -> None:
        """Click a place of the image."""
        actions = self.actions(self.driver)
        if control:
            actions = actions.key_down(self.keys.CONTROL)
        actions = actions.move_to_element_with_offset(self.one("#canvas"), *self.at(place)).click()
        (actions.key_up(self.keys.CONTROL) if control else actions).perform()

    def drag(self, *places: Point) -> None:
        """Draw through places of the image."""
        canvas, (first, *rest) = self.one("#canvas"), places
        actions = self.actions(self.driver, duration=20)
        actions = actions.move_to_element_with_offset(canvas, *self.at(first)).click_and_hold()
        for place in rest:
            actions = actions.move_to_element_with_offset(canvas, *self.at(place))
        actions.release().perform()

    def by_mouse(self) -> Iterator[str]:
        """Make every change by mouse."""
        self.press(self.keys.HOME)
        one, two, three, four, five, six, *_ = self.middles().values()
        self.click(one)
        self.tool("remove")
        yield self._done("remove")
        self.hit("#undo")
        self.shows(self.changes - 1)
        yield "undo"
        self.hit("#redo")
        yield self._done("redo")
        self.tool("add")
        self.click(one)
        yield self._done("add")
        self.click(two)
        self.click(nearest(two, (three, four, five, six)), control=True)
        self.tool("join")
        yield self._done("join")
        rest = list(self.middles().values())
        self.click(rest[3])
        self.tool("split")
        self.drag(*(shifted(rest[3], 0, step) for step in (-26, -12, 0, 12, 26)))
        yield self._done("split")
        self.click(rest[5])
        self.tool("outline")
        self.drag(*around(rest[5], 17, 9))
        yield self._done("outline")
        self.click(rest[7])
        self.tool("remove")
        yield self._done("remove")
        self.press(self.keys.ESCAPE)
        self.tool("draw")
        self.drag(*around(rest[7], 17, 9))
        yield self._done("draw")
        self.hit("#reviewed")
        self.until("document.getElementById('reviewed').getAttribute('aria-pressed') === 'true'")
        yield "reviewed"
        self.click(rest[9])
        self.tool("confirm")
        yield self._confirmed()

    def by_key(self) -> Iterator[str]:
        """Make every change by key; only the objects to be joined are clicked."""
        keys = self.keys
        places = list(self.middles().values())
        self.press(keys.ESCAPE, keys.ARROW_RIGHT, keys.DELETE)
        yield self._done("remove")
        self.control("z")
        self.shows(self.changes - 1)
        yield "undo"
        self.control("y")
        yield self._done("redo")
        self.press(keys.HOME)  # an object at the border was brought into view
        self.click(places[11])
        self.click(nearest(places[11], places[12:]), control=True)
        self.press("j")
        yield self._done("join")
        places = list(self.middles().values())
        self.click(places[13])
        self.press("s", *[keys.ARROW_UP] * 26, keys.ENTER, *[keys.ARROW_DOWN] * 52, keys.ENTER, keys.ENTER)
        yield self._done("split")
        self.click(places[15])
        self.press("o", *self._square())
        yield self._done("outline")
        self.click(places[17])
        self.press("a", keys.ESCAPE, keys.DELETE)
        yield self._done("remove")
        self.press(keys.ESCAPE, "a", *self._way(places[17]), keys.ENTER)
        yield self._done("add")
        self.click(places[19])
        self.press(keys.DELETE)
        yield self._done("remove")
        self.press(keys.ESCAPE, "d", *self._way(places[19]), *self._square())
        yield self._done("draw")
        self.press("R")
        self.until("document.getElementById('reviewed').getAttribute('aria-pressed') === 'false'")
        yield "reviewed"
        self.press(keys.ESCAPE, keys.ARROW_RIGHT, keys.ENTER)
        yield self._confirmed()

    def _done(self, what: str) -> str:
        self.shows(self.changes + 1)
        script = "return [...document.getElementById('history').children].map((one) => one.textContent.split(',')[0])"
        kinds = self.driver.execute_script(script)
        assert what == "redo" or {"draw": "add"}.get(what, what) in (kinds[0], kinds[-1]), (what, kinds)
        return what

    def _confirmed(self) -> str:
        """Wait for a confirmed object; where it was the last to review, the page went on to another image: go back."""
        image = "decodeURIComponent(location.hash.slice(1))"
        count = "document.getElementById('history').children.length"
        was = self.driver.execute_script("return document.querySelector('nav [aria-current=\"true\"]').title")
        self.until(f"{image} !== '{was}' || {count} === {self.changes + 1}")
        self.hit(f'nav button[title="{was}"]')
        self.until(f"{image} === '{was}'")
        return self._done("confirm")

    def _way(self, place: Point) -> list[str]:
        """Give the keys that take the cross from the middle of the image to a place."""
        keys, found = self.keys, []
        for gap, (back, on) in zip(
            np.round(np.array(place) - np.array(self.size) / 2),
            ((keys.ARROW_LEFT, keys.ARROW_RIGHT), (keys.ARROW_UP, keys.ARROW_DOWN)),
            strict=True,
        ):
            found += [on if gap > 0 else back] * abs(int(gap))
        return found

    def _square(self) -> list[str]:
        """Give the keys that draw a square around the cross."""
        keys = self.keys
        sides = ((keys.ARROW_RIGHT, 18), (keys.ARROW_DOWN, 18), (keys.ARROW_LEFT, 18))
        found = [keys.ARROW_LEFT] * 9 + [keys.ARROW_UP] * 9 + [keys.ENTER]
        for key, count in sides:
            found += [key] * count + [keys.ENTER]
        return [*found, keys.ENTER]


def shifted(place: Point, x: float, y: float) -> Point:
    """Give a place beside another."""
    return place[0] + x, place[1] + y


def around(place: Point, radius: float, count: int) -> list[Point]:
    """Give places on a circle."""
    angles = np.linspace(0, 2 * np.pi, count)
    return [shifted(place, float(radius * np.cos(angle)), float(radius * np.sin(angle))) for angle in angles]


def nearest(place: Point, others: Any) -> Point:
    """Give the nearest of other places."""
    found: Point = min(others, key=lambda one: np.hypot(one[0] - place[0], one[1] - place[1]))
    return found
