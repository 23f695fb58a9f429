"""The folder of a training: its files, the checkpoint to resume from, clearing it for a new one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from cellscope.engine.train.callbacks import DUE
from cellscope.errors import UsageError
from cellscope.io.write import atomic, write_text
from cellscope.options.resolve import to_toml

LAST = "last.ckpt"
BEST = "best.ckpt"
MODEL = "model.safetensors"
METRICS = "metrics.csv"
TENSORBOARD = "tensorboard"
_KEPT = "cellscope_best"
"""Key of a finished training's ``last.ckpt`` for the checkpoint with the best score."""


def find_resume(out: Path, resume: str | None) -> Path | None:
    """Turn ``--resume`` into a checkpoint: ``auto`` takes OUT's own and never fails on a first start.

    Raises
    ------
    UsageError
        If a named checkpoint is not there.
    """
    if not resume:
        return None
    if resume == "auto":
        path = out / LAST
        return path if path.is_file() else None
    path = Path(resume)
    if not path.is_file():
        raise UsageError(f"--resume {resume}: no such checkpoint")
    return path


def check_several(resume: str | None) -> None:
    """Refuse a checkpoint for a command of several trainings.

    Each would go on from it, also those that leave out what its network has seen.

    Raises
    ------
    UsageError
        ``--resume`` names one.
    """
    if resume and resume != "auto":
        raise UsageError(f"--resume {resume}: of several trainings each goes on from its own; give --resume auto")


def steps_taken(checkpoint: Path) -> int:
    """Read how far a checkpoint is."""
    try:
        return int(torch.load(checkpoint, weights_only=True, map_location="cpu")["global_step"])
    except Exception as error:  # whatever a broken file makes the unpickler say
        raise UsageError(f"{checkpoint} is not a checkpoint of a training; give the last.ckpt of one") from error


def validation_due(checkpoint: Path) -> bool:
    """Tell whether a checkpoint was written before a validation that was then killed."""
    return bool(torch.load(checkpoint, weights_only=True, map_location="cpu", mmap=True).get(DUE))


def put_best_away(out: Path) -> None:
    """Move ``best.ckpt`` of a finished training into its ``last.ckpt``, for a training that goes on from there."""
    if not (out / BEST).is_file():
        return
    last = torch.load(out / LAST, weights_only=True, map_location="cpu")
    last[_KEPT] = torch.load(out / BEST, weights_only=True, map_location="cpu")
    with atomic(out / LAST) as temporary:
        torch.save(last, temporary)
    (out / BEST).unlink()


def bring_best_back(out: Path, resume: Path) -> None:
    """Write ``best.ckpt`` of the training that goes on from a checkpoint.

    It lies in the checkpoint, where `put_best_away` moved it, or beside it. Of a training that goes on in another
    folder the metrics come along.
    """
    before = Path(resume).resolve().parent
    elsewhere = before != out.resolve()
    if (out / BEST).exists() and not elsewhere:
        return
    kept = torch.load(resume, weights_only=True, map_location="cpu").get(_KEPT)
    if kept is not None:
        with atomic(out / BEST) as temporary:
            torch.save(kept, temporary)
    elif elsewhere:
        (out / BEST).unlink(missing_ok=True)  # of another training
    for name in (BEST, METRICS) if elsewhere else ():
        if (before / name).is_file() and not (name == BEST and kept is not None):
            with atomic(out / name) as temporary:
                shutil.copyfile(before / name, temporary)


def refuse_training(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError if a folder holds a training that is neither continued nor to be overwritten."""
    if not overwrite and any((out / name).exists() for name in (LAST, MODEL, "run.json")):
        raise UsageError(f"{out} already holds a training; use --resume auto, --overwrite or another folder")


def make_room(out: Path, options: Any, resume: Path | None) -> None:
    """Refuse a folder that holds a training, or clear it; write ``config.toml``."""
    if resume is None:
        refuse_training(out, overwrite=options.overwrite)
    out.mkdir(parents=True, exist_ok=True)
    if resume is None:
        for name in (LAST, BEST, MODEL, "run.json", METRICS, "curves.png"):
            (out / name).unlink(missing_ok=True)
        shutil.rmtree(out / TENSORBOARD, ignore_errors=True)
    write_text(out / "config.toml", to_toml(options))
