"""A run under review in the tests: its server in a thread, requests to it, and a real browser."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from cellscope.review.room import Room
from cellscope.review.server import HOST, bind, make_app

TOKEN = "token-of-the-tests"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


@dataclass
class Served:
    """A room, its server's address, and requests to it."""

    room: Room
    address: str

    def __post_init__(self) -> None:
        origin = self.address.removesuffix(f"/{TOKEN}/")
        self.client = httpx.Client(base_url=self.address, headers={"Origin": origin}, timeout=60)

    def get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def send(self, number: int, **what: Any) -> httpx.Response:
        """Make a change with the revision that is there."""
        revision = self.get(f"api/image/{number}")["revision"]
        return self.client.post(f"api/image/{number}", json={"revision": revision, **what})

    def edit(self, number: int, **edit: Any) -> Any:
        answer = self.send(number, edit=edit)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def settle(self, seconds: float = 240) -> None:
        """Wait until all is written."""
        wait(lambda: self.room.writer.idle, seconds)
        assert self.room.writer.problem == ""


def wait(holds: Callable[[], Any], seconds: float = 60, step: float = 0.05) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(step)
    return found


@contextmanager
def serving(out: Path, who: str = "Ada") -> Iterator[Served]:
    room = Room(out, images=None, who=who, argv=["cellscope", "review", str(out)])
    listening = bind(0)
    config = uvicorn.Config(make_app(room, TOKEN), log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    served = Served(room, f"http://{HOST}:{listening.getsockname()[1]}/{TOKEN}/")
    try:
        wait(lambda: server.started)
        yield served
    finally:
        served.client.close()
        server.should_exit = True
        thread.join()
        room.close()
        listening.close()


@contextmanager
def chromium(width: int = 1280, height: int = 800) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.options import Options
    from selenium.webdriver.chrome.service import Service

    options = Options()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", f"--window-size={width},{height}"):  # fmt: skip
        options.add_argument(flag)
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()
