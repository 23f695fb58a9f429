"""The paper's trainings by name: sound, complete, and below everything a user says."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cellscope.assays.karyotype.networks import baselines, chrnet, detectors
from cellscope.assays.karyotype.options import TrainOptions
from cellscope.assays.karyotype.training.presets import PRESETS, preset
from cellscope.cli.root import app
from cellscope.errors import UsageError
from cellscope.options.fields import specs
from cellscope.options.resolve import resolve


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_makes_options(name: str) -> None:
    assert set(preset(name)) <= set(specs(TrainOptions))  # names that are no options would be passed over
    options = resolve(TrainOptions, flags={}, env={}, model=preset(name)).settled()
    for key, value in preset(name).items():
        assert getattr(options, key) == value
    known = detectors.ARCHS if options.part == "detect" else {**chrnet.ARCHS, **baselines.ARCHS}
    assert options.arch in known


def test_the_papers_numbers() -> None:
    detect = preset("paper-detect")
    assert (detect["square"], detect["flip"], detect["steps"]) == (256, 0.5, 50_000)
    table_ii = {
        letter: (
            preset(f"paper-{letter}").get("init"),
            preset(f"paper-{letter}")["rotate"],
            preset(f"paper-{letter}").get("centre_loss"),
        )
        for letter in "abcde"
    }
    assert table_ii == {
        "a": (None, "none", None),
        "b": ("imagenet", "none", None),
        "c": ("imagenet", "hough", None),
        "d": ("imagenet", "hough", 0.5),
        "e": (None, "hough", 0.5),
    }


def test_flags_and_variables_win() -> None:
    options = resolve(
        TrainOptions, flags={"steps": "20"}, env={"CELLSCOPE_ARCH": "mask-rcnn-50"}, model=preset("paper-detect")
    )
    assert (options.steps, options.arch, options.square) == (20, "mask-rcnn-50", 256)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="paper-e"):
        preset("paper-f")
    result = CliRunner().invoke(app, ["karyotype", "train", "data", "--preset", "paper-detct"])
    assert result.exit_code == 2
    assert "did you mean 'paper-detect'" in result.stderr
    assert preset(None) == {}
