"""From a detectron2 checkpoint to a model of ours: what the network is, read off its weights and its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from cellscope import __version__
from cellscope.assays.karyotype.detect.inputs import RESIZED
from cellscope.assays.karyotype.detectron2.names import to_native
from cellscope.errors import ModelError, UsageError
from cellscope.models.card import ModelCard

ARCH = "detectron2"
PIXEL_MEAN, PIXEL_STD = (103.53, 116.28, 123.675), (1.0, 1.0, 1.0)
#: Blocks per stage and whether they are bottlenecks -> depth.
DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((2, 2, 2, 2), False): 18,
    ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50,
    ((3, 4, 23, 3), True): 101,
    ((3, 8, 36, 3), True): 152,
}


def convert(
    weights: Mapping[str, Tensor], config: Mapping[str, Any] | None, *, classes: list[str], score_threshold: float
) -> tuple[ModelCard, dict[str, Tensor]]:
    """Turn a detectron2 checkpoint into a model card and tensors.

    Parameters
    ----------
    weights : mapping
        Under detectron2's names.
    config : mapping or None
        The full configuration that detectron2 writes beside its checkpoints; its defaults where there is none.
    classes : list of str
        Names of the foreground classes; empty names a single one ``chromosome`` and several by number.
    score_threshold : float
        Confidence above which ``predict`` keeps a chromosome.

    Raises
    ------
    ModelError
        If the network is of no kind that is known here.
    UsageError
        If `classes` has the wrong length.
    """
    tensors = to_native(weights)
    settings = Settings(config or {}, weights)
    count = len(tensors["roi_heads.box_predictor.cls_score.bias"]) - 1
    if not classes:
        classes = ["chromosome"] if count == 1 else [f"class{number}" for number in range(1, count + 1)]
    if len(classes) != count:
        raise UsageError(f"--classes names {len(classes)} classes, but the checkpoint has {count}")
    arguments = {**network_arguments(tensors), **settings.arguments(_groups(tensors)), "classes": count}
    card = ModelCard(
        assay="karyotype",
        part="detect",
        arch=ARCH,
        arch_args=arguments,
        classes=tuple(classes),
        channels=("blue", "green", "red") if settings.order == "BGR" else ("red", "green", "blue"),
        normalisation={"kind": RESIZED, "tone": "raw", "order": settings.order, **settings.sizes()},
        pixel_size_um=None,
        thresholds={"score_threshold": score_threshold},
        training={"imported_from": ARCH},
        metrics={},
        cellscope_version=__version__,
    )
    return card, tensors


def network_arguments(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """Read `ChrRender`'s arguments off tensors under our names.

    Raises
    ------
    ModelError
        For a backbone or a head of another make.
    """
    stages = tuple(
        len({name.split(".")[3] for name in tensors if name.startswith(f"backbone.body.layer{stage}.")})
        for stage in range(1, 5)
    )
    bottleneck = "backbone.body.layer1.0.conv3.weight" in tensors
    depth = DEPTHS.get((stages, bottleneck))
    if depth is None:
        raise ModelError(f"a backbone with {stages} blocks in its stages is no ResNet that is known here")
    groups = _groups(tensors)
    backbone = f"resnet{depth}"
    if groups > 1:
        width = tensors["backbone.body.layer1.0.conv1.weight"].shape[0] // groups
        backbone = f"resnext{depth}_{groups}x{width}d"
    if tensors["rpn.head.cls_logits.bias"].shape[0] != 3:
        raise ModelError("a proposal network with other than three anchors per place is not known here")
    mask = "none"
    widths: dict[str, int] = {}
    if "render_head.point_head.predictor.bias" in tensors:
        mask = "points"
        widths = {
            "mask_hidden": tensors["render_head.coarse_head.fc1.bias"].shape[0],
            "point_hidden": tensors["render_head.point_head.fc1.bias"].shape[0],
        }
    elif "render_head.predictor.bias" in tensors:
        mask = "conv"
        widths = {"mask_hidden": tensors["render_head.convs.0.bias"].shape[0]}
    return {
        "backbone": backbone,
        "stages": 4,
        "fpn_channels": tensors["backbone.fpn.inner_blocks.0.0.bias"].shape[0],
        "fpn_norm": False,
        "box_hidden": tensors["roi_heads.box_head.fc6.bias"].shape[0],
        "mask": mask,
        "conventions": ARCH,
        "frozen_norm": True,
        "in_channels": 3,
        **widths,
    }


def _groups(tensors: Mapping[str, Tensor]) -> int:
    weight = tensors.get("backbone.body.layer1.0.conv2.weight")
    if weight is None:
        raise ModelError("the checkpoint holds no ResNet backbone")
    return int(weight.shape[0] // weight.shape[1])


class Settings:
    """What a checkpoint does not say of itself: read from detectron2's configuration, or its defaults.

    Parameters
    ----------
    config : mapping
        Nested, as ``config.yaml`` has it; may be empty.
    weights : mapping
        Old files hold the pixel normalisation among the weights.
    """

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]):
        if "_BASE_" in config:
            raise UsageError("the configuration builds on another (_BASE_); give the full config.yaml of a training")
        self.config = config
        stored = {
            name: tuple(weights[name].flatten().tolist()) for name in ("pixel_mean", "pixel_std") if name in weights
        }
        self.mean = tuple(map(float, self.get("MODEL.PIXEL_MEAN", stored.get("pixel_mean", PIXEL_MEAN))))
        self.std = tuple(map(float, self.get("MODEL.PIXEL_STD", stored.get("pixel_std", PIXEL_STD))))
        self.order = str(self.get("INPUT.FORMAT", "BGR"))
        if self.order not in ("BGR", "RGB"):
            raise ModelError(f"images in {self.order} are not known here; BGR and RGB are")

    def get(self, path: str, default: Any) -> Any:
        """Give the value at a dotted path."""
        value: Any = self.config
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                return default
            value = value[key]
        return value

    def arguments(self, groups: int) -> dict[str, Any]:
        """Give `ChrRender`'s arguments that weights do not tell."""
        sizes = self.get("MODEL.ANCHOR_GENERATOR.SIZES", [[32], [64], [128], [256], [512]])
        ratios = self.get("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS", [[0.5, 1.0, 2.0]])
        if any(len(level) != 1 for level in sizes) or any(list(one) != [0.5, 1.0, 2.0] for one in ratios):
            raise ModelError(f"anchors of sizes {sizes} and ratios {ratios} are not known here")
        if len(sizes) == 1:
            sizes = sizes * 5
        steps = int(self.get("MODEL.POINT_HEAD.SUBDIVISION_STEPS", 5))
        points = int(self.get("MODEL.POINT_HEAD.SUBDIVISION_NUM_POINTS", 784))
        if points != 784:
            raise ModelError(f"{points} points per subdivision are not known here; 784 are")
        return {
            "anchor_sizes": tuple(int(level[0]) for level in sizes),
            # Two of the doublings lead to the 28 x 28 grid that every cell of is decided anyway.
            "steps": steps - 2,
            "stride_in_1x1": bool(self.get("MODEL.RESNETS.STRIDE_IN_1X1", groups == 1)),
            "box_nms": float(self.get("MODEL.ROI_HEADS.NMS_THRESH_TEST", 0.5)),
            "score_threshold": float(self.get("MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.05)),
            "max_detections": int(self.get("TEST.DETECTIONS_PER_IMAGE", 100)),
            "proposals": int(self.get("MODEL.RPN.POST_NMS_TOPK_TEST", 1000)),
            "pixel_mean": self.mean,
            "pixel_std": self.std,
        }

    def sizes(self) -> dict[str, int]:
        """Give the shorter and the longest side an image is resized to."""
        return {
            "min_size": int(self.get("INPUT.MIN_SIZE_TEST", 800)),
            "max_size": int(self.get("INPUT.MAX_SIZE_TEST", 1333)),
        }
