"""Default values of histo trainings: the default recipe and the paper's."""

from __future__ import annotations

from cellscope.options.recipes import Epochs, Parts, Recipe

#: Measured stronger on the small network.
DEFAULT = Recipe(
    {
        "arch": "histonext-atto",
        "steps": 3600,
        "batch_size": 8,
        "learning_rate": 1.5e-3,
        "weight_decay": 0.02,
        "warmup_steps": 200,
        "val_every": Parts(6),
    },
    {"preset": "none"},
)
#: Two phases, Adam, the rate falling to a tenth every 25 epochs; the final configuration of the losses. The batch size
#: is that of the second phase, `frozen_batch_size` that of the first.
PAPER = Recipe(
    {
        "arch": "histonext-tiny",
        "init": "imagenet",
        "optimiser": "adam",
        "learning_rate": 1e-4,
        "weight_decay": 0.0,
        "schedule": "step",
        "step_every": Epochs(25),
        "warmup_steps": 0,
        "frozen_epochs": 50.0,
        "steps": Epochs(50),
        "frozen_batch_size": 64,
        "batch_size": 16,
        "augment": "full",
        "sampling": "published",
        "score_types": "all",
        "tune_thresholds": False,
        "clip_gradient": 0.0,
        "np_loss": "asym",
        "tp_loss": "focal",
        "tp_weight": 1.0,
        "ema": 0.0,
        "val_every": Epochs(5),
        "patience": 4,
        "drop_path": 0.0,
    },
    {"preset": "paper"},
    "Chen et al., HistoNeXt, sections Training strategy and Ablation studies, Tables 1, 2 and 4",
)

#: "step_every" serves who chooses that schedule without the preset, too.
RECIPES = (PAPER, DEFAULT, Recipe({"step_every": Epochs(25)}))
