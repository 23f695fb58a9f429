"""How far a training is, from its files alone: for ``cellscope status``, without PyTorch."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cellscope.errors import CellscopeError, UsageError
from cellscope.io.lock import is_held
from cellscope.options.resolve import read_config

PROGRESS = "progress.json"
"""There while a training runs, and of one that stopped; see `cellscope.engine.train.progress_file`."""
PROGRESS_SCHEMA = "cellscope.progress/1"
CONFIG, METRICS, RECORD = "config.toml", "metrics.csv", "run.json"
DEEPEST = 2
"""Folders between OUT and the training of a repeat without a source."""


def is_training(out: Path) -> bool:
    """Tell whether a folder holds a training, or several."""
    return (Path(out) / CONFIG).is_file() or (Path(out) / PROGRESS).is_file()


def status(out: Path) -> dict[str, Any]:
    """Say how far the training in a folder is.

    Parameters
    ----------
    out : Path
        The OUT of `train`.

    Returns
    -------
    dict
        ``state`` (``running``, ``interrupted`` by a signal, ``stopped`` by a kill, ``complete``), ``step``, ``steps``
        (None where unknown), ``best`` (``step`` and ``val_score``, or None), ``seconds_left`` (None unless it runs),
        and ``trainings``: the same of each, with its ``name``, where the folder holds several, such as repeats. Their
        sums and the best of them then stand above.
    """
    out = Path(out)
    inner = sorted(
        path.parent for depth in range(1, DEEPEST + 1) for path in out.glob("/".join(["*"] * depth + [METRICS]))
    )
    if (out / METRICS).is_file() or (out / PROGRESS).is_file() or not inner:
        return {**_one(out), "trainings": []}
    found = [{"name": folder.relative_to(out).as_posix(), **_one(folder)} for folder in inner]
    states = [one["state"] for one in found]
    state = "complete" if (out / RECORD).is_file() else next((s for s in ("running", "interrupted") if s in states), "")
    left = [one["seconds_left"] for one in found if one["seconds_left"] is not None]
    known = [one["steps"] for one in found if one["steps"] is not None]
    return {
        "state": state or "stopped",
        "step": sum(one["step"] for one in found),
        "steps": sum(known) if len(known) == len(found) else None,
        "best": max((one["best"] for one in found if one["best"]), key=lambda best: best["val_score"], default=None),
        "seconds_left": sum(left) if left else None,
        "trainings": found,
    }


def _one(folder: Path) -> dict[str, Any]:
    known = _read(folder / PROGRESS)
    running = is_held(folder / PROGRESS)
    record = {} if (folder / PROGRESS).is_file() else _read(folder / RECORD)
    reached, best = _metrics(folder / METRICS)
    step, steps, pace = (known.get(name) for name in ("step", "steps", "seconds_per_step"))
    if record:
        step = steps = record.get("steps")
    elif steps is None:
        steps = _planned(folder / CONFIG)
    step = max(int(step or 0), reached)
    state = "complete" if record else "running" if running else str(known.get("state", "stopped"))
    left = None
    if running and pace is not None and steps is not None:
        left = round(max(steps - step, 0) * pace, 1)
    return {"state": state, "step": step, "steps": steps, "best": best, "seconds_left": left}


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # it is being written
        return {}
    return found if isinstance(found, dict) else {}


def _planned(path: Path) -> int | None:
    try:
        steps = read_config(path).get("steps")
    except (UsageError, CellscopeError):
        return None
    return steps if isinstance(steps, int) else None


def _metrics(path: Path) -> tuple[int, dict[str, Any] | None]:
    """Give the last step that was recorded, and the best validation score."""
    last, scores = 0, dict[int, float]()
    for step, name, value in _rows(path):
        last = max(last, step)
        if name == "val_score":
            scores[step] = value
    if not scores:
        return last, None
    step = max(scores, key=lambda step: scores[step])
    return last, {"step": step, "val_score": scores[step]}


def _rows(path: Path) -> Sequence[tuple[int, str, float]]:
    found = []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream):
                try:
                    found.append((int(row["step"]), row["name"], float(row["value"])))
                except (KeyError, TypeError, ValueError):  # a last line cut short
                    continue
    except (OSError, UnicodeDecodeError):
        return []
    return found
