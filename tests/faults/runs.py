"""Runs of the fake assay: a finished one, shards, and one that was killed; and everything that goes on from them."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from fake_assay import ASSAY, FakeOptions, options_for, write_images, write_models

from cellscope.engine.predict.journal import NAME, Journal
from cellscope.engine.predict.merge import merge
from cellscope.engine.predict.plan import predict
from cellscope.engine.predict.shards import status
from cellscope.errors import CellscopeError


def _predict(folder: Path, out: str, **run: Any) -> None:
    predict(
        ASSAY, [str(folder / "in")], folder / out, run=options_for(**run), options=FakeOptions(),
        models=[str(folder / f"{part}.safetensors") for part in ("find", "classify")],
        argv=["cellscope", "fake", "predict"],
    )  # fmt: skip


def run_fake(folder: Path) -> list[Path]:
    """Run, and give the files that say what was done."""
    write_images(folder / "in", 4)
    write_models(folder)
    _predict(folder, "whole")
    _predict(folder, "parts", shard="1/2")
    _predict(folder, "parts", shard="2/2")
    keep, Journal.remove = Journal.remove, lambda self, **_: self._stream.close()  # type: ignore[method-assign]
    try:
        _predict(folder, "killed")
    finally:
        Journal.remove = keep  # type: ignore[method-assign]
    for name in ("run.json", "images.csv", "objects.csv", "halves.csv", "report.html"):
        (folder / "killed" / name).unlink()
    return [
        *(folder / "whole" / name for name in ("run.json", "images.csv", "objects.csv", "halves.csv")),
        *(folder / "parts/shards/1-of-2" / name for name in ("run.json", "plan.json", "images.csv", "objects.csv")),
        folder / "killed" / NAME,
    ]


def continue_fake(path: Path, folder: Path) -> None:
    """Ask for the status, then go on or merge, all in a copy."""
    place = path.relative_to(folder).parts[0]
    copy = folder.with_name("out") / place
    shutil.rmtree(copy.parent, ignore_errors=True)
    shutil.copytree(folder / place, copy)
    try:
        with contextlib.suppress(CellscopeError):
            status(copy)
        if place == "parts":
            merge(copy, ASSAY)
        else:
            _go_on(folder, copy)
    finally:
        shutil.rmtree(copy.parent, ignore_errors=True)


def _go_on(folder: Path, out: Path) -> None:
    _predict(folder, os.path.relpath(out, folder), skip_existing=True)
