"""What the open options of a micronucleus training come to: a default recipe for each part, and the paper's."""

from __future__ import annotations

from cellscope.options.recipes import Epochs, Recipe

PAPER = Recipe(
    {"steps": Epochs(50), "batch_size": 64, "learning_rate": 1e-3, "input_size": 224},
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
