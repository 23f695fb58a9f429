"""How the inputs of a run are handed out: small ones together, largest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cellscope.engine.distribute.tasks import Task
from cellscope.io.inputs import Input

ROUNDS = 8
"""Tasks that each worker gets at least, where there are enough inputs: so that all end at about the same time."""

MOST = 64
"""Inputs of a task at most: they are lost together when a worker is."""


def parcel(inputs: Sequence[Input], sizes: Mapping[str, int], places: int) -> list[Task]:
    """Put inputs into tasks.

    Parameters
    ----------
    inputs
        In the order of the tables.
    sizes
        Image -> size in bytes.
    places : int
        Tasks that can be done at once.

    Returns
    -------
    list of Task
        Largest input first. Only inputs that are small beside what a worker has to do come together.
    """
    most = max(1, min(MOST, len(inputs) // (ROUNDS * places)))
    enough = sum(sizes.values()) / (ROUNDS * places)
    tasks: list[Task] = []
    waiting: list[Input] = []
    weight = 0
    for entry in sorted(inputs, key=lambda entry: -sizes[entry.image]):  # stable: of equal ones the first comes first
        if waiting and (len(waiting) == most or weight + sizes[entry.image] > enough):
            tasks.append(Task(tuple(waiting), size=sizes[waiting[0].image]))
            waiting, weight = [], 0
        waiting.append(entry)
        weight += sizes[entry.image]
    if waiting:
        tasks.append(Task(tuple(waiting), size=sizes[waiting[0].image]))
    return tasks
