"""Recipes: what open options come to, in which order, and when epochs become steps."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

import pytest

from cellscope.cli.root import ASSAYS
from cellscope.errors import UsageError
from cellscope.options.fields import default_of, option, specs
from cellscope.options.recipes import Epochs, Parts, Recipe, SameAs
from cellscope.options.resolve import read_config, resolve, to_toml
from cellscope.options.training import TrainingOptions

SLOW = Recipe({"steps": Epochs(10), "warmup_steps": 0, "rate": 0.1, "mode": "wide"}, {"preset": "slow"})
EVERY = Recipe({"steps": 50, "batch_size": 4, "val_every": Parts(10)})
WIDE = Recipe({"schedule": "step", "step_every": Parts(2), "step_gamma": SameAs("rate")}, {"mode": frozenset({"wide"})})


@dataclass(frozen=True)
class Options(TrainingOptions):
    recipes: ClassVar[Sequence[Recipe]] = (SLOW, EVERY, WIDE)
    preset: Literal["none", "slow"] = option("none", "Preset.")
    rate: float = option(0.5, "Rate.", recipe=True)
    mode: Literal["plain", "wide"] = option("plain", "Mode.", recipe=True)


def made(**sources):
    return resolve(Options, **{"flags": {}, "env": {}, **sources})


def test_the_first_recipe_that_applies_decides_and_then_the_default():
    plain, slow = Options(), Options(preset="slow")
    assert (plain.rate, plain.mode, plain.warmup_steps, plain.schedule) == (0.5, "plain", 100, "cosine")
    assert (slow.rate, slow.mode, slow.warmup_steps, slow.schedule, slow.step_gamma) == (0.1, "wide", 0, "step", 0.1)
    assert plain.batch_size == slow.batch_size == 4
    assert plain == made()


@pytest.mark.parametrize(
    "sources",
    [
        {"flags": {"preset": "slow", "rate": "0.5", "mode": "plain"}},
        {"flags": {"preset": "slow"}, "env": {"CELLSCOPE_RATE": "0.5", "CELLSCOPE_MODE": "plain"}},
        {"flags": {"preset": "slow"}, "config": {"rate": 0.5, "mode": "plain"}},
    ],
)
def test_what_a_person_says_stays_also_where_it_is_the_default(sources):
    options = made(**sources)
    assert (options.rate, options.mode, options.warmup_steps, options.schedule) == (0.5, "plain", 0, "cosine")


def test_epochs_and_parts_become_steps():
    slow = Options(preset="slow")
    assert (slow.steps, slow.step_every, slow.val_every) == (None, None, None)
    paced = slow.in_steps(10)
    assert (paced.steps, paced.step_every, paced.val_every) == (25, 12, 2)
    assert paced.in_steps(99) == paced
    plain = Options().in_steps()
    assert (plain.steps, plain.step_every, plain.val_every) == (50, 1000, 5)
    assert slow.in_steps().steps is None
    assert slow.in_steps(10, before=5).steps == 30


def test_epochs_of_a_person_stand_before_the_steps_of_a_recipe():
    options = Options(epochs=3.0)
    assert options.steps is None
    paced = options.in_steps(8)
    assert (paced.steps, paced.epochs) == (6, None)
    assert Options(preset="slow", steps=7).in_steps(8).steps == 7
    assert Options(epochs=0.001).in_steps(8).steps == 1
    with pytest.raises(UsageError, match="--steps and --epochs"):
        Options(steps=3, epochs=3.0)


def test_validations_lie_inside_the_training():
    assert Options(steps=3, val_every=9).in_steps().val_every == 3
    assert Options(steps=0).in_steps().val_every == 1


def test_what_was_trained_with_can_be_given_again(tmp_path):
    path = tmp_path / "config.toml"
    for options in (Options(preset="slow"), Options(preset="slow").in_steps(10)):
        path.write_text(to_toml(options))
        assert made(config=read_config(path)) == options


def test_what_recipes_decide_is_described_by_its_default():
    assert specs(Options)["rate"].default == 0.5
    assert specs(Options)["preset"].default == "none"


@pytest.mark.parametrize("assay", sorted(ASSAYS))
def test_recipes_name_options_that_are_open(assay):
    cls = importlib.import_module(f"cellscope.assays.{assay.replace('-', '_')}.options").TrainOptions
    open_ = {field.name for field in fields(cls) if default_of(field) is None}
    for recipe in cls.recipes:
        assert set(recipe.values) <= open_
        assert set(recipe.when) <= set(dir(cls))
