"""Progress: plain lines now and then, a bar on a terminal, nothing when quiet."""

from __future__ import annotations

import io

import pytest

from cellscope.engine import progress
from cellscope.engine.progress import RunProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_come_now_and_then(clock):
    stream = io.StringIO()
    with RunProgress(1000, label="fake predict", stream=stream) as bar:
        for k in range(1000):
            clock[0] += 0.05
            bar.step(failed=k == 3)
    lines = stream.getvalue().strip().split("\n")
    assert lines[0] == "fake predict: 1000 to do"
    assert lines[1] == "fake predict: 100 of 1000, 1 failed, 0.05 s each, about 45 s left"
    assert lines[-1] == "fake predict: 1000 of 1000, 1 failed, 0.05 s each"
    assert len(lines) == 11


def test_a_line_is_there_at_once(clock):
    stream = io.StringIO()
    with RunProgress(3, label="x", stream=stream):
        assert stream.getvalue() == "x: 3 to do\n"


def test_windows_of_a_slide_are_counted_with_the_minutes_left(clock):
    stream = io.StringIO()
    with RunProgress(2, label="histo predict", stream=stream) as bar:
        bar.divide("a.svs", 40, done=8)
        for _ in range(32):
            clock[0] += 12
            bar.step(window_of="a.svs")
        bar.step()
        bar.divide("b.svs", 10)
        clock[0] += 12
        bar.step(window_of="b.svs")
        bar.give_up("b.svs")
        clock[0] += 12
        bar.step(failed=True)
    lines = stream.getvalue().splitlines()
    assert lines[:3] == [
        "histo predict: 2 to do",
        "histo predict: a.svs has 40 windows, 8 of them done before",
        "histo predict: 0 of 2, a.svs: window 9 of 40, 12.00 s each, about 7 min left",
    ]
    assert "histo predict: b.svs has 10 windows" in lines
    assert "histo predict: 1 of 2, b.svs: window 1 of 10, 11.65 s each, about 2 min left" in lines
    assert lines[-1] == "histo predict: 2 of 2, 1 failed, 11.66 s each"
    assert bar.total == bar.done


def test_a_bar_names_the_window():
    stream = Terminal()
    with RunProgress(1, label="histo predict", stream=stream) as bar:
        bar.divide("a.svs", 3)
        bar.step(window_of="a.svs")
    assert "a.svs: window 1 of 3" in stream.getvalue()


def test_slow_inputs_are_reported_every_ten_seconds(clock):
    stream = io.StringIO()
    with RunProgress(1000, label="x", stream=stream) as bar:
        for _ in range(6):
            clock[0] += 5
            bar.step()
    assert stream.getvalue().count("\n") == 1 + 3


def test_quiet_shows_notes_only():
    stream = io.StringIO()
    with RunProgress(2, label="x", quiet=True, stream=stream) as bar:
        bar.step()
        bar.note("a.tif: broken")
        bar.step(failed=True)
    assert stream.getvalue() == "a.tif: broken\n"


def test_a_terminal_gets_a_bar_and_whole_notes():
    stream = Terminal()
    with RunProgress(2, label="fake predict", stream=stream) as bar:
        bar.step()
        bar.note("[red]a.tif[/red]: " + "long " * 40 + "end")
        bar.step()
    shown = stream.getvalue()
    assert "2/2" in shown
    assert "[red]a.tif[/red]: " + "long " * 40 + "end" in shown
