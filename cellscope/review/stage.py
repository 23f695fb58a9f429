"""The stage that carries out a person's edits in place of an assay's own: no network runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from cellscope.engine.assay import Assay, Result, Stage, Subject


def edited_assay(
    base: Assay,
    change: Callable[[Subject], list[np.ndarray]],
    *,
    part: str,
    kinds: tuple[str, ...],
    state: Callable[[], Any],
    conclude: Callable[[Subject], Result],
) -> Assay:
    """Give an assay whose only stage changes what was found.

    Parameters
    ----------
    base : Assay
    change : callable
        Carries out the edits; gives no item for a network.
    part : str
        A part of the model that is loaded.
    kinds : tuple of str
        Of the inputs.
    state : callable
        Makes the state that `change` fills.
    conclude : callable
        Gives what ``predict`` would have.
    """
    return replace(base, stages=(Stage(part, kinds, 1, change, idle, finish),), state=state, conclude=conclude)


def idle(_module: Any, _batch: list[Any]) -> list[Any]:
    """Run no network."""
    return []


def finish(_subject: Subject, _outputs: list[Any]) -> None:
    """Keep what was changed."""
