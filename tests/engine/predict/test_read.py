"""Reading ahead is bounded, ordered and isolates failures; outputs that collide with inputs are refused elsewhere."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fake_assay import ASSAY, FakeOptions, options_for

from cellscope.engine.predict import read as reading
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.read import Reader
from cellscope.errors import InputError
from cellscope.io.image import Image
from cellscope.io.inputs import Input


@pytest.fixture
def counted(monkeypatch):
    """Images of 10 x 10 pixels without files; `bad` names cannot be read; started counts the reads."""
    state = {"started": 0, "lock": threading.Lock()}

    def read(path, *, choice, wants, max_pixels):
        with state["lock"]:
            state["started"] += 1
        time.sleep(0.002)
        if path.name.startswith("bad"):
            raise InputError(f"{path.name}: broken")
        return Image(np.zeros((10, 10, 1), np.uint8))

    monkeypatch.setattr(reading, "read", read)
    return state


def reader(names, threads=2):
    inputs = [Input(Path(name), name) for name in names]
    return Reader(ASSAY, inputs, run=options_for(), options=FakeOptions(), cards={}, threads=threads)


def test_order_and_failures(counted):
    names = [f"{'bad' if k % 5 == 2 else 'a'}{k}" for k in range(23)]
    reads = reader(names)
    found = list(reads)
    assert [one.name for one in found] == names
    failures = [one for one in found if isinstance(one, Failure)]
    assert [failure.name for failure in failures] == [name for name in names if name.startswith("bad")]
    assert all(failure.seconds > 0 for failure in failures)
    reads.close()


def test_no_more_is_read_ahead_than_twice_the_threads(counted):
    reads = reader([f"a{k}" for k in range(40)])
    for taken, _ in enumerate(reads, 1):
        time.sleep(0.01)
        assert counted["started"] <= taken + 2 * 2
    assert counted["started"] == 40
    reads.close()


def test_pixels_read_ahead_are_bounded(counted, monkeypatch):
    monkeypatch.setattr(reading, "PIXELS_IN_FLIGHT", 150)  # one and a half images
    reads = reader([f"a{k}" for k in range(20)], threads=4)
    for taken, _ in enumerate(reads, 1):
        time.sleep(0.02)
        # at most one image per thread while no size is known, then two waiting
        assert counted["started"] <= max(4 + 1, taken + 2)
    assert counted["started"] == 20
    reads.close()


def test_closing_drops_what_was_not_read(counted):
    reads = reader([f"a{k}" for k in range(40)])
    next(iter(reads))
    reads.close()
    started = counted["started"]
    time.sleep(0.05)
    assert counted["started"] == started < 10
