"""The karyotype assay for the engine: cut, network, postprocess; metaphases and single chromosomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from cellscope.assays.karyotype import baselines
from cellscope.assays.karyotype.assignment import most_probable
from cellscope.assays.karyotype.baselines import Baseline
from cellscope.assays.karyotype.cell import POLARITY_MARGIN, Cell, candidates, name_cell, objects_table
from cellscope.assays.karyotype.chrnet import ChrNet, Classifier, classify_views
from cellscope.assays.karyotype.chrrender import ChrRender
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.clones import summarise
from cellscope.assays.karyotype.detections import (
    Detection,
    detections_of,
    drop_pale,
    drop_thick,
    to_labels,
    with_foreground,
)
from cellscope.assays.karyotype.explain import draw_explained, explain
from cellscope.assays.karyotype.figures import as_coco, draw_overlay
from cellscope.assays.karyotype.inputs import CANONICAL, network_input
from cellscope.assays.karyotype.karyogram import draw_karyogram, vector_karyogram
from cellscope.assays.karyotype.page import DPI
from cellscope.assays.karyotype.record import as_karyotype
from cellscope.assays.karyotype.scale import LIMITS, resize
from cellscope.assays.karyotype.upright import main_axis, single_chromosome
from cellscope.assays.karyotype.views import view_of
from cellscope.engine.assay import Assay, Editor, Result, Stage, Subject, probability_columns
from cellscope.errors import InputError, ModelError, UsageError
from cellscope.imaging.measure import add_physical, measure_mask
from cellscope.imaging.tone import normalise_tone, to_grey
from cellscope.io.image import Image
from cellscope.io.read import SUFFIXES
from cellscope.models.card import ModelCard

METAPHASE, CHROMOSOME = "metaphase", "chromosome"
KINDS = (METAPHASE, CHROMOSOME)
#: Images with no side longer than this hold one chromosome, unless --input says otherwise.
LARGEST_CHROMOSOME = 256
#: Typical square root of a chromosome's box, in units of the detector's canonical side; far from it, the image is
#: looked at again at another scale.
USUAL_BOX = 1.45
TOLERANCE = 1.5
POLARITIES: dict[str, bool | None] = {"auto": None, "bright": True, "dark": False}
PAD = 6
#: Share of the usual tone below which a detection is no chromosome, for dark and for bright chromosomes: fluorescence
#: differs more from one chromosome to the next.
PALE = {False: 0.5, True: 0.3}


def kind_of(image: Image, forced: str) -> str:
    """Tell a metaphase from a single chromosome by the image's size, or obey `forced`.

    Raises
    ------
    UsageError
        If `forced` is neither ``auto`` nor a kind.
    """
    if forced in KINDS:
        return forced
    if forced != "auto":
        raise UsageError(f"--input {forced}: karyotype reads {', '.join(KINDS)} (or auto)")
    return CHROMOSOME if max(image.height, image.width) <= LARGEST_CHROMOSOME else METAPHASE


def cut_metaphase(subject: Subject) -> list[np.ndarray]:
    """Normalise tone and scale: one item, the whole metaphase."""
    grey = to_grey(subject.image.pixels)
    normalised, bright = normalise_tone(grey, bright_on_dark=POLARITIES[subject.options.polarity])
    item, scale = network_input(subject.cards["detect"].normalisation, subject.image.pixels, normalised)
    subject.state |= {"grey": grey, "normalised": normalised, "bright": bright, "scale": scale}
    return [item]


def _canonical_side(subject: Subject) -> float:
    return float(subject.cards["detect"].normalisation["canonical_side"])


def _scaled(normalised: np.ndarray, scale: float) -> np.ndarray:
    return np.ascontiguousarray(resize(normalised, scale)[None])


def detect(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Run the detector; outputs on the CPU."""
    return [{name: value.float().cpu() for name, value in output.items()} for output in module(batch)]


def take_detections(subject: Subject, outputs: list[Any]) -> None:
    """Keep what is confident enough, at the image's own resolution."""
    if not outputs:
        return
    options = subject.options
    threshold = candidates(score_threshold(subject), assign=not options.no_assignment)
    shape = subject.state["normalised"].shape
    found = detections_of(outputs[0], subject.state["scale"], shape, threshold=options.mask_threshold)
    kept = [detection for detection in found if detection.score >= threshold]
    if "masks" not in outputs[0]:
        kept = with_foreground(kept, subject.state["normalised"])
    kept = drop_thick(kept, shape)
    kept = drop_pale(kept, subject.state["normalised"], limit=PALE[subject.state["bright"]])
    if not subject.state["bright"]:
        margin = subject.cards["detect"].thresholds.get("bright_field_box_margin", 0.0)
        margin /= float(np.mean(subject.state["scale"]))
        kept = [replace(detection, margin=margin) for detection in kept]
    subject.state["detections"] = kept


def score_threshold(subject: Subject) -> float:
    """Give the least confidence of a chromosome: what the user says, else what the detector was tuned to."""
    if subject.options.score_threshold is not None:
        return float(subject.options.score_threshold)
    return float(subject.cards["detect"].thresholds.get("score_threshold", 0.5))


def cut_again(subject: Subject) -> list[np.ndarray]:
    """Give the metaphase at a better scale when the chromosomes found are far from their usual size."""
    detections: list[Detection] = subject.state["detections"]
    if len(detections) < 5 or subject.cards["detect"].normalisation.get("kind", CANONICAL) != CANONICAL:
        return []
    boxes = np.array([detection.bbox for detection in detections], float)
    side = float(np.median(np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))) * subject.state["scale"]
    usual = USUAL_BOX * _canonical_side(subject)
    if usual / TOLERANCE <= side <= usual * TOLERANCE:
        return []
    scale = float(np.clip(subject.state["scale"] * usual / side, *LIMITS))
    if abs(scale / subject.state["scale"] - 1) < 0.05:
        return []
    subject.state["scale"] = scale
    return [_scaled(subject.state["normalised"], scale)]


def cut_chromosomes(subject: Subject) -> list[np.ndarray]:
    """Turn every detection upright; or, for an image of one chromosome, that one."""
    if subject.kind == CHROMOSOME:
        grey = to_grey(subject.image.pixels)
        normalised, mask = single_chromosome(grey)
        if not normalised.any():
            raise InputError(f"{subject.name}: nothing stands out from the background; is this a chromosome?")
        subject.state |= {"grey": grey, "mask": mask}
        return [_view(subject, normalised, mask)]
    return [
        _view(subject, *cut_out(subject.state["normalised"], detection)) for detection in subject.state["detections"]
    ]


def cut_out(normalised: np.ndarray, detection: Detection) -> tuple[np.ndarray, np.ndarray]:
    """Cut a detection out of a normalised metaphase, with some of its surroundings: image and mask."""
    height, width = normalised.shape
    x0, y0, x1, y1 = map(int, detection.bbox)
    left, top = max(x0 - PAD, 0), max(y0 - PAD, 0)
    cut = normalised[top : min(y1 + PAD, height), left : min(x1 + PAD, width)]
    mask = np.zeros(cut.shape, bool)
    mask[y0 - top : y1 - top, x0 - left : x1 - left] = detection.mask
    return cut, mask


def _view(subject: Subject, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    settings = subject.cards["classify"].normalisation
    return view_of(image, mask, settings, rotate=subject.options.rotate)[None]


def cut_explained(subject: Subject) -> list[np.ndarray]:
    """Show the classifier the same views again where its decisions are to be explained."""
    return cut_chromosomes(subject) if subject.options.explain else []


def take_explained(subject: Subject, outputs: list[np.ndarray]) -> None:
    """Draw the heat maps: chromosomes by their most probable class, the surest first."""
    if not outputs:
        return
    scores = subject.state["log_probabilities"]
    order = sorted(range(len(outputs)), key=lambda row: (int(scores[row].argmax()), -float(scores[row].max())))
    views = [view[0] for view in cut_chromosomes(subject)]
    names = [f"{row + 1}: {CLASSES[int(scores[row].argmax())]}  {np.exp(scores[row].max()):.2f}" for row in order]
    subject.state["explained"] = draw_explained([views[row] for row in order], [outputs[row] for row in order], names)


def classify(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[tuple[np.ndarray, float | None]]:
    """Run the classifier: per item the log probabilities (K,) and the logit that the short arm is up."""
    scores, polarity = classify_views(cast(Classifier, module), torch.stack(batch))
    ups = [None] * len(batch) if polarity is None else polarity.float().cpu().tolist()
    return list(zip(scores.float().cpu().numpy(), ups, strict=True))


def take_classes(subject: Subject, outputs: list[Any]) -> None:
    """Keep the classifier's outputs, tempered as the model card says."""
    subject.state["log_probabilities"] = tempered(subject, outputs)
    known = [output[1] for output in outputs]
    subject.state["polarity"] = None if any(value is None for value in known) else np.array(known, float)


def tempered(subject: Subject, outputs: list[Any]) -> np.ndarray:
    """Give the classifier's log probabilities, (N, 24), at the temperature that makes them honest."""
    temperature = subject.cards["classify"].thresholds.get("temperature", 1.0)
    scores = np.array([output[0] for output in outputs], float).reshape(-1, len(CLASSES)) / temperature
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True) if len(scores) else scores


def conclude(subject: Subject) -> Result:
    """Turn a finished subject into its rows, pictures and files."""
    return _conclude_chromosome(subject) if subject.kind == CHROMOSOME else _conclude_metaphase(subject)


def name_subject(subject: Subject) -> Cell:
    """Name the chromosomes of a metaphase that has been through both networks."""
    state, options = subject.state, subject.options
    return name_cell(
        state["detections"],
        state["log_probabilities"],
        state["polarity"],
        shape=state["normalised"].shape,
        bright_on_dark=state["bright"],
        assign=not options.no_assignment,
        aneuploidy_cost=options.aneuploidy_cost,
        review_below=options.review_below,
        score_threshold=score_threshold(subject),
    )


def _conclude_metaphase(subject: Subject) -> Result:
    return metaphase_result(subject, name_subject(subject))


def metaphase_result(subject: Subject, cell: Cell, *, history: list[dict[str, Any]] | None = None) -> Result:
    """Give the rows, pictures and files of a named cell.

    Parameters
    ----------
    subject : Subject
        Its state holds ``grey``; its options say how to draw.
    cell : Cell
    history : list of dict, optional
        What people changed.
    """
    grey, options = subject.state["grey"], subject.options
    warnings = []
    if not cell.chromosomes:
        warnings.append("no chromosome found; is this a metaphase, and is --polarity right?")
    drawn = {"title": subject.name, "ideograms": options.ideograms}
    artefacts = {
        ".labels.tif": to_labels([chromosome.detection for chromosome in cell.chromosomes], cell.shape),
        ".overlay.png": draw_overlay(subject.image.pixels, cell),
        ".coco.json": as_coco(cell, subject.name),
        ".karyogram.png": (draw_karyogram(cell, grey, **drawn), DPI),
        ".karyotype.json": as_karyotype(cell, subject.name, history=history),
    }
    if options.karyogram != "png":
        artefacts[f".karyogram.{options.karyogram}"] = vector_karyogram(cell, grey, form=options.karyogram, **drawn)
    artefacts |= _explained(subject.state)
    return Result(
        objects=objects_table(cell, grey, subject.image.pixel_size_um),
        summary={
            "n_chromosomes": len(cell.chromosomes),
            "sex": cell.sex,
            "iscn_draft": cell.iscn_draft,
            "flags": ";".join(cell.flags),
        },
        artefacts=artefacts,
        warnings=warnings,
    )


def _conclude_chromosome(subject: Subject) -> Result:
    state = subject.state
    scores = state["log_probabilities"]
    probabilities = np.exp(scores[0])
    mask = state["mask"]
    _, angle, _ = main_axis(mask)
    up = state["polarity"][0] if state["polarity"] is not None else 0.0
    row: dict[str, Any] = {
        "label": 1,
        "class": most_probable(scores).classes[0],
        "score": float(probabilities.max()),
        "review": bool(probabilities.max() < subject.options.review_below),
    }
    row |= {f"p_{name}": float(p) for name, p in zip(CLASSES, probabilities, strict=True)}
    row |= measure_mask(mask, (0, 0), state["grey"])
    row |= {
        "angle_degrees": float(np.degrees(angle)),
        "short_arm_up": "" if abs(up) <= POLARITY_MARGIN else bool(up > 0),
    }
    table = add_physical(pd.DataFrame([row]), subject.image.pixel_size_um)
    return Result(objects=table, summary={"n_chromosomes": 1}, artefacts=_explained(state))


def _explained(state: dict[str, Any]) -> dict[str, Any]:
    return {".explain.png": state["explained"]} if "explained" in state else {}


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Rebuild a part's network from its model file.

    Raises
    ------
    ModelError
        If the part is unknown or the tensors do not fit the architecture the card names.
    """
    network: torch.nn.Module
    try:
        if card.part == "detect":
            network = ChrRender(**card.arch_args)
        elif card.part == "classify":
            network = (Baseline if card.arch in baselines.ARCHS else ChrNet)(
                classes=len(card.classes), **card.arch_args
            )
        else:
            raise ModelError(f"karyotype has no part {card.part!r}; its parts are detect and classify")
        network.load_state_dict(tensors)
    except (TypeError, RuntimeError) as error:
        raise ModelError(
            f"the model's tensors do not fit its architecture {card.arch}: {str(error).splitlines()[0]}"
        ) from error
    return network.eval()


def classes_columns(cards: Mapping[str, ModelCard]) -> tuple[str, ...]:
    """Give the probability columns of ``objects.csv``."""
    return probability_columns(cards["classify"].classes)


ASSAY = Assay(
    name="karyotype",
    kinds=KINDS,
    suffixes=SUFFIXES,
    stages=(
        Stage("detect", (METAPHASE,), 1, cut_metaphase, detect, take_detections),
        Stage("detect", (METAPHASE,), 1, cut_again, detect, take_detections),
        Stage("classify", KINDS, 64, cut_chromosomes, classify, take_classes),
        Stage("classify", KINDS, 64, cut_explained, explain, take_explained),
    ),
    parts=("detect", "classify"),
    summary_columns=("n_chromosomes", "sex", "iscn_draft", "flags"),
    classes_columns=classes_columns,
    kind_of=kind_of,
    build=build,
    conclude=conclude,
    figures={METAPHASE: (".karyogram.png", ".overlay.png", ".explain.png"), CHROMOSOME: (".explain.png",)},
    summarise=summarise,
    editors={
        METAPHASE: Editor(
            suffix=".karyotype.json",
            package="cellscope.assays.karyotype",
            script="editor.js",
            style="editor.css",
            title="Edit this karyotype",
        )
    },
)
