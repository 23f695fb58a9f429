"""What the open options of a micronucleus training come to: a default recipe for each part, and the paper's."""

from __future__ import annotations

from cellscope.options.recipes import Epochs, Recipe

#: The paper names no optimiser and no schedule: plain Adam at a constant rate. Augmentation and balancing are those of
#: the prepared dataset (``prepare --recipe paper``).
PAPER = Recipe(
    {
        "init": "imagenet",
        "steps": Epochs(50),
        "val_every": Epochs(1),
        "batch_size": 64,
        "learning_rate": 1e-3,
        "input_size": 224,
        "optimiser": "adam",
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup_steps": 0,
        "clip_gradient": 0.0,
        "label_smoothing": 0.0,
        "where_weight": 0.0,
        "augment": "none",
        "balance": False,
        "tone": "plain",
    },
    {"preset": "paper"},
    "MobileViT-MN, section Experimental setup",
)
NUCLEI = Recipe(
    {"arch": "unet-s", "steps": 900, "batch_size": 6, "learning_rate": 3e-3, "weight_decay": 1e-4}, {"part": "nuclei"}
)
CLASSIFY = Recipe(
    {
        "arch": "mobilevit-mn",
        "steps": 1200,
        "batch_size": 32,
        "learning_rate": 2e-3,
        "weight_decay": 0.02,
        "input_size": 96,
    },
    {"part": "classify"},
)

RECIPES = (PAPER, NUCLEI, CLASSIFY)
