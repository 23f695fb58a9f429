"""Optimisers and learning-rate schedules by options."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from cellscope.engine.train.phases import Phases


def decay_groups(
    network: torch.nn.Module, *, backbone: torch.nn.Module | None = None, rate: float = 0.0
) -> list[dict[str, Any]]:
    """Split a network's parameters in two groups, the second of them (norms and biases) without weight decay.

    With a `backbone` there are two more for its parameters, at a learning rate of their own.
    """
    slow = set() if backbone is None else {id(p) for p in backbone.parameters()}
    groups: list[dict[str, Any]] = []
    for own_rate in (False, True) if slow else (False,):
        chosen = [p for p in network.parameters() if (id(p) in slow) is own_rate]
        more = {"lr": rate} if own_rate else {}
        groups.append({"params": [p for p in chosen if p.ndim > 1], **more})
        groups.append({"params": [p for p in chosen if p.ndim <= 1], "weight_decay": 0.0, **more})
    return groups


def optimiser_and_schedule(
    parameters: Any, options: Any, *, phases: Phases | None = None, second_rate: float = 1.0
) -> dict[str, Any]:
    """Make the optimiser and the learning-rate schedule an options object asks for.

    Parameters
    ----------
    parameters : iterable of Parameter or of parameter groups
    options : TrainOptions
        Uses ``optimiser`` (adamw, adam, sgd), ``learning_rate``, ``weight_decay``, ``schedule`` (cosine, constant,
        step, poly, exponential), ``warmup_steps``, ``warmup_ratio``, ``final_ratio``, ``steps``, ``step_every`` and
        ``step_gamma``.
    phases : Phases, optional
        Of a training in two phases: the schedule runs anew in the second, whenever that begins.
    second_rate : float
        Learning rate of the second phase as a share of the first one's.

    Returns
    -------
    dict
        What Lightning's `configure_optimizers` may return; the schedule moves once per step.
    """
    kinds: dict[str, Callable[..., torch.optim.Optimizer]] = {
        "adamw": torch.optim.AdamW,
        "adam": torch.optim.Adam,
        "sgd": lambda p, **k: torch.optim.SGD(p, momentum=0.9, **k),
    }
    optimiser = kinds[options.optimiser](parameters, lr=options.learning_rate, weight_decay=options.weight_decay)
    phases = phases or Phases(options)

    def factor(step: int) -> float:
        second_from = phases.options.second_from
        first = step < second_from
        value = within(step if first else step - second_from, phases.options, second_from, first)
        return value if first or not second_from else second_rate * value

    def within(step: int, options: Any, second_from: int, first: bool) -> float:
        total = max(second_from if first else options.steps - second_from, 1)
        warmup = options.warmup_steps
        if step < warmup:
            return options.warmup_ratio + (1 - options.warmup_ratio) * (step + 1) / warmup
        done = min((step - warmup) / max(total - warmup, 1), 1.0)
        if options.schedule == "cosine":
            low = options.final_ratio
            return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * done))
        if options.schedule == "exponential":
            return options.final_ratio**done
        if options.schedule == "poly":
            return 1.0 - done
        if options.schedule == "step":
            every = (getattr(options, "frozen_step_every", 0) if first else 0) or options.step_every
            return options.step_gamma ** (step // every)
        return 1.0

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
