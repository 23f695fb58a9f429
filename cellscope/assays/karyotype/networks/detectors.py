"""The detectors by name: which arguments make a `ChrRender` the paper's network, a baseline or the built-in one."""

from __future__ import annotations

from typing import Any

from cellscope.errors import ModelError

#: Sizes as published with detectron2, which the paper takes.
PUBLISHED: dict[str, Any] = {
    "stages": 4,
    "fpn_channels": 256,
    "anchor_sizes": (32, 64, 128, 256, 512),
    "box_hidden": 1024,
    "mask_hidden": 1024,
    "point_hidden": 256,
    "steps": 3,
    "fpn_norm": False,
}

#: Named sets of arguments for `ChrRender`. `chrrender-50`, `mask-rcnn-50` and `faster-rcnn-101` are the paper's
#: (Table I, right); `chrrender-18s` is what the built-in weights use.
ARCHS: dict[str, dict[str, Any]] = {
    "chrrender-50": {"backbone": "resnet50", **PUBLISHED},
    "mask-rcnn-50": {"backbone": "resnet50", **PUBLISHED, "mask": "conv", "mask_hidden": 256},
    "faster-rcnn-101": {"backbone": "resnet101", **PUBLISHED, "mask": "none"},
    "chrrender-18": {"backbone": "resnet18", "stages": 4, "anchor_sizes": (12, 24, 48, 96, 192), "box_refinements": 1},
    "chrrender-18s": {"backbone": "resnet18", "stages": 3, "anchor_sizes": (16, 32, 64, 128), "box_refinements": 1},
}


def arguments_of(arch: str) -> dict[str, Any]:
    """Give a named architecture's arguments.

    Raises
    ------
    ModelError
        If the name is unknown.
    """
    if arch not in ARCHS:
        raise ModelError(f"unknown architecture {arch!r} for karyotype detect; use one of {', '.join(ARCHS)}")
    return ARCHS[arch]
