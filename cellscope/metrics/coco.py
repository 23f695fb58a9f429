"""COCO average precision of boxes and masks, by pycocotools, silenced, with resampling for intervals."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from cellscope.metrics.detection import Rle


@dataclass(frozen=True)
class Instances:
    """The objects of one image, true or predicted.

    Attributes
    ----------
    boxes : (N, 4) float, x0 y0 x1 y1
    masks : sequence of N run-length codes, or None where there are only boxes
    scores : (N,) float, needed of predictions
    classes : (N,) int, or None for one class
    """

    boxes: np.ndarray
    masks: Sequence[Rle] | None = None
    scores: np.ndarray | None = None
    classes: np.ndarray | None = None

    def __post_init__(self) -> None:
        count = len(np.asarray(self.boxes, float).reshape(-1, 4))
        for name in ("masks", "scores", "classes"):
            value = getattr(self, name)
            if value is not None and len(value) != count:
                raise ValueError(f"{len(value)} {name} for {count} boxes")


class CocoScore:
    """COCO average precision of a set of images, evaluated once and then averaged over any resample of them.

    The matching and the averaging are pycocotools': ten IoU thresholds from 0.50 to 0.95, 101 recall points, mean over
    the classes that occur in the truth. Sizes: small below 32², large from 96² pixels of area, the truth's being that
    of its mask where it has one.

    Parameters
    ----------
    truth, predicted : sequences of I `Instances`, in the same order
    kind : ``mask`` or ``box``
    max_detections : int
        Predictions counted per image and class, best first. COCO takes 100.

    Raises
    ------
    ValueError
        If the lengths differ, predictions lack scores, or masks are missing for ``kind="mask"``.
    """

    def __init__(
        self,
        truth: Sequence[Instances],
        predicted: Sequence[Instances],
        *,
        kind: Literal["mask", "box"],
        max_detections: int = 100,
    ) -> None:
        from pycocotools.cocoeval import COCOeval

        if kind not in ("mask", "box"):
            raise ValueError(f"kind must be mask or box, not {kind}")
        if len(truth) != len(predicted):
            raise ValueError(f"{len(truth)} true images and {len(predicted)} predicted ones")
        if any(one.scores is None and len(one.boxes) for one in predicted):
            raise ValueError("predictions need scores")
        present = {int(label) for one in truth for label in _labels(one)}
        self.classes = sorted(present)
        self.images = len(truth)
        with contextlib.redirect_stdout(io.StringIO()):
            # A class without truth has no precision: leaving it out keeps the mean as COCO takes it.
            self._evaluation = COCOeval(
                _coco(truth, self.classes, kind, truth=True),
                _coco(predicted, self.classes, kind, truth=False),
                iouType="segm" if kind == "mask" else "bbox",
            )
            self._evaluation.params.maxDets = [max_detections]
            if self.images and self.classes:
                self._evaluation.evaluate()
        self._per_image = list(self._evaluation.evalImgs)

    def _accumulate(self, images: np.ndarray | None, *, areas: bool) -> dict[str, Any]:
        """Let pycocotools average over the images given, by their positions; the same image may come twice."""
        evaluation = self._evaluation
        params = copy.copy(evaluation.params)
        chosen = np.arange(self.images) if images is None else np.asarray(images, np.int64)
        rows = len(params.catIds) * len(params.areaRng)
        evaluation.evalImgs = [self._per_image[row * self.images + image] for row in range(rows) for image in chosen]
        evaluation._paramsEval = copy.copy(params)
        evaluation._paramsEval.imgIds = params.imgIds = list(range(len(chosen)))
        if not areas:
            params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.accumulate(params)
        return evaluation.eval

    def average_precision(self, images: np.ndarray | None = None, *, iou: float | None = None) -> float | None:
        """Average precision over all sizes.

        Parameters
        ----------
        images : (M,) int, optional
            Positions of the images to average over, repeats allowed (a bootstrap resample); all by default.
        iou : float, optional
            One threshold out of 0.50, 0.55 ... 0.95; the mean over all ten by default.

        Returns
        -------
        float or None
            None when the images hold no true object.
        """
        if not self.images or not self.classes or (images is not None and not len(images)):
            return None
        precision = self._accumulate(images, areas=False)["precision"]
        return _mean(precision[self._thresholds(iou), :, :, 0, -1])

    def _thresholds(self, iou: float | None) -> slice:
        if iou is None:
            return slice(None)
        thresholds = self._evaluation.params.iouThrs
        position = int(np.argmin(np.abs(thresholds - iou)))
        if abs(thresholds[position] - iou) > 1e-6:
            raise ValueError(f"no COCO threshold is {iou}")
        return slice(position, position + 1)

    def summary(self) -> dict[str, Any]:
        """All of COCO's figures.

        Returns
        -------
        dict
            ``ap, ap50, ap75, ap_small, ap_medium, ap_large, ar`` (average recall at `max_detections`), each a float or
            None when undefined, and ``per_class``: class -> AP.
        """
        names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar")
        if not self.images or not self.classes:
            return {**dict.fromkeys(names), "per_class": {}}
        result = self._accumulate(None, areas=True)
        precision, recall = result["precision"], result["recall"]
        figures: dict[str, Any] = {
            "ap": _mean(precision[:, :, :, 0, -1]),
            "ap50": _mean(precision[self._thresholds(0.5), :, :, 0, -1]),
            "ap75": _mean(precision[self._thresholds(0.75), :, :, 0, -1]),
        }
        for position, name in enumerate(self._evaluation.params.areaRngLbl[1:], 1):
            figures[f"ap_{name}"] = _mean(precision[:, :, :, position, -1])
        figures["ar"] = _mean(recall[:, :, 0, -1])
        figures["per_class"] = {
            label: _mean(precision[:, :, position, 0, -1]) for position, label in enumerate(self.classes)
        }
        return figures


def coco_ap(
    truth: Sequence[Instances],
    predicted: Sequence[Instances],
    *,
    kind: Literal["mask", "box"],
    max_detections: int = 100,
) -> dict[str, Any]:
    """Return `CocoScore.summary` for one pair of sets."""
    return CocoScore(truth, predicted, kind=kind, max_detections=max_detections).summary()


def _labels(instances: Instances) -> np.ndarray:
    count = len(np.asarray(instances.boxes, float).reshape(-1, 4))
    return np.zeros(count, np.int64) if instances.classes is None else np.asarray(instances.classes, np.int64)


def _mean(values: np.ndarray) -> float | None:
    """Average what is defined; pycocotools marks the rest with -1."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else None


def _coco(images: Sequence[Instances], classes: Sequence[int], kind: str, *, truth: bool) -> Any:
    """Build a COCO index of the instances whose class is among `classes`."""
    from pycocotools import mask
    from pycocotools.coco import COCO

    annotations: list[dict[str, Any]] = []
    for number, instances in enumerate(images):
        boxes = np.asarray(instances.boxes, float).reshape(-1, 4)
        if kind == "mask" and instances.masks is None and len(boxes):
            raise ValueError(f"image {number} has boxes but no masks")
        for position, label in enumerate(_labels(instances)):
            if int(label) not in classes:
                continue
            x0, y0, x1, y1 = boxes[position].tolist()
            annotation: dict[str, Any] = {
                "id": len(annotations) + 1,  # pycocotools takes 0 for "no match"
                "image_id": number,
                "category_id": int(label),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": (x1 - x0) * (y1 - y0),
                "iscrowd": 0,
            }
            if instances.masks is not None:
                code = dict(instances.masks[position])
                annotation["segmentation"] = code
                if kind == "mask" or truth:  # as COCO's own files and `loadRes` have it
                    annotation["area"] = float(mask.area(code))
            if instances.scores is not None:
                annotation["score"] = float(instances.scores[position])
            annotations.append(annotation)
    index = COCO()
    index.dataset = {
        "info": {},
        # Sizes matter to polygons only; run-length codes carry their own.
        "images": [{"id": number, "height": 0, "width": 0} for number in range(len(images))],
        "categories": [{"id": label, "name": str(label)} for label in classes],
        "annotations": annotations,
    }
    index.createIndex()
    return index
