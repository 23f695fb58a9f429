"""Every preset that follows a paper, and every architecture that has a recipe of one, against the paper's own table."""

import importlib

import pytest
import torch

from cellscope.assays.histo.options import TrainOptions as Histo
from cellscope.assays.karyotype.detectron2.backend import training_arguments
from cellscope.assays.karyotype.networks import baselines, chrnet, detectors
from cellscope.assays.karyotype.networks.chrrender import ChrRender
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
    assert chosen(options, "placing", "diameter", "clip_gradient") == ("centre", 0, 0)
    assert (options.warmup_steps > 0) == (warmup > 0)
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
    options = Mitosis(arch=name).in_steps(265)  # 57 % of the training sequences
    assert chosen(options, "init", "learning_rate", "batch_size") == (init, first, batch)
    assert chosen(options, "augment", "average", "clip_gradient", "label_smoothing") == ("paper", 0.0, 0.0, 0.0)
    assert chosen(options, "optimiser", "schedule", "warmup_steps") == ("adam", "constant", 0)
    # at most 500 epochs, 100 without a better validation accuracy; classes weighted in the loss, L2 of the dense layer
    assert (options.steps, options.val_every, options.patience) == (500 * 265 // 10, 26, 100)
    assert chosen(options, "choose_by", "keep", "balance", "head_decay") == ("accuracy", "best", "loss", 0.01)
    assert options.two_steps == (second != first)
    if second != first:
        assert options.learning_rate * options.second_rate == pytest.approx(second)
        assert options.second_from == options.steps // 2
    assert options.freeze_first == options.two_steps


def test_mitosis_table_1_pretrained_xception():
    options = Mitosis(arch="xception-lstm", init="imagenet")
    assert chosen(options, "learning_rate", "second_rate", "batch_size") == (1e-3, pytest.approx(1e-2), 10)


def test_micronucleus_experimental_setup():
    options = Micronucleus(preset="paper", part="classify").in_steps(640)
    assert chosen(options, "input_size", "batch_size", "learning_rate") == (224, 64, 1e-3)
    assert (options.steps, options.val_every) == (50 * 640 // 64, 640 // 64)
    assert options.init == "imagenet"
    # what the text does not have: no schedule, no further augmentation, balancing, smoothing or loss
    assert chosen(options, "optimiser", "weight_decay", "schedule", "warmup_steps") == ("adam", 0.0, "constant", 0)
    assert chosen(options, "augment", "balance", "label_smoothing", "where_weight") == ("none", False, 0.0, 0.0)
    assert chosen(options, "clip_gradient", "tone", "synthetic", "pretrain_steps") == (0.0, "plain", 0.0, 0)
    with pytest.raises(UsageError, match="--part classify"):
        Micronucleus(preset="paper", part="nuclei")


def test_histo_training_strategy_and_final_configuration():
    options = Histo(preset="paper").in_steps(4563)  # 27 tiles of 1000 x 1000, a place every 80 pixels
    assert chosen(options, "arch", "optimiser", "learning_rate") == ("histonext-tiny", "adam", 1e-4)
    assert chosen(options, "frozen_batch_size", "batch_size", "sampling", "augment") == (64, 16, "published", "full")
    assert chosen(options, "np_loss", "tp_loss", "gamma_positive", "gamma_negative", "focal_gamma") == (
        "asym", "focal", 1.0, 4.0, 2.0,
    )  # fmt: skip
    assert chosen(options, "schedule", "step_gamma", "score_types") == ("step", 0.1, "all")
    assert options.type_rates == "other=4,normal_epithelial=3,dead=10"
    assert chosen(options, "clip_gradient", "warmup_steps", "ema", "drop_path") == (0, 0, 0, 0)
    assert options.tune_thresholds is False
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
    # equation 3; individual chromosome images alone; nothing else
    assert chosen(options, "centre_reduction", "from_metaphases") == ("sum", False)
    assert chosen(options, "label_smoothing", "polarity_weight", "clip_gradient", "warmup_steps") == (0, 0, 0, 0)
    assert chosen(options, "schedule", "weight_decay") == ("constant", 0)


def test_karyotype_section_iii_a():
    options = Karyotype(preset="paper-detect").in_steps(9)
    assert chosen(options, "part", "arch", "init") == ("detect", "chrrender-50", "imagenet")
    assert chosen(options, "square", "flip", "steps") == (256, 0.5, 50_000)
    # detectron2's own: SOLVER of Base-RCNN-FPN.yaml, whose STEPS lie beyond 50,000
    assert chosen(options, "optimiser", "learning_rate", "batch_size", "weight_decay") == ("sgd", 0.02, 16, 1e-4)
    assert chosen(options, "warmup_steps", "warmup_ratio", "schedule") == (1000, 1e-3, "constant")
    assert chosen(options, "conventions", "frozen_norm", "clip_gradient") == ("detectron2", True, 0)
    arguments = training_arguments(detectors.arguments_of(options.arch))
    wanted = {"box_nms": 0.5, "score_threshold": 0.05, "max_detections": 100, "proposals": 1000, "in_channels": 3}
    assert wanted.items() <= arguments.items()
    with torch.device("meta"):
        network = ChrRender(**arguments)
    network.backbone.freeze_first()
    rpn, heads = network.rpn, network.roi_heads
    assert (rpn.fg_bg_sampler.batch_size_per_image, rpn._pre_nms_top_n) == (256, {"training": 2000, "testing": 1000})
    assert (rpn._post_nms_top_n, rpn.nms_thresh) == ({"training": 1000, "testing": 1000}, 0.7)
    assert (heads.fg_bg_sampler.batch_size_per_image, heads.fg_bg_sampler.positive_fraction) == (512, 0.25)
    assert (heads.nms_thresh, heads.score_thresh, heads.detections_per_img) == (0.5, 0.05, 100)
    learns = {name for name, value in network.backbone.body.named_parameters() if value.requires_grad}
    assert learns
    assert {name.split(".")[0] for name in learns} == {"layer2", "layer3", "layer4"}


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
