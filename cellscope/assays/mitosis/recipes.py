"""What the open options of a mitosis training come to: by architecture, the paper's Table 1 for its own."""

from __future__ import annotations

from typing import Any

from cellscope.options.recipes import Epochs, Parts, Recipe

#: What all networks of the paper share; the best row of each follows. ``second_rate`` is the learning rate of the
#: second step as a share of the first; 0 makes one step. At most 500 epochs; best weights and early stopping (100
#: epochs) by validation accuracy; classes weighted in the loss.
_PAPER: dict[str, Any] = {
    "batch_size": 10,
    "steps": Epochs(500),
    "val_every": Epochs(1),
    "patience": 100,
    "choose_by": "accuracy",
    "head_decay": 0.01,
    "clip_gradient": 0.0,
    "optimiser": "adam",
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "label_smoothing": 0.0,
    "augment": "paper",
    "average": 0.0,
    "balance": "loss",
}
_ROWS: dict[str, dict[str, Any]] = {
    "resnet50-lstm": {"init": "imagenet", "learning_rate": 1e-3, "second_rate": 0.01, "freeze_first": True},
    "vgg16-lstm": {"init": "imagenet", "learning_rate": 1e-5, "second_rate": 0.1, "freeze_first": True},
    "xception-lstm": {"learning_rate": 1e-4, "second_rate": 0.0, "freeze_first": False},
    "gao-lstm": {"learning_rate": 1e-3, "second_rate": 0.0, "freeze_first": False},
    "resnet50-3d": {"learning_rate": 1e-3, "second_rate": 0.01, "freeze_first": True},
}
_TABLE_1 = "Delgado et al., Table 1"

PRETRAINED_XCEPTION = Recipe(
    {**_PAPER, "learning_rate": 1e-3, "second_rate": 0.01, "freeze_first": True},
    {"arch": "xception-lstm", "init": "imagenet"},
    _TABLE_1,
)
PAPER = {name: Recipe({**_PAPER, **row}, {"arch": name}, _TABLE_1) for name, row in _ROWS.items()}
TRACKS = Recipe(
    {
        "batch_size": 64,
        "steps": 400,
        "warmup_steps": 20,
        "average": 0.0,
        "balance": "class",
        "learning_rate": 3e-3,
    },
    {"arch": "tracknet"},
)
LITE = Recipe(
    {
        "batch_size": 8,
        "steps": 500,
        "warmup_steps": 50,
        "augment": "camera",
        "average": 0.98,
        "learning_rate": 1e-3,
        "backbone_rate": 0.3,
        "keep": "last",
    },
    {"arch": "lite0-gru"},
)
#: What is left out must not choose which weights are kept.
LEFT_OUT = Recipe({"keep": "last"}, {"leaves_out": True})
DEFAULT = Recipe(
    {
        "batch_size": 16,
        "steps": 1500,
        "warmup_steps": 150,
        "weight_decay": 0.05,
        "label_smoothing": 0.1,
        "augment": "strong",
        "average": 0.99,
        "balance": "dose",
        "learning_rate": 2e-3,
        "second_rate": 0.0,
        "freeze_first": False,
        "backbone_rate": 1.0,
    }
)
#: A second step begins in the middle, at the latest, and a validation falls on the end of the first.
TWO_STEPS = Recipe(
    {"schedule": "constant", "val_every": Parts(10)},
    {"two_steps": True},
)
ONE_STEP = Recipe({"schedule": "constant"}, {"arch": frozenset(PAPER)})

RECIPES = (PRETRAINED_XCEPTION, *PAPER.values(), TRACKS, LITE, LEFT_OUT, DEFAULT, TWO_STEPS, ONE_STEP)
