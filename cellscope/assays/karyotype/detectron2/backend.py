"""detectron2 itself, where it is installed: the one module that imports it, and only inside its functions.

The network built here takes and gives what `ChrRender` does, so that training, prediction and evaluation are the same
whichever of the two computes, and so are the files they write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from cellscope.assays.karyotype.detectron2.names import from_native, to_native
from cellscope.errors import ModelError, UsageError

#: How normalised tone becomes pixels for networks that start from ImageNet: bright chromosomes near 170 of 255.
GREY_RANGE = 170.0
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def require() -> None:
    """Import detectron2.

    Raises
    ------
    UsageError
        If it is not installed; says how to get it and what to do without it.
    """
    try:
        import detectron2.modeling  # noqa: F401
        from detectron2.projects import point_rend  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"--backend detectron2 needs detectron2 with its PointRend project ({error}); install it as "
            "detectron2.readthedocs.io/tutorials/install.html says, or leave --backend out: imported models run "
            "without it"
        ) from error


def training_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Give the arguments of a network that detectron2 will train: as published, by its conventions.

    Parameters
    ----------
    arguments : mapping
        Of `ChrRender`, from its ``ARCHS``.

    Raises
    ------
    UsageError
        If detectron2 has no such network.
    """
    published = arguments.get("stages") == 4 and not arguments.get("fpn_norm", True)
    if not published or not str(arguments["backbone"]).removeprefix("resnet").isdigit():
        raise UsageError(
            "detectron2 (backend or conventions) trains --arch chrrender-50, mask-rcnn-50 or faster-rcnn-101"
        )
    return {
        **arguments,
        "conventions": "detectron2",
        "box_nms": 0.5,
        "score_threshold": 0.05,
        "max_detections": 100,
        "proposals": 1000,
        "frozen_norm": True,
        "in_channels": 3,
        "grey_range": GREY_RANGE,
        "pixel_mean": IMAGENET_MEAN,
        "pixel_std": IMAGENET_STD,
    }


def configuration(arguments: Mapping[str, Any], *, learn_norm: bool = False) -> Any:
    """Write detectron2's configuration of a network.

    Parameters
    ----------
    arguments : mapping
        Of `ChrRender`, with ``conventions`` detectron2.
    learn_norm : bool
        Batch normalisation that learns, for a training that starts from nothing.

    Returns
    -------
    detectron2.config.CfgNode

    Raises
    ------
    ModelError
        If the network was not made for detectron2's conventions.
    """
    require()
    from detectron2.config import get_cfg
    from detectron2.projects.point_rend import add_pointrend_config

    if arguments.get("conventions") != "detectron2":
        raise ModelError("this detector is not computed by detectron2's conventions; run it without --backend")
    cfg = get_cfg()
    add_pointrend_config(cfg)
    model, classes, mask = cfg.MODEL, int(arguments.get("classes", 1)), arguments.get("mask", "points")
    model.DEVICE, model.WEIGHTS, model.MASK_ON = "cpu", "", mask != "none"
    model.PIXEL_MEAN, model.PIXEL_STD = list(arguments["pixel_mean"]), list(arguments["pixel_std"])
    model.BACKBONE.NAME, model.BACKBONE.FREEZE_AT = "build_resnet_fpn_backbone", 0 if learn_norm else 2
    kind, _, shape = str(arguments["backbone"]).partition("_")
    model.RESNETS.DEPTH = int(kind.removeprefix("resnet").removeprefix("resnext"))
    if shape:
        model.RESNETS.NUM_GROUPS, model.RESNETS.WIDTH_PER_GROUP = map(int, shape.removesuffix("d").split("x"))
    if model.RESNETS.DEPTH < 50:
        model.RESNETS.RES2_OUT_CHANNELS = 64
    model.RESNETS.STRIDE_IN_1X1 = bool(arguments.get("stride_in_1x1", False))
    model.RESNETS.NORM = "BN" if learn_norm else "FrozenBN"
    model.RESNETS.OUT_FEATURES = model.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    model.FPN.OUT_CHANNELS = int(arguments["fpn_channels"])
    model.ANCHOR_GENERATOR.SIZES = [[side] for side in arguments["anchor_sizes"]]
    model.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    model.RPN.PRE_NMS_TOPK_TRAIN, model.RPN.PRE_NMS_TOPK_TEST = 2000, 1000
    model.RPN.POST_NMS_TOPK_TRAIN = model.RPN.POST_NMS_TOPK_TEST = int(arguments.get("proposals") or 1000)
    heads = model.ROI_HEADS
    heads.NAME, heads.IN_FEATURES, heads.NUM_CLASSES = "StandardROIHeads", ["p2", "p3", "p4", "p5"], classes
    heads.NMS_THRESH_TEST = float(arguments.get("box_nms", 0.7))
    heads.SCORE_THRESH_TEST = float(arguments.get("score_threshold", 0.05))
    model.ROI_BOX_HEAD.NAME, model.ROI_BOX_HEAD.NUM_FC = "FastRCNNConvFCHead", 2
    model.ROI_BOX_HEAD.FC_DIM, model.ROI_BOX_HEAD.POOLER_RESOLUTION = int(arguments["box_hidden"]), 7
    cfg.TEST.DETECTIONS_PER_IMAGE = int(arguments.get("max_detections", 120))
    if mask == "points":
        model.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES = True
        model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.POOLER_TYPE = "PointRendMaskHead", ""
        model.ROI_MASK_HEAD.POINT_HEAD_ON = True
        model.ROI_MASK_HEAD.CONV_DIM = int(arguments["fpn_channels"])
        model.ROI_MASK_HEAD.FC_DIM = int(arguments["mask_hidden"])
        model.POINT_HEAD.NUM_CLASSES, model.POINT_HEAD.FC_DIM = classes, int(arguments["point_hidden"])
        model.POINT_HEAD.SUBDIVISION_STEPS = int(arguments["steps"]) + 2
    elif mask == "conv":
        model.ROI_MASK_HEAD.NAME, model.ROI_MASK_HEAD.NUM_CONV = "MaskRCNNConvUpsampleHead", 4
        model.ROI_MASK_HEAD.CONV_DIM = int(arguments["mask_hidden"])
        model.ROI_MASK_HEAD.POOLER_RESOLUTION = 14
    return cfg


class Detectron2Network(nn.Module):
    """detectron2's network behind the interface of `ChrRender`.

    Parameters
    ----------
    arguments : mapping
        Of `ChrRender`, with ``conventions`` detectron2.
    learn_norm : bool
        See `configuration`.

    Raises
    ------
    UsageError, ModelError
        As `require` and `configuration`.
    """

    def __init__(self, arguments: Mapping[str, Any], *, learn_norm: bool = False):
        super().__init__()
        cfg = configuration(arguments, learn_norm=learn_norm)
        from detectron2.modeling import build_model

        self.model = build_model(cfg)
        self.classes, self.has_masks = int(arguments.get("classes", 1)), bool(cfg.MODEL.MASK_ON)
        self.grey_range = arguments.get("grey_range")

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Any:
        """Give losses in training, detections otherwise; see `ChrRender.forward`."""
        if self.grey_range is not None:
            images = [image.expand(3, -1, -1) * self.grey_range for image in images]
        inputs: list[dict[str, Any]] = [{"image": image} for image in images]
        if not self.training:
            return [self._plain(found) for found in self.model.inference(inputs, do_postprocess=False)]
        from detectron2.utils.events import EventStorage

        assert targets is not None
        for entry, target in zip(inputs, targets, strict=True):
            entry["instances"] = self._instances(entry["image"], target)
        if self.has_masks:  # its point head cannot do without an object
            inputs = [entry for entry in inputs if len(entry["instances"])]
        if not inputs:
            return {"loss_objectness": next(self.model.proposal_generator.parameters()).sum() * 0}
        with EventStorage(0):  # its heads write statistics somewhere
            losses: dict[str, Tensor] = self.model(inputs)
        return losses

    def _plain(self, found: Any) -> dict[str, Tensor]:
        plain = {"boxes": found.pred_boxes.tensor, "scores": found.scores, "labels": found.pred_classes + 1}
        return plain | {"masks": found.pred_masks[:, 0]} if self.has_masks else plain

    def _instances(self, image: Tensor, target: dict[str, Tensor]) -> Any:
        from detectron2.structures import BitMasks, Boxes, Instances

        size = (image.shape[-2], image.shape[-1])
        instances = Instances(size)
        instances.gt_boxes = Boxes(target["boxes"])
        labels = target["labels"] - 1 if self.classes > 1 else torch.zeros(len(target["boxes"]), dtype=torch.int64)
        instances.gt_classes = labels.to(image.device)
        if self.has_masks:
            instances.gt_masks = BitMasks(target["masks"].to(torch.bool))
        return instances


class NativeWeights(nn.Module):
    """A `Detectron2Network` seen as a holder of weights under our names, to be saved and loaded like our own."""

    def __init__(self, network: Detectron2Network):
        super().__init__()
        self.network = network

    def state_dict(self, *_args: Any, **_options: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Give the weights as `ChrRender` has them."""
        return to_native(self.network.model.state_dict())

    def load_state_dict(self, weights: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> Any:
        """Take weights as `ChrRender` has them; with `strict` off, only those that are given."""
        own = self.network.model.state_dict()
        wanted = [name for name in own if "num_batches_tracked" not in name]
        given = from_native({**self.state_dict(), **weights}, wanted)
        return self.network.model.load_state_dict({**own, **given}, strict=strict, assign=assign)
