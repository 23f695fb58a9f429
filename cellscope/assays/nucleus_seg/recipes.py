"""Default values of nucleus-seg trainings: the default recipe and the paper's Table 2."""

from __future__ import annotations

from typing import Any

from cellscope.options.recipes import Epochs, Parts, Recipe

#: The stronger recipe.
DEFAULT = Recipe(
    {"arch": "compact", "steps": 2400, "batch_size": 16, "learning_rate": 2e-3, "weight_decay": 0.01},
    {"preset": "none"},
)

#: What every column shares: the paper's losses are pixel cross entropies, without our augmentation or averaging. Binary
#: cross entropy on one logit and cross entropy on two are the same function (the second logit's difference).
_SHARED: dict[str, Any] = {
    "steps": Epochs(100),
    "batch_size": 2,
    "dice_weight": 0.0,
    "distance_weight": 0.0,
    "ema": 0.0,
    "augment": "none",
    "pair_rate": 0.0,
    "contact_weight": 0.0,
    "balance": False,
    "pixel_classes": 2,
    "crop": 352,
    "placing": "centre",
    "diameter": 0.0,
    "clip_gradient": 0.0,
}
_SEGNEXT: dict[str, Any] = {
    **_SHARED,
    "learning_rate": 6e-5,
    "weight_decay": 0.01,
    "optimiser": "adamw",
    "schedule": "poly",
    "warmup_ratio": 1e-6,
}
#: "Custom Decay" from 5e-4 to 5e-7 is not described further: taken as a constant factor per step.
_UNET: dict[str, Any] = {
    **_SHARED,
    "learning_rate": 5e-4,
    "weight_decay": 0.0,
    "optimiser": "adam",
    "schedule": "exponential",
    "final_ratio": 1e-3,
    "warmup_steps": 0,
}
_DEEPLAB: dict[str, Any] = {
    **_SHARED,
    "learning_rate": 6e-5,
    "weight_decay": 0.01,
    "optimiser": "sgd",
    "schedule": "poly",
    "warmup_ratio": 1 / 3,
}
_COLUMNS = {"msff-segnext": _SEGNEXT, "segnext": _SEGNEXT, "unet": _UNET, "r2unet": _UNET, "deeplabv3": _DEEPLAB}

PRESETS = {
    name: Recipe({"arch": name, **values}, {"preset": name}, "MSFF-SegNeXt, Table 2")
    for name, values in _COLUMNS.items()
}

RECIPES = (*PRESETS.values(), DEFAULT, Recipe({"val_every": Parts(6)}))
