"""``karyotype.json``: write and read a cell that can be corrected and drawn again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from cellscope.assays.karyotype.cell.assignment import UNASSIGNED
from cellscope.assays.karyotype.cell.chromosomes import Cell, Chromosome, judge
from cellscope.assays.karyotype.cell.fields import check_fields
from cellscope.assays.karyotype.cell.quality import NAMES
from cellscope.assays.karyotype.cell.sizes import odd_sizes
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.upright import main_axis
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.errors import InputError

SCHEMA = "cellscope.karyotype/1"
#: Changes of how a chromosome is shown, which say nothing of its class.
SEEN = {"flip", "turn"}
NOTICE = "A draft for research use only, never a diagnosis."


def as_karyotype(
    cell: Cell, image: str, *, quality: Mapping[str, float] | None = None, history: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Give the contents of ``karyotype.json``: chromosomes with their masks, counts per class, draft ISCN, flags.

    Parameters
    ----------
    cell : Cell
    image : str
        The input's name.
    quality : mapping, optional
        What `quality.measure` gives; nothing without chromosomes.
    history : list of dict, optional
        What people changed, in order.
    """
    return {
        "schema": SCHEMA,
        "image": image,
        "height": cell.shape[0],
        "width": cell.shape[1],
        "bright_on_dark": cell.bright_on_dark,
        "n_chromosomes": len(cell.chromosomes),
        "counts": cell.counts,
        "sex": cell.sex,
        "iscn_draft": cell.iscn_draft,
        "draft": True,
        "probability": None if cell.probability is None else round(cell.probability, 4),
        **{name: (quality or {}).get(name) for name in NAMES},
        "notice": NOTICE,
        "flags": cell.flags,
        "chromosomes": [_entry(chromosome) for chromosome in cell.chromosomes],
        "left_out": [_found(detection) for detection in cell.left_out],
        "history": list(history or []),
    }


def _entry(chromosome: Chromosome) -> dict[str, Any]:
    probabilities = chromosome.probabilities
    told = np.isfinite(probabilities).all()
    class_ = chromosome.class_
    return {
        "label": chromosome.label,
        "class": class_,
        "confidence": round(chromosome.confidence, 4),
        "probability": round(float(probabilities[CLASSES.index(class_)]), 4) if told and class_ in CLASSES else None,
        "alternatives": {CLASSES[i]: round(float(probabilities[i]), 4) for i in probabilities.argsort()[::-1][:3]}
        if told
        else {},
        "probabilities": {name: round(float(p), 6) for name, p in zip(CLASSES, probabilities, strict=True)}
        if told
        else None,
        **_found(chromosome.detection),
        "angle_degrees": round(float(np.degrees(chromosome.angle)), 2),
        "short_arm_up": chromosome.short_arm_up,
        "review": chromosome.review,
        "reasons": chromosome.reasons,
        **({"edited": chromosome.edited} if chromosome.edited else {}),
        **({"turned_degrees": chromosome.turned} if chromosome.turned else {}),
    }


def _found(detection: Detection) -> dict[str, Any]:
    return {
        "score": round(detection.score, 4),
        "bbox": [int(value) for value in detection.bbox],
        "area": detection.area,
        "mask": mask_runs(detection.mask),
    }


def mask_runs(mask: np.ndarray) -> str:
    """Write a mask as run lengths, row by row, of pixels outside and inside in turn, outside first.

    >>> mask_runs(np.array([[0, 1, 1], [1, 0, 0]], bool))
    '1 3 2'
    """
    flat = mask.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.r_[0, edges, flat.size]).tolist()
    return " ".join(map(str, [0, *runs] if flat.size and flat[0] else runs))


def runs_mask(runs: str, height: int, width: int) -> np.ndarray:
    """Read what `mask_runs` wrote: (height, width) bool.

    Raises
    ------
    ValueError
        The runs do not fill the box.
    """
    try:
        lengths = np.array(str(runs).split(), int)
    except OverflowError:
        lengths = np.array([-1])
    if (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise ValueError("its mask does not fill its bbox")
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)


def read_karyotype(document: Mapping[str, Any], *, review_below: float) -> Cell:
    """Rebuild the cell that a ``karyotype.json`` describes, whoever wrote or changed it.

    What follows from the chromosomes (counts, draft, flags, reasons) is worked out anew. A class that a person gave
    is certain, so it is not marked for review again.

    Parameters
    ----------
    document : mapping
    review_below : float
        As for ``predict``.

    Raises
    ------
    InputError
        Something is missing or cannot be: the message names the chromosome.
    """
    if not isinstance(document, Mapping) or document.get("schema") != SCHEMA:
        raise InputError(f"this is not a karyotype.json of schema {SCHEMA}")
    check_fields(document)
    try:
        shape = int(document["height"]), int(document["width"])
        bright = bool(document["bright_on_dark"])
        listed, left = list(document["chromosomes"]), list(document.get("left_out", []))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"it has no usable {error}") from None
    chromosomes = [_read_entry(entry, shape) for entry in listed]
    labels = [chromosome.label for chromosome in chromosomes]
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise InputError(f"two chromosomes have the label {twice}")
    areas = np.array([chromosome.detection.area for chromosome in chromosomes], float)
    for chromosome, odd in zip(chromosomes, odd_sizes([one.class_ for one in chromosomes], areas), strict=True):
        chromosome.odd_size = float(odd)
    judge(chromosomes, shape, review_below)
    for chromosome, entry in zip(chromosomes, listed, strict=True):
        if chromosome.class_ != UNASSIGNED and _named_by_person(entry):
            # Said once, so that the next one to read the file knows it too.
            if not set(chromosome.edited) - SEEN:
                chromosome.edited = sorted({*chromosome.edited, "class"})
            keep_fixed(chromosome)
    left_out = [_read_found(entry, shape, "left_out") for entry in left]
    return Cell(chromosomes, shape, bright, left_out, _probability(document))


def keep_fixed(chromosome: Chromosome) -> None:
    """Hold what a person said of a chromosome for certain: nothing but the image's border asks for another look."""
    chromosome.confidence = 1.0
    chromosome.reasons = [reason for reason in chromosome.reasons if reason.startswith("cut off")]
    chromosome.review = bool(chromosome.reasons)


def _probability(document: Mapping[str, Any]) -> float | None:
    """Give how probable the draft is; of one whose chromosomes a person changed nothing is known."""
    history = document.get("history") or []
    said = document.get("probability")
    if not isinstance(said, (int, float)) or isinstance(said, bool) or not isinstance(history, list):
        return None
    changed = any(not isinstance(edit, Mapping) or edit.get("do") not in {"confirm", *SEEN} for edit in history)
    return None if changed or not 0 <= said <= 1 else float(said)


def _read_entry(entry: Mapping[str, Any], shape: tuple[int, int]) -> Chromosome:
    name = f"chromosome {entry.get('label')}"
    label, class_ = entry.get("label"), str(entry.get("class") or UNASSIGNED)
    if not isinstance(label, int) or isinstance(label, bool) or label < 1:
        raise InputError(f"{name}: label must be a whole number from 1")
    if class_ not in CLASSES and class_ != UNASSIGNED:
        raise InputError(f"{name}: class {class_!r} is not one of 1 to 22, X, Y, {UNASSIGNED}")
    detection = _read_found(entry, shape, name)
    given = entry.get("probabilities")
    try:
        probabilities = np.array([float(given[one]) for one in CLASSES]) if given else np.full(24, np.nan)
        confidence = float(entry.get("confidence", 1.0))
        turned = float(entry.get("turned_degrees") or 0.0)
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{name}: probabilities must give a number for each of the 24 classes") from None
    up = entry.get("short_arm_up")
    return Chromosome(
        label=label,
        detection=detection,
        class_=class_,
        probabilities=probabilities,
        angle=main_axis(detection.mask)[1] + float(np.radians(turned)),
        short_arm_up=up if isinstance(up, bool) else None,
        confidence=confidence,
        edited=[str(one) for one in entry.get("edited") or ()],
        turned=turned,
    )


def _named_by_person(entry: Mapping[str, Any]) -> bool:
    """Tell whether a person named this chromosome: it says so, or its probability is no longer that of its class."""
    if set(entry.get("edited") or ()) - SEEN:
        return True
    given, noted = entry.get("probabilities"), entry.get("probability")
    own = given.get(str(entry.get("class"))) if given else None
    return own is not None and (noted is None or abs(float(own) - float(noted)) > 1e-3)


def _read_found(entry: Mapping[str, Any], shape: tuple[int, int], name: str) -> Detection:
    try:
        x0, y0, x1, y1 = (int(value) for value in entry["bbox"])
        if not (0 <= x0 < x1 <= shape[1] and 0 <= y0 < y1 <= shape[0]):
            raise ValueError("its bbox does not lie in the image")
        mask = runs_mask(entry["mask"], y1 - y0, x1 - x0)
        if not mask.any():
            raise ValueError("its mask is empty")
        return Detection(np.array([x0, y0, x1, y1]), mask, float(entry.get("score", 1.0)))
    except KeyError as error:
        raise InputError(f"{name}: it has no {error}") from None
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: {error}") from None
