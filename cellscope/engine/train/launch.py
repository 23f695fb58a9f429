"""How Lightning is started: who launches the processes of a training, and what it is not to say."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment


def launched_by(processes: int) -> list[Any]:
    """Say who starts the processes of a training, where Lightning would guess wrong.

    A job of SLURM has ``SLURM_NTASKS`` in its environment also where nobody starts that many processes: its script runs
    once. Only ``srun`` starts one for each task, and it alone sets ``SLURM_STEP_ID``.

    Parameters
    ----------
    processes : int
        On all computers together.

    Returns
    -------
    list
        Plugins for Lightning's `Trainer`; empty where its own guess is right.
    """
    by_srun = processes > 1 and "SLURM_STEP_ID" in os.environ
    return [] if by_srun or not SLURMEnvironment.detect() else [LightningEnvironment()]


def quieten() -> None:
    """Keep Lightning's advice about loaders and loggers off the user's terminal."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    for pattern in (
        r".*does not have many workers.*",
        r".*module\(s\) in eval mode.*",
        r".*`?log_every_n_steps.*",
        r".*Checkpoint directory.*",
        r".*LeafSpec.*",
        r".*dataloader is not resumable.*",
        r".*have no `val_dataloader`.*",
        r".*`srun` command is available.*",  # `launched_by` knows
        r".*sync_dist=True.*",  # every process validates on everything, so the values agree
    ):
        warnings.filterwarnings("ignore", pattern)
