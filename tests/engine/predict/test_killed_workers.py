"""Worker processes that are killed, idle or busy, or cannot be started: the run goes on without them."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor

import pytest
from fake_assay import ASSAY
from test_stages import many, outcome, run

from cellscope.engine.predict import workers as module
from cellscope.engine.predict.workers import Workers


@pytest.mark.slow
@pytest.mark.parametrize("part", ["find", "classify"])
def test_idle_workers_killed_while_the_network_computes(part, capsys):
    """What the kernel does when memory is short: the largest process goes, whatever it was doing."""
    killed = []

    def forward(inner):
        def wrapped(network, batch):
            for child in [] if killed else multiprocessing.active_children():
                os.kill(child.pid, signal.SIGKILL)
                child.join()
                killed.append(child.pid)
            return inner(network, batch)

        return wrapped

    stages = [dataclasses.replace(s, forward=forward(s.forward)) if s.part == part else s for s in ASSAY.stages]
    assay = dataclasses.replace(ASSAY, stages=tuple(stages))
    workers = Workers(ASSAY, 2, total=12, start_now=True)
    try:
        found = outcome(run(many(12), assay, workers=workers))
    finally:
        workers.close()
    assert killed
    assert found == outcome(run(many(12)))
    assert capsys.readouterr().err.count("a worker process died") == 1


@pytest.mark.parametrize("error", [OSError(12, "Cannot allocate memory"), EOFError()])
def test_workers_that_cannot_be_started_are_done_without(error, monkeypatch, capsys):
    def submit(*_):
        raise error

    monkeypatch.setattr(ProcessPoolExecutor, "submit", submit)
    workers = Workers(ASSAY, 2, total=5, start_now=True)
    assert outcome(run(many(5), workers=workers)) == outcome(run(many(5)))
    assert workers.pool is None
    assert "continuing without" in capsys.readouterr().err


def test_the_warning_names_what_happened(monkeypatch, capsys):
    def start(*_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "_start", start)
    workers = Workers(ASSAY, 2, total=5, start_now=True)
    assert outcome(run(many(5), workers=workers)) == outcome(run(many(5)))
    assert "Too many open files" in capsys.readouterr().err
