"""Every preset that follows a paper, and every architecture that has a recipe of one, against the paper's own table."""

import importlib

import pytest

from cellscope.assays.histo.options import TrainOptions as Histo
from cellscope.assays.karyotype.networks import baselines, chrnet, detectors
from cellscope.assays.karyotype.options import TrainOptions as Karyotype
from cellscope.assays.micronucleus.options import TrainOptions as Micronucleus
from cellscope.assays.mitosis.options import TrainOptions as Mitosis
from cellscope.assays.nucleus_seg.options import TrainOptions as NucleusSeg
from cellscope.cli.root import ASSAYS
from cellscope.errors import UsageError
from cellscope.options.fields import specs
from cellscope.options.resolve import resolve


def chosen(options, *names):
    return tuple(getattr(options, name) for name in names)


# Cost function, learning rate, weight decay, optimiser, epochs, batch size, scheduler, warm-up ratio.
TABLE_2 = {
    "msff-segnext": (6e-5, 0.01, "adamw", 100, 2, "poly", 1e-6),
    "segnext": (6e-5, 0.01, "adamw", 100, 2, "poly", 1e-6),
    "unet": (5e-4, 0.0, "adam", 100, 2, "exponential", 0.0),
    "r2unet": (5e-4, 0.0, "adam", 100, 2, "exponential", 0.0),
    "deeplabv3": (6e-5, 0.01, "sgd", 100, 2, "poly", 1 / 3),
}


@pytest.mark.parametrize("name", TABLE_2)
def test_nucleus_seg_table_2(name):
    rate, decay, optimiser, epochs, batch, schedule, warmup = TABLE_2[name]
    options = NucleusSeg(preset=name).in_steps(76)
    assert options.arch == name
    assert chosen(options, "learning_rate", "weight_decay", "optimiser") == (rate, decay, optimiser)
    assert chosen(options, "batch_size", "schedule", "warmup_ratio") == (batch, schedule, pytest.approx(warmup))
    assert options.steps == epochs * 76 // batch
    # cross entropy of nucleus and background, and nothing else
    assert chosen(options, "pixel_classes", "dice_weight", "distance_weight", "contact_weight") == (2, 0, 0, 0)
    assert chosen(options, "ema", "augment", "pair_rate", "balance") == (0, "none", 0, False)
    if optimiser == "adam":
        assert options.learning_rate * options.final_ratio == pytest.approx(5e-7)
        assert options.warmup_steps == 0


# Pretrained, learning rate, that of the second step (the same where there is one), batch size: the best row of each.
TABLE_1 = {
    "resnet50-lstm": ("imagenet", 1e-3, 1e-5, 10),
    "vgg16-lstm": ("imagenet", 1e-5, 1e-6, 10),
    "xception-lstm": ("none", 1e-4, 1e-4, 10),
    "gao-lstm": ("none", 1e-3, 1e-3, 10),
    "resnet50-3d": ("none", 1e-3, 1e-5, 10),  # "the same hyperparameter configuration as the best-performing model"
}


@pytest.mark.parametrize("name", TABLE_1)
def test_mitosis_table_1(name):
    init, first, second, batch = TABLE_1[name]
    options = Mitosis(arch=name, init=init).in_steps()
    assert chosen(options, "learning_rate", "batch_size", "augment", "average") == (first, batch, "paper", 0.0)
    if second == first:
        assert chosen(options, "two_steps", "schedule") == (False, "constant")
    else:
        assert options.learning_rate * options.second_rate == pytest.approx(second)
        assert chosen(options, "schedule", "step_every", "step_gamma") == (
            "step",
            options.steps // 2,
            options.second_rate,
        )
    assert options.freeze_first == options.two_steps


def test_mitosis_table_1_pretrained_xception():
    options = Mitosis(arch="xception-lstm", init="imagenet")
    assert chosen(options, "learning_rate", "second_rate", "batch_size") == (1e-3, pytest.approx(1e-2), 10)


def test_micronucleus_experimental_setup():
    options = Micronucleus(preset="paper", part="classify").in_steps(640)
    assert chosen(options, "input_size", "batch_size", "learning_rate") == (224, 64, 1e-3)
    assert options.steps == 50 * 640 // 64
    with pytest.raises(UsageError, match="--part classify"):
        Micronucleus(preset="paper", part="nuclei")


def test_histo_training_strategy_and_final_configuration():
    options = Histo(preset="paper").in_steps(4563)  # 27 tiles of 1000 x 1000, a place every 80 pixels
    assert chosen(options, "arch", "optimiser", "learning_rate") == ("histonext-tiny", "adam", 1e-4)
    assert chosen(options, "frozen_batch_size", "batch_size", "sampling", "augment") == (64, 16, "type-aware", "full")
    assert chosen(options, "np_loss", "tp_loss", "gamma_positive", "gamma_negative", "focal_gamma") == (
        "asym", "focal", 1.0, 4.0, 2.0,
    )  # fmt: skip
    assert chosen(options, "schedule", "step_gamma") == ("step", 0.1)
    epoch = 4563 / 16
    assert options.val_every == int(5 * epoch)
    assert options.patience * 5 == 20
    first_epoch = 4563 / 64
    assert (options.frozen_val_every, options.frozen_step_every) == (int(5 * first_epoch), round(25 * first_epoch))


# Pretrained, rotating and cropping, centre loss; strategy (a) to (e).
TABLE_II = {
    "paper-a": ("resnet50", "none", "none", 0.0),
    "paper-b": ("resnet50", "imagenet", "none", 0.0),
    "paper-c": ("resnet50", "imagenet", "hough", 0.0),
    "paper-d": ("resnet50", "imagenet", "hough", 0.5),
    "paper-e": ("chrnet4", "none", "hough", 0.5),
    "paper-unrotated": ("chrnet4", "none", "none", 0.5),  # Table I, left: strategies A and B
}


@pytest.mark.parametrize("name", TABLE_II)
def test_karyotype_table_ii(name):
    options = Karyotype(preset=name)
    assert chosen(options, "arch", "init", "rotate", "centre_loss") == TABLE_II[name]
    assert chosen(options, "part", "view", "vary") == ("classify", (224, 224), "flips")


def test_karyotype_section_iii_a():
    options = Karyotype(preset="paper-detect").in_steps(9)
    assert chosen(options, "part", "arch", "init") == ("detect", "chrrender-50", "imagenet")
    assert chosen(options, "square", "flip", "steps") == (256, 0.5, 50_000)


@pytest.mark.parametrize("assay", sorted(ASSAYS))
def test_every_preset_makes_options_and_stands_here(assay):
    cls = importlib.import_module(f"cellscope.assays.{assay.replace('-', '_')}.options").TrainOptions
    of_papers = {
        "karyotype": {*TABLE_II, "paper-detect"},
        "nucleus-seg": set(TABLE_2),
        "micronucleus": {"paper"},
        "histo": {"paper"},
        "mitosis": set(TABLE_1),
    }[assay]
    shown = {recipe.when.get("preset", recipe.when.get("arch")) for recipe in cls.recipes if recipe.source}
    assert shown == of_papers
    preset = specs(cls).get("preset")
    for name in (preset.option.choices or preset.kind.choices) if preset else ():
        options = cls(preset=name).in_steps(100)
        assert options.steps > 0
        if assay == "karyotype":
            known = detectors.ARCHS if options.part == "detect" else {**chrnet.ARCHS, **baselines.ARCHS}
            assert options.arch in known


def test_flags_and_variables_win_over_a_preset():
    flags = {"steps": "20", "preset": "paper-detect", "flip": "0.5"}
    options = resolve(Karyotype, flags=flags, env={"CELLSCOPE_ARCH": "mask-rcnn-50"})
    assert chosen(options, "steps", "arch", "square", "part") == (20, "mask-rcnn-50", 256, "detect")
    assert resolve(Karyotype, flags={"preset": "paper-e"}, env={}).part == "classify"
    with pytest.raises(UsageError, match="--preset paper-e is for --part classify"):
        resolve(Karyotype, flags={"preset": "paper-e", "part": "detect"}, env={})
