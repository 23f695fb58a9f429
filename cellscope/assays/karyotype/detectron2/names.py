"""Weights between detectron2's names and order and ours. Pure functions on dictionaries of tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from cellscope.errors import ModelError

_RENAMED = (
    # Files written before PointRend's heads moved into one.
    (r"^roi_heads\.mask_(coarse|point)_head\.", r"roi_heads.mask_head.\1_head."),
    (r"\.coarse_mask_fc(\d)\.", r".fc\1."),
)
_RULES = (
    (r"backbone\.bottom_up\.stem\.conv1\.weight", r"backbone.body.conv1.weight"),
    (r"backbone\.bottom_up\.stem\.conv1\.norm\.(\w+)", r"backbone.body.bn1.\1"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.weight", r"backbone.body.layer{0}.\2.conv\3.weight"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.conv(\d)\.norm\.(\w+)", r"backbone.body.layer{0}.\2.bn\3.\4"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.weight", r"backbone.body.layer{0}.\2.downsample.0.weight"),
    (r"backbone\.bottom_up\.res(\d)\.(\d+)\.shortcut\.norm\.(\w+)", r"backbone.body.layer{0}.\2.downsample.1.\3"),
    (r"backbone\.fpn_lateral(\d)\.(weight|bias)", r"backbone.fpn.inner_blocks.{1}.0.\2"),
    (r"backbone\.fpn_output(\d)\.(weight|bias)", r"backbone.fpn.layer_blocks.{1}.0.\2"),
    (r"proposal_generator\.rpn_head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    (r"proposal_generator\.rpn_head\.objectness_logits\.(weight|bias)", r"rpn.head.cls_logits.\1"),
    (r"proposal_generator\.rpn_head\.anchor_deltas\.(weight|bias)", r"rpn.head.bbox_pred.\1"),
    (r"roi_heads\.box_head\.fc1\.(weight|bias)", r"roi_heads.box_head.fc6.\1"),
    (r"roi_heads\.box_head\.fc2\.(weight|bias)", r"roi_heads.box_head.fc7.\1"),
    (r"roi_heads\.box_predictor\.(cls_score|bbox_pred)\.(weight|bias)", r"roi_heads.box_predictor.\1.\2"),
    (r"roi_heads\.mask_head\.coarse_head\.(\w+)\.(weight|bias)", r"render_head.coarse_head.\1.\2"),
    (r"roi_heads\.mask_head\.point_head\.(\w+)\.(weight|bias)", r"render_head.point_head.\1.\2"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)", r"render_head.convs.{3}.\2"),
    (r"roi_heads\.mask_head\.deconv\.(weight|bias)", r"render_head.deconv.\1"),
    (r"roi_heads\.mask_head\.predictor\.(weight|bias)", r"render_head.predictor.\1"),
)
#: detectron2 counts stages and pyramid levels from 2 and mask convolutions from 1.
_SHIFT = {"{0}": 1, "{1}": 2, "{3}": 1}
_NOT_WEIGHTS = re.compile(r"pixel_(mean|std)$|anchor_generator\.cell_anchors|num_batches_tracked$")


def native_name(name: str) -> str | None:
    """Give our name of one of detectron2's weights; None where we have none.

    >>> native_name("backbone.bottom_up.res3.0.shortcut.norm.bias")
    'backbone.body.layer2.0.downsample.1.bias'
    >>> native_name("backbone.fpn_output2.weight")
    'backbone.fpn.layer_blocks.0.0.weight'
    """
    for pattern, replacement in _RENAMED:
        name = re.sub(pattern, replacement, name)
    for pattern, replacement in _RULES:
        found = re.fullmatch(pattern, name)
        if found:
            for slot, shift in _SHIFT.items():
                if slot in replacement:
                    replacement = replacement.replace(slot, str(int(found[1]) - shift))
            return found.expand(replacement)
    return None


def to_native(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and reorder detectron2's weights for `ChrRender`.

    The background is detectron2's last class and our first one; boxes have four rows per class, and ours four more for
    the background, which are never used. Box and mask predictors that are the same for all classes are repeated.

    Raises
    ------
    ModelError
        If some weights belong to no FPN network that is known here: the first names are listed.
    """
    native: dict[str, Tensor] = {}
    unknown = []
    for name, value in weights.items():
        if _NOT_WEIGHTS.search(name):
            continue
        own = native_name(name)
        if own is None:
            unknown.append(name)
        else:
            native[own] = value.float()
    if unknown:
        raise ModelError(
            f"not a PointRend, Mask R-CNN or Faster R-CNN with a ResNet-FPN backbone: {len(unknown)} weights such as "
            f"{', '.join(unknown[:3])} have no place"
        )
    classes = len(native.get("roi_heads.box_predictor.cls_score.bias", torch.zeros(1))) - 1
    if classes < 1:
        raise ModelError("the checkpoint holds no box predictor; is it an ImageNet backbone?")
    for kind in ("weight", "bias"):
        scores = native[f"roi_heads.box_predictor.cls_score.{kind}"]
        native[f"roi_heads.box_predictor.cls_score.{kind}"] = torch.cat([scores[-1:], scores[:-1]])
        name = f"roi_heads.box_predictor.bbox_pred.{kind}"
        boxes = native[name]
        if len(boxes) == 4:
            boxes = boxes.repeat(classes, *[1] * (boxes.ndim - 1))
        native[name] = torch.cat([torch.zeros_like(boxes[:4]), boxes])
        for name in (f"render_head.predictor.{kind}", f"render_head.point_head.predictor.{kind}"):
            if name in native and len(native[name]) == 1 and classes > 1:
                native[name] = native[name].repeat(classes, *[1] * (native[name].ndim - 1))
    return native


def from_native(weights: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """Give our weights under detectron2's names and in its order: the inverse of `to_native`.

    Parameters
    ----------
    weights : mapping
        A `ChrRender`'s state.
    wanted : iterable of str
        The names detectron2's network has.

    Raises
    ------
    ModelError
        If one of them is missing here.
    """
    found = {}
    for name in wanted:
        if _NOT_WEIGHTS.search(name):
            continue
        own = native_name(name)
        if own is None or own not in weights:
            raise ModelError(f"the model has no weights for detectron2's '{name}'")
        value = weights[own]
        if ".cls_score." in name:
            value = torch.cat([value[1:], value[:1]])
        elif ".box_predictor.bbox_pred." in name:
            value = value[4:]
        found[name] = value
    return found
