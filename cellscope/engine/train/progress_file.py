"""How far a training is, in a file that is there, and locked, while it runs: what ``cellscope status`` reads."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from cellscope.engine.train.callbacks import ends_step
from cellscope.engine.train.status import PROGRESS, PROGRESS_SCHEMA
from cellscope.errors import UsageError
from cellscope.io.lock import hold, release

PATIENCE = 10.0
"""Seconds to wait for the loading processes of a training that was killed a moment ago."""


class ProgressFile(Callback):
    """Keeps the file, for the first of several processes.

    Parameters
    ----------
    out : Path
        The run folder; made.
    steps : int
        Of the whole training.
    every_s : float
        Seconds between two writes.

    Raises
    ------
    UsageError
        Another training is writing to the folder.
    """

    def __init__(self, out: Path, steps: int, *, every_s: float = 5.0):
        out.mkdir(parents=True, exist_ok=True)
        self.path, self.steps, self.every_s = out / PROGRESS, steps, every_s
        if not hold(self.path, patience=PATIENCE):
            raise UsageError(f"another training is writing to {out}; wait for it or choose another -o")
        self._began = self._last = time.monotonic()
        self._first: int | None = None

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Write down the step, every so often."""
        if not ends_step(trainer, batch_idx) or not trainer.is_global_zero:
            return
        now, step = time.monotonic(), trainer.global_step
        if self._first is None:
            self._first, self._began = step, now
        elif now - self._last < self.every_s:
            return
        self._last = now
        pace = (now - self._began) / (step - self._first) if step > self._first else None
        self._write({"step": step, "steps": self.steps, "seconds_per_step": pace})

    def interrupted(self) -> None:
        """Note that a signal ended the training, which had saved its state."""
        try:
            known = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            known = {"steps": self.steps}
        self._write({**known, "state": "interrupted"})
        release(self.path)

    def _write(self, known: dict[str, Any]) -> None:
        # in place: the lock is the file's, and another file of the same name would not be locked
        self.path.write_text(json.dumps({"schema": PROGRESS_SCHEMA, **known}), encoding="utf-8")

    def done(self) -> None:
        """Remove the file: the training is complete."""
        self.path.unlink(missing_ok=True)
        release(self.path)
