"""The training's numbers: a CSV that survives a kill, and the picture drawn from it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger

from cellscope.engine.train.callbacks import ends_step
from cellscope.engine.train.folder import TENSORBOARD
from cellscope.errors import UsageError
from cellscope.io.write import write_png

EVERY = 20
"""Steps between two records of the losses."""


def logger_for(names: str, out: Path) -> Logger:
    """Return the Lightning logger that ``--logger``, a list with commas, names.

    ``csv`` needs none: `MetricsFile` writes that file. Lightning's CSVLogger deletes what an interrupted training had
    recorded when it goes on (`_check_log_dir_exists`, version 2.6).

    Raises
    ------
    UsageError
        If TensorBoard is asked for and not installed.
    """
    if "tensorboard" not in names:
        return DummyLogger()
    from lightning.pytorch.loggers import TensorBoardLogger

    try:
        return TensorBoardLogger(out, name="", version=TENSORBOARD)
    except ModuleNotFoundError as error:
        raise UsageError("--logger tensorboard needs TensorBoard: pip install 'cellscope[tensorboard]'") from error


class MetricsFile(Callback):
    """Append a row to ``metrics.csv`` every so many steps and at every validation.

    Columns: ``step``, ``name``, ``value``: long form, so that a resumed run with other metrics still appends.
    """

    HEADER = ("step", "name", "value")

    def __init__(self, path: Path, *, resumed: bool, every: int = EVERY):
        self.path, self.every = path, every
        if not (resumed and path.exists()):
            with path.open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerow(self.HEADER)

    def _append(self, step: int, values: dict[str, float]) -> None:
        with self.path.open("a", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([step, name, f"{value:.6g}"] for name, value in values.items())

    def on_train_batch_end(self, trainer: L.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Record the losses of this step, every `every` steps."""
        if ends_step(trainer, batch_idx) and trainer.global_step % self.every == 0 and trainer.is_global_zero:
            values = {
                name: float(value) for name, value in trainer.callback_metrics.items() if not name.startswith("val_")
            }
            rate = {"learning_rate": trainer.optimizers[0].param_groups[0]["lr"]}
            self._append(trainer.global_step, values | rate)

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Record what the validation logged."""
        if not trainer.sanity_checking and trainer.is_global_zero:
            values = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val_")}
            self._append(trainer.global_step, values)

    def rows(self) -> pd.DataFrame:
        """Read the file back; of a step recorded twice (before and after a kill) the later row counts."""
        table = pd.read_csv(self.path)
        return table.drop_duplicates(["step", "name"], keep="last")

    def at(self, step: int) -> dict[str, float]:
        """Give the validation values recorded at `step`."""
        table = self.rows()
        chosen = table[(table["step"] == step) & table["name"].str.startswith("val_")]
        return dict(zip(chosen["name"], chosen["value"].astype(float), strict=True))


MANY = 4
"""Parts of a measure from which on they are drawn together."""


def draw_curves(table: pd.DataFrame, path: Path) -> None:
    """Draw losses (left) and validation values (right) against the step.

    A measure of many sources or classes is drawn as its mean, with a band from the least to the largest.

    Parameters
    ----------
    table : DataFrame
        Columns step, name, value (see `MetricsFile`).
    path : Path
        The PNG to write.
    """
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained", dpi=120)
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name, rows in _gathered(table).groupby("name", sort=True):
        if name == "learning_rate":
            continue
        axis = right if str(name).startswith("val_") else left
        mean, low, high = (rows.groupby("step")["value"].agg(how) for how in ("mean", "min", "max"))
        marker = "o" if len(mean) < 40 else None
        (line,) = axis.plot(mean.index, mean, marker=marker, markersize=3, label=str(name).removeprefix("val_"))
        if (high > low).any():
            axis.fill_between(mean.index, low, high, color=line.get_color(), alpha=0.12, linewidth=0)
    for axis, title in ((left, "training"), (right, "validation")):
        axis.set_xlabel("step")
        axis.set_title(title)
        axis.grid(alpha=0.3)
        if axis.lines:
            axis.legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
    canvas.draw()
    write_png(path, np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _gathered(table: pd.DataFrame) -> pd.DataFrame:
    """Give the values of a measure under one name where it has `MANY` parts, as ``val_dice_<source>`` has."""
    parts = table["name"].str.extract(r"^(val_[^_]+)_(.+)$")
    many = parts.groupby(0)[1].nunique()
    together = parts[0].isin(many.index[many >= MANY])
    named = parts[0].map(lambda measure: f"{measure}, mean of {many.get(measure, 0)}")
    return table.assign(name=table["name"].where(~together, named))
