"""Recipes: default values of a training by preset, part, architecture and initialisation.

An option made with ``recipe=True``, and one whose default is None, is open until a training is described. The first of
these that has a value decides: what a person set (flag, variable, config file), the recipes of the assay in their
order, the option's default. Numbers of steps may be given in epochs or as parts of the training; they become steps
once the number of training items is known.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from cellscope.options.fields import specs

T = TypeVar("T")


@dataclass(frozen=True)
class Epochs:
    """Steps as a number of passes over the training items."""

    count: float

    def steps(self, n_items: int, per_step: int) -> int:
        """Return the optimiser steps, of so many items each, of this many passes over `n_items`; at least 1."""
        return max(round(self.count * max(n_items, 1) / per_step), 1)


@dataclass(frozen=True)
class Parts:
    """Steps as one of so many equal parts of the training."""

    count: int


@dataclass(frozen=True)
class SameAs:
    """The value of another option."""

    name: str


@dataclass(frozen=True)
class Recipe:
    """Values for the open options of a training.

    Attributes
    ----------
    values : mapping
        By name of the option; plain values, `SameAs`, or, for numbers of steps, `Epochs` and `Parts`.
    when : mapping
        The recipe applies where these options have these values; a frozenset stands for any of its members. A recipe
        without conditions always applies.
    source : str
        Where the values stand in the paper, for recipes that follow one.
    """

    values: Mapping[str, Any]
    when: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def applies(self, options: Any) -> bool:
        """Tell whether the recipe is meant for a training with these options."""
        for name, wanted in self.when.items():
            value = getattr(options, name)
            if value not in wanted if isinstance(wanted, frozenset) else value != wanted:
                return False
        return True


def fill(options: Any, recipes: Sequence[Recipe]) -> None:
    """Give the open options their values, in place; for ``__post_init__`` of a frozen dataclass.

    What a recipe gives in `Epochs` or `Parts` stays open, for `in_steps`. Where epochs are given, no recipe sets steps.

    Parameters
    ----------
    options : instance of an options dataclass
    recipes : sequence of Recipe
        The first one that applies and has a value decides; whether one applies may depend on what those before it set.
    """
    in_steps_later = set()
    for name, value in _values(options, recipes):
        if isinstance(value, Epochs | Parts):
            in_steps_later.add(name)
        elif name not in in_steps_later:
            object.__setattr__(options, name, getattr(options, value.name) if isinstance(value, SameAs) else value)
    for name, spec in specs(type(options)).items():
        if getattr(options, name) is None and name not in in_steps_later:
            object.__setattr__(options, name, spec.default)


def in_steps(options: T, recipes: Sequence[Recipe], n_items: int | None, *, before: int = 0) -> T:
    """Turn epochs and parts of the training into optimiser steps.

    Parameters
    ----------
    options : instance of an options dataclass
        Filled by `fill`; with ``steps``, ``epochs``, ``items_per_step`` and ``val_every``.
    recipes : sequence of Recipe
        Those it was filled from.
    n_items : int or None
        Number of training items; where it is not known, what is given in epochs stays open.
    before : int
        Steps that come before those that epochs say.

    Returns
    -------
    instance of the same class
        With ``steps`` in place of ``epochs``, and never more than all steps between two validations.
    """
    given: Any = options
    if given.epochs is not None and n_items is not None:
        steps = before + Epochs(given.epochs).steps(n_items, given.items_per_step)
        given = dataclasses.replace(given, steps=steps, epochs=None)
    first: dict[str, Any] = {}
    for name, value in _values(given, recipes):
        first.setdefault(name, value)
    for name, value in first.items():
        if isinstance(value, Epochs) and n_items is not None:
            steps = value.steps(n_items, given.items_per_step) + (before if name == "steps" else 0)
            if name == "val_every":  # rounded down, or a training of N such intervals would miss the last validation
                steps = max(int(value.count * n_items / given.items_per_step), 1)
            given = dataclasses.replace(given, **{name: steps})
        elif isinstance(value, Parts) and given.steps is not None:
            given = dataclasses.replace(given, **{name: max(given.steps // value.count, 1)})
    if given.steps and given.val_every is not None and given.val_every > given.steps:
        given = dataclasses.replace(given, val_every=given.steps)
    return given


def _values(options: Any, recipes: Sequence[Recipe]) -> Iterator[tuple[str, Any]]:
    """Yield what the recipes that apply say of options still open, steps first; the caller sets them meanwhile."""
    for recipe in recipes:
        if recipe.applies(options):
            for name in sorted(recipe.values, key=lambda name: name != "steps"):
                if getattr(options, name) is None and not (name == "steps" and options.epochs is not None):
                    yield name, recipe.values[name]
