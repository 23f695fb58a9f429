"""The karyotype assay for the engine: cut, network, postprocess; metaphases and single chromosomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from cellscope.assays.karyotype.cell.assignment import most_probable
from cellscope.assays.karyotype.cell.calibration import Calibration, margins_of
from cellscope.assays.karyotype.cell.choice import Plausible
from cellscope.assays.karyotype.cell.chromosomes import Cell, name_cell
from cellscope.assays.karyotype.cell.clones import summarise
from cellscope.assays.karyotype.cell.document import as_karyotype
from cellscope.assays.karyotype.cell.evidence import as_text
from cellscope.assays.karyotype.cell.plausible import features, weigh, weights_of
from cellscope.assays.karyotype.cell.quality import NAMES, measure
from cellscope.assays.karyotype.cell.trust import Trust
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.explain import explain
from cellscope.assays.karyotype.classify.portable import PORTABLE
from cellscope.assays.karyotype.classify.separate import separated
from cellscope.assays.karyotype.classify.stage import (
    CPU_BATCH,
    classify,
    cut_chromosomes,
    cut_explained,
    draw_heat_maps,
    store_probabilities,
)
from cellscope.assays.karyotype.classify.upright import main_axis
from cellscope.assays.karyotype.detect.detections import to_labels
from cellscope.assays.karyotype.detect.inputs import CHROMOSOME, KINDS, METAPHASE, kind_of, kind_of_item
from cellscope.assays.karyotype.detect.pairs import joined, pair_features, pair_weights_of
from cellscope.assays.karyotype.detect.stage import cut_again, cut_metaphase, detect, filter_detections, score_threshold
from cellscope.assays.karyotype.detect.state import State
from cellscope.assays.karyotype.karyogram.drawing import draw_karyogram, vector_karyogram
from cellscope.assays.karyotype.karyogram.figures import as_coco, draw_overlay
from cellscope.assays.karyotype.karyogram.page import DPI
from cellscope.assays.karyotype.karyogram.table import objects_table
from cellscope.assays.karyotype.networks import baselines
from cellscope.assays.karyotype.networks.baselines import Baseline
from cellscope.assays.karyotype.networks.chrnet import ChrNet
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.engine.assay import Assay, Editor, InputSpec, Ranking, Result, Stage, Subject, all_alike
from cellscope.errors import ModelError
from cellscope.imaging.doubt import trusted_pixel_size
from cellscope.imaging.measure import add_physical, measure_mask
from cellscope.io.choice import Wants
from cellscope.io.read import SUFFIXES
from cellscope.models.card import ModelCard, rebuilding
from cellscope.nn.folding import fold_norms

CHROMOSOME_UM = (0.5, 10.0)
"""Smallest and largest square that the usual chromosome of a metaphase can cover, side in micrometres."""


def conclude(subject: Subject[State]) -> Result:
    """Turn a finished subject into its rows, pictures and files."""
    return _conclude_chromosome(subject) if subject.kind == CHROMOSOME else _conclude_metaphase(subject)


def name_subject(subject: Subject[State]) -> Cell:
    """Name the chromosomes of a metaphase that has been through both networks."""
    state, options = subject.state, subject.options
    detect, calibration = subject.cards["detect"].thresholds, subject.cards["classify"].thresholds
    learnt = joined(detect, bright=state.bright) and not options.no_assignment
    return name_cell(
        state.detections,
        state.log_probabilities,
        state.polarity,
        shape=state.normalised.shape,
        bright_on_dark=state.bright,
        assign=not options.no_assignment,
        aneuploidy_cost=options.aneuploidy_cost,
        review_below=options.review_below,
        plausible=plausible_of(subject),
        calibration=Calibration.of(calibration | margins_of(detect) if learnt else calibration),
        trust=Trust.of(detect) if learnt else Trust(),
    )


def plausible_of(subject: Subject[State]) -> Plausible:
    """Tell how likely the detections of a metaphase are whole chromosomes, each alone and two together."""
    state, thresholds = subject.state, subject.cards["detect"].thresholds
    found = state.detections, state.log_probabilities
    learnt = joined(thresholds, bright=state.bright) and not subject.options.no_assignment
    weights = weights_of(thresholds, learnt=learnt)
    certain = weigh(features(*found, state.normalised, score_threshold(subject)), weights)
    if not learnt:
        return Plausible(certain)
    pairs, measured = pair_features(*found)
    return Plausible(certain, pairs, np.minimum(measured @ pair_weights_of(thresholds), 0.0))


def _conclude_metaphase(subject: Subject[State]) -> Result:
    cell = name_subject(subject)
    result = metaphase_result(subject, cell, subject.state.normalised)
    if subject.options.save_chromosomes:
        result.artefacts.update(_separated(subject, cell))
    return result


def _separated(subject: Subject[State], cell: Cell) -> dict[str, Any]:
    return separated(
        subject.state.normalised,
        [(one.label, one.class_, one.detection) for one in cell.chromosomes],
        subject.cards["classify"].normalisation,
        rotate=subject.options.rotate,
        bright_on_dark=cell.bright_on_dark,
    )


def metaphase_result(
    subject: Subject[State], cell: Cell, normalised: np.ndarray, *, history: list[dict[str, Any]] | None = None
) -> Result:
    """Give the rows, pictures and files of a named cell.

    Parameters
    ----------
    subject : Subject
        Its state holds ``grey``; its options say how to draw.
    cell : Cell
    normalised : (H, W) float32
        From `cellscope.imaging.tone.normalise_tone`.
    history : list of dict, optional
        What people changed.
    """
    grey, options = subject.state.grey, subject.options
    sides = [float(np.sqrt(chromosome.detection.mask.sum())) for chromosome in cell.chromosomes]
    seen = float(np.median(sides)) if sides else None
    pixel, warnings = trusted_pixel_size(subject.image, seen, CHROMOSOME_UM, "chromosomes (root of their area)")
    if not cell.chromosomes:
        warnings.append("no chromosome found; is this a metaphase, and is --polarity right?")
    found = measure(cell, normalised)
    quality = {} if found is None else found.rounded()
    drawn = {"title": subject.name, "ideograms": options.ideograms}
    artefacts = {
        ".labels.tif": to_labels(
            [chromosome.detection for chromosome in cell.chromosomes],
            cell.shape,
            [chromosome.label for chromosome in cell.chromosomes],  # not 1..N any more where a person removed one
        ),
        ".overlay.png": draw_overlay(subject.image.pixels, cell),
        ".coco.json": as_coco(cell, subject.name),
        ".karyogram.png": (draw_karyogram(cell, grey, **drawn), DPI),
        ".karyotype.json": as_karyotype(cell, subject.name, quality=quality, history=history),
    }
    if options.karyogram != "png":
        artefacts[f".karyogram.{options.karyogram}"] = vector_karyogram(cell, grey, form=options.karyogram, **drawn)
    artefacts |= _explained(subject.state)
    return Result(
        objects=objects_table(cell, grey, pixel),
        summary={
            "n_chromosomes": len(cell.chromosomes),
            "sex": cell.sex,
            "iscn_draft": cell.iscn_draft,
            "flags": ";".join(cell.flags),
            "probability": None if cell.probability is None else round(cell.probability, 4),
            **quality,
            "evidence": None if cell.evidence is None else as_text(cell.evidence),
        },
        artefacts=artefacts,
        warnings=warnings,
    )


def _conclude_chromosome(subject: Subject[State]) -> Result:
    state = subject.state
    scores = state.log_probabilities
    probabilities = np.exp(scores[0])
    mask = state.mask
    _, angle, _ = main_axis(mask)
    calibration = Calibration.of(subject.cards["classify"].thresholds)
    up = None if state.polarity is None else calibration.short_arm_up(float(state.polarity[0]))
    row: dict[str, Any] = {
        "label": 1,
        "class": most_probable(scores).classes[0],
        "score": float(probabilities.max()),
        "review": bool(probabilities.max() < subject.options.review_below),
    }
    row |= {f"p_{name}": float(p) for name, p in zip(CLASSES, probabilities, strict=True)}
    row |= measure_mask(mask, (0, 0), state.grey)
    row |= {
        "angle_degrees": float(np.degrees(angle)),
        "short_arm_up": "" if up is None else up,
    }
    table = add_physical(pd.DataFrame([row]), subject.image.pixel_size_um)
    return Result(objects=table, summary={"n_chromosomes": 1}, artefacts=_explained(state))


def _explained(state: State) -> dict[str, Any]:
    return {".explain.png": state.explained} if state.explained is not None else {}


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Rebuild a part's network from its model file.

    Raises
    ------
    ModelError
        If the part is unknown or the tensors do not fit the architecture the card names.
    """
    network: torch.nn.Module
    with rebuilding(card):
        if card.part == "detect":
            network = ChrRender(**card.arch_args)
        elif card.part == "classify":
            network = (Baseline if card.arch in baselines.ARCHS else ChrNet)(
                classes=len(card.classes), **card.arch_args
            )
        else:
            raise ModelError(f"karyotype has no part {card.part!r}; its parts are detect and classify")
        network.load_state_dict(tensors)
    network.eval()
    if card.part == "classify":
        fold_norms(network)
    return network


ASSAY = Assay(
    name="karyotype",
    inputs=InputSpec(
        kinds=KINDS,
        suffixes=SUFFIXES,
        kind_of=kind_of,
        kind_of_item=kind_of_item,
        wants=Wants.STAIN,
    ),
    stages=(
        Stage("detect", (METAPHASE,), 1, cut_metaphase, detect, filter_detections, weigh=all_alike),
        Stage("detect", (METAPHASE,), 1, cut_again, detect, filter_detections, weigh=all_alike),
        Stage(
            "classify", KINDS, 64, cut_chromosomes, classify, store_probabilities, cpu_batch=CPU_BATCH, weigh=all_alike
        ),
        Stage("classify", KINDS, 64, cut_explained, explain, draw_heat_maps, cpu_batch=CPU_BATCH),
    ),
    state=State,
    parts=("detect", "classify"),
    summary_columns=("n_chromosomes", "sex", "iscn_draft", "flags", "probability", *NAMES, "evidence"),
    class_part="classify",
    layers={"detect": ("backbone.body",), "classify": ("blocks", "body")},
    by_class=("classify",),
    portable={"classify": PORTABLE},
    build=build,
    conclude=conclude,
    figures={METAPHASE: (".karyogram.png", ".overlay.png", ".explain.png"), CHROMOSOME: (".explain.png",)},
    summarise=summarise,
    ranking=Ranking(by=NAMES[0], columns=NAMES, said_in="flags"),
    editors={
        METAPHASE: Editor(
            suffix=".karyotype.json",
            package="cellscope.assays.karyotype",
            script="editing/editor.js",
            style="editing/editor.css",
            title="Edit this karyotype",
        )
    },
)
