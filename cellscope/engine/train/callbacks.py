"""Callbacks of the training loop: checkpoints that survive a kill, stopping on a signal, progress."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping

from cellscope.engine.train.phases import MOVED_ON, Phases
from cellscope.errors import Interrupted

DUE = "cellscope_validation_due"
"""Key of a checkpoint that was written before the validation of its step."""


def ends_step(trainer: L.Trainer, batch_idx: int) -> bool:
    """Tell whether a batch is the last of an optimiser step; with ``--accumulate`` a step has several.

    Trainings are one epoch, which resumed ones go on with, so that batches are counted from the first step.
    """
    return (batch_idx + 1) % trainer.accumulate_grad_batches == 0


class SaveAndStop(Checkpoint):
    """Write ``last.ckpt`` every so often and around validations; on SIGINT or SIGTERM write it and end.

    As a context it installs the signal handlers. Lightning puts its own in front of them when a fit begins, which
    would leave the loop without saving (and broadcasts inside the handler), so they are put back once training
    starts.

    Parameters
    ----------
    path : Path
        The checkpoint to write.
    save_every : int
        Steps between two writes.
    validates : callable or None
        Whether a validation follows a step; None without validation. A stop waits for a validation that is due or
        under way. The checkpoint written before it says that it is due: see `ValidateAt`.

    Attributes
    ----------
    received : int or None
        The signal noted. A second Ctrl-C stops at once.
    """

    def __init__(self, path: Path, *, save_every: int, validates: Callable[[int], bool] | None):
        self.path, self.save_every, self.validates = path, save_every, validates
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._stepping = self._due = False

    def __enter__(self) -> SaveAndStop:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
            if hasattr(signal, "SIGCHLD"):
                self._before[signal.SIGCHLD] = signal.getsignal(signal.SIGCHLD)
            self._install()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _install(self) -> None:
        if self._before:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            if number == signal.SIGINT:
                raise self.interruption("at once")
            return
        self.received = number
        # A signal to the whole process group ends the loader's workers too. Their death must not break into the step
        # under way.
        if hasattr(signal, "SIGCHLD"):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def interruption(self, when: str) -> Interrupted:
        """Give the error that ends the command: exit code 130 after Ctrl-C, 143 after SIGTERM."""
        number = signal.SIGTERM if self.received is None else self.received
        saved = f"saved {self.path}; resume with --resume auto" if self.path.is_file() else "nothing was saved yet"
        return Interrupted(f"training stopped by signal {when}; {saved}", 128 + number)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Take the signals back from Lightning."""
        self._install()

    def on_before_optimizer_step(self, *_: Any) -> None:
        """Remember that weights are about to change."""
        self._stepping = True

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save when it is time to; stop if a signal came and no validation is due."""
        if not ends_step(trainer, batch_idx):
            return
        self._stepping = False
        step = trainer.global_step
        stop = self._agreed(trainer)
        self._due = self.validates is not None and self.validates(step)
        if stop or self._due or step % self.save_every == 0:
            trainer.save_checkpoint(self.path)
        if stop and not self._due:
            raise self.interruption(f"at step {step}")

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Save what the validation brought (the best score so far); stop if a signal came."""
        if trainer.sanity_checking:
            return
        self._due = False
        trainer.save_checkpoint(self.path)
        if self._agreed(trainer):
            raise self.interruption(f"at step {trainer.global_step}")

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note a validation that is due or under way, and begin a step anew whose batches are not complete."""
        if self._due:
            checkpoint[DUE] = True
        whole = trainer.global_step * trainer.accumulate_grad_batches
        loops = checkpoint.get("loops", {}).get("fit_loop", {})
        for counts in loops.get("epoch_loop.batch_progress", {}).values():
            if isinstance(counts, dict) and counts["ready"] > whole:
                counts.update(dict.fromkeys(counts, whole))

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Save between two steps when the signal reached the loader's workers first."""
        if self.lost_workers(exception) and not self._stepping and trainer.world_size == 1 and trainer.global_step:
            trainer.save_checkpoint(self.path)

    def lost_workers(self, error: BaseException) -> bool:
        """Tell whether `error` only says that the signal ended the loader's worker processes as well."""
        if self.received is None:
            return False
        # Which of the two it is depends on where the worker was when it died: waited for, or in the middle of sending.
        return isinstance(error, (ConnectionError, EOFError)) or "DataLoader worker" in str(error)

    def _agreed(self, trainer: L.Trainer) -> bool:
        """Whether any of the training processes got a signal: they all stop after the same step."""
        stop = self.received is not None
        return trainer.strategy.reduce_boolean_decision(stop, all=False) if trainer.world_size > 1 else stop


class ValidateAt(Callback):
    """Validate after the steps that a function names: Lightning itself knows one interval alone.

    Parameters
    ----------
    validates : callable
    due : bool
        The training goes on from a checkpoint that was written before a validation: it comes first.
    steps : callable
        Gives those of the training, after that validation, which may end a phase; only then is it told, so that a
        training that wants nothing but that validation begins at all.
    """

    def __init__(self, validates: Callable[[int], bool], *, steps: Callable[[], int], due: bool = False):
        self.validates, self.due, self.steps = validates, due, steps

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Do the validation that a kill prevented, as the loop itself does it."""
        if not self.due:
            return
        self.due = False
        trainer.validating = True
        trainer.fit_loop.epoch_loop.val_loop.run()
        trainer.training = True
        trainer.fit_loop.epoch_loop.max_steps = self.steps()

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Make the batch that begins the last before a validation, or not."""
        due = ends_step(trainer, batch_idx) and self.validates(trainer.global_step + 1)
        trainer.val_check_batch = 1 if due else sys.maxsize


class EarlyStop(EarlyStopping):
    """End a phase when ``val_score`` has not risen for `patience` validations of it; after the last, stop.

    Parameters
    ----------
    phases : Phases
    patience : int
    """

    def __init__(self, phases: Phases, patience: int):
        super().__init__("val_score", mode="max", patience=patience)
        self.phases = phases
        self._counted_in_first = False

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Compare with the best score of the phase so far."""
        step = trainer.global_step
        first = self.phases.in_first(step)
        if self._counted_in_first and not first:
            self._anew()
        if step == self.phases.options.second_from and step:
            return  # the first phase ends here anyway
        self._counted_in_first = first
        super().on_validation_end(trainer, module)
        if first and trainer.should_stop:
            trainer.should_stop = False
            self.phases.move_on(step)
            follow(self.phases, trainer, module)
            self._anew()

    def _anew(self) -> None:
        self.wait_count, self.stopped_epoch = 0, 0
        self.best_score = torch.tensor(-torch.inf)
        self._counted_in_first = False

    def state_dict(self) -> dict[str, Any]:
        """Keep the count for a training that is resumed."""
        return {**super().state_dict(), "counted_in_first": self._counted_in_first}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self._counted_in_first = bool(state_dict.get("counted_in_first", False))
        super().load_state_dict(state_dict)

    def on_save_checkpoint(self, trainer: L.Trainer, module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note when the second phase began early."""
        if self.phases.moved_on is not None:
            checkpoint[MOVED_ON] = self.phases.moved_on


def follow(phases: Phases, trainer: L.Trainer, module: Any) -> None:
    """Let a training know of the options as they stand now."""
    module.options = phases.options
    trainer.fit_loop.epoch_loop.max_steps = phases.options.steps


class StepSeed(Callback):
    """Seed every batch with the number of its step, so that a resumed training draws what it would have drawn."""

    def __init__(self, seed: int):
        self.seed = seed

    def on_train_batch_start(self, trainer: L.Trainer, module: Any, batch: Any, batch_idx: int) -> None:
        """Seed by run, step, process and place in the step."""
        place = batch_idx % trainer.accumulate_grad_batches
        seed = (self.seed * 1_000_003 + trainer.global_step) * 1_009 + trainer.global_rank
        torch.manual_seed(seed + place * 1_000_000_007)


class Progress(Callback):
    """Plain progress lines on stderr: loss, images per second, score and time left, every so often.

    Parameters
    ----------
    say : callable
        Takes a line.
    total : int
        Steps of the training.
    items_per_step : int
        Training images that one optimiser step takes, of all processes together.
    every_s : float
        Seconds between two lines.
    """

    def __init__(self, say: Callable[[str], None], total: int, items_per_step: int, every_s: float = 20.0):
        self.say, self.total, self.items_per_step, self.every_s = say, total, items_per_step, every_s
        self.began = self.last = time.monotonic()
        self.first_step: int | None = None

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Say where the training is."""
        if not ends_step(trainer, batch_idx):
            return
        now = time.monotonic()
        step = trainer.global_step
        if self.first_step is None:
            self.first_step, self.began = step, now
        if now - self.last < self.every_s and step < self.total:
            return
        self.last = now
        rate = (now - self.began) / max(step - self.first_step, 1)
        loss = float(outputs["loss"]) if isinstance(outputs, dict) else float(outputs)
        left = ""
        if step > self.first_step and rate > 0:  # the first step warms up: it is not counted
            speed = f"{self.items_per_step / rate:.3g} images/s"
            left = f"  {rate:.2f} s/step  {speed}  {rate * (self.total - step) / 60:.0f} min left"
        self.say(f"step {step}/{self.total}  loss {loss:.3f}{left}")

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Say what the validation found."""
        score = trainer.callback_metrics.get("val_score")
        if score is not None and not trainer.sanity_checking:
            self.say(f"step {trainer.global_step}  validation score {float(score):.4f}")
