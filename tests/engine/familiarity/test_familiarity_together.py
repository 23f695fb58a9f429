"""Images of a run judged together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cellscope.engine.familiarity.together import CHANCE, more_than_chance, mostly, together
from cellscope.metrics.familiarity import UNFAMILIAR


def table(flags, groups=None):
    named = {"image": [f"{n}.png" for n in range(len(flags))], "unfamiliar": flags}
    return pd.DataFrame(named if groups is None else {**named, "group": groups})


@pytest.mark.parametrize("images", [1, 2, 3, 10, 46, 230, 1000, 1030, 50_000])
def test_chance_is_that_of_the_binomial(images):
    """Against draws: the fewest flags that count come by chance less often than said, one fewer more often."""
    fewest = next((k for k in range(images + 1) if more_than_chance(k, images)), None)
    drawn = np.random.default_rng(0).binomial(images, UNFAMILIAR, 400_000)
    if fewest is None:
        assert UNFAMILIAR**images >= CHANCE
    else:
        assert (drawn >= fewest).mean() < CHANCE * 1.3
        assert (drawn >= fewest - 1).mean() > CHANCE * 0.7
    assert not more_than_chance(0, images)


def test_one_in_twenty_is_said_of_nobody():
    assert together(table([True] * 5 + [False] * 95)) == []
    assert together(table([None, None])) == together(table([])) == []


def test_half_of_a_run_is_said():
    (line,) = together(table([True] * 127 + [False] * 103))
    assert line.startswith("127 of 230 images are unlike the training images")


def test_failed_images_are_not_counted():
    (line,) = together(table([True] * 4 + [np.nan] * 500))
    assert line.startswith("4 of 4 ")


def test_the_groups_it_holds_for_are_named():
    flags = [True] * 4 + [False] * 96
    assert together(table(flags, ["a"] * 4 + ["b"] * 96)) == [
        "groups whose images are unlike the training images as a whole: a"
    ]
    assert together(table(flags, [""] * 4 + ["b"] * 96)) == []
    many = together(table([True] * 24, [name for name in "abcdefgh" for _ in range(3)]))
    assert many[1].endswith("a, b, c, d, e and 3 more")


@pytest.mark.parametrize(
    ("flagged", "images", "spoilt"),
    [(0, 0, 0), (0, 4, 0), (1, 1, 1), (1, 2, 1), (1, 3, 0), (3, 30, 0), (5, 20, 0), (6, 20, 1), (60, 500, 1)],
)
def test_half_or_more_than_chance_spoils_a_number(flagged, images, spoilt):
    assert mostly(flagged, images) == bool(spoilt)
