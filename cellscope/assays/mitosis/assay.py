"""The mitosis assay for the engine: sequences or windows around the divisions of a movie, one network, a table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from cellscope.assays.mitosis.networks.portable import PORTABLE
from cellscope.assays.mitosis.networks.registry import (
    TRACKS,
    VIEWS,
    Classifier,
    build_classifier,
    kinds_of,
    probabilities,
)
from cellscope.assays.mitosis.report.figures import Strip, draw_filmstrip, draw_order
from cellscope.assays.mitosis.report.summary import summarise
from cellscope.assays.mitosis.sequences.channels import two_channels
from cellscope.assays.mitosis.sequences.inputs import (
    KINDS,
    MOVIE,
    PART,
    SEQUENCE,
    admit,
    kind_of,
    load,
    movie_of,
    read_input,
    read_options,
)
from cellscope.assays.mitosis.sequences.names import abnormal_classes
from cellscope.assays.mitosis.sequences.state import State
from cellscope.assays.mitosis.sequences.tracks import measure, nucleus_diameter
from cellscope.assays.mitosis.sequences.view import TRAINED_PIXEL_UM, network_view, normalise, tone_of
from cellscope.assays.mitosis.sequences.windows import crop, follow
from cellscope.engine.assay import Assay, InputSpec, Result, Stage, Subject, all_alike, probability_columns
from cellscope.imaging.doubt import trusted_pixel_size
from cellscope.io.choice import Wants
from cellscope.io.events import Event
from cellscope.io.movie import MOVIE_SUFFIXES
from cellscope.metrics.calibration import apply_line, log_odds
from cellscope.metrics.intervals import wilson
from cellscope.models.card import ModelCard, rebuilding
from cellscope.nn.folding import fold_norms

NUCLEUS_UM = (3.0, 60.0)
"""Smallest and largest bright part of a dividing nucleus, um: 6.5 to 28 in 80 sequences of the training data."""
SUMMARY = ("n_abnormal", "abnormal_fraction", "abnormal_fraction_low", "abnormal_fraction_high")
MOST_STRIPS = 60
"""Divisions of one movie drawn into its picture: those to review first, then abnormal ones."""


def cut(subject: Subject[State]) -> list[np.ndarray]:
    """Give one (T * 2, size, size) view of a sequence, or of every division of a movie."""
    card = subject.cards[PART]
    if subject.kind == SEQUENCE:
        _cut_sequence(subject)
    else:
        _cut_windows(subject)
    if VIEWS not in kinds_of(card.arch_args):
        return []
    views = [network_view(shown, subject.state.pixel, card.normalisation) for shown in subject.state.shown]
    return [view.reshape(-1, *view.shape[2:]) for view in views]


def _cut_sequence(subject: Subject[State]) -> None:
    state = subject.state
    assert state.pixels is not None
    (chosen,) = state.frames
    pair = two_channels(state.pixels, nuclei_channel=subject.options.nuclei_channel)
    pair = pair[np.searchsorted(np.unique(chosen), chosen)]
    state.pixels = None
    _check_pixel_size(subject, [pair])
    state.shown = [normalise(pair, tone_of(subject.cards[PART].normalisation))]
    state.places, state.measured = [None], [_measured(subject, pair)]


def _measured(subject: Subject[State], pair: np.ndarray) -> np.ndarray:
    """Measure the division, unless the model does not ask for it."""
    if TRACKS not in kinds_of(subject.cards[PART].arch_args):
        return np.zeros(0, np.float32)
    return measure(pair, (subject.state.pixel or TRAINED_PIXEL_UM) / TRAINED_PIXEL_UM)


def _check_pixel_size(subject: Subject[State], pairs: list[np.ndarray]) -> None:
    """Keep the pixel size unless the nuclei contradict it."""
    sizes = [size for pair in pairs if (size := nucleus_diameter(pair[:, 1])) is not None]
    seen = float(np.median(sizes)) if sizes else None
    state = subject.state
    state.pixel, state.warnings = trusted_pixel_size(movie_of(subject), seen, NUCLEUS_UM, "nuclei")


def _cut_windows(subject: Subject[State]) -> None:
    state, options = subject.state, subject.options
    events: list[Event] = movie_of(subject).notes["events"]
    pairs = [two_channels(window.patches, nuclei_channel=options.nuclei_channel) for window in state.windows]
    _check_pixel_size(subject, pairs)
    for event, window, pair in zip(events, state.windows, pairs, strict=True):
        middle = (pair.shape[2] - 1) / 2
        centres = np.full((len(pair), 2), middle)
        if options.follow:
            centres = follow(pair[:, 1], window.at_event, window.side)
        cropped = np.moveaxis(crop(np.moveaxis(pair, 1, -1), centres, window.side), -1, 1)
        drift = float(np.hypot(*(centres[-1] - centres[0])))
        state.shown.append(normalise(cropped, tone_of(subject.cards[PART].normalisation)))
        state.measured.append(_measured(subject, cropped))
        state.frames.append(window.frames)
        state.reasons.append(["the movie begins or ends inside the window"] if window.cut_short else [])
        state.places.append({"frame": event.frame, "centroid-0": event.y, "centroid-1": event.x, "drift": drift})
        state.named.append({"track": event.track, "spot": event.spot})
        window.patches = np.zeros(0)
    state.windows = []


def classify(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Mean probabilities over mirror images: one (K,) float32 per division."""
    stacked = torch.stack(batch)
    sequences = stacked.view(len(batch), -1, 2, *stacked.shape[2:])
    return list(probabilities(cast(Classifier, module).views, sequences).cpu().numpy())  # type: ignore[arg-type]


def store_frame_scores(subject: Subject[State], outputs: list[Any]) -> None:
    """Keep what the networks over frames say."""
    subject.state.p_views = np.asarray(outputs, float)


def cut_measurements(subject: Subject[State]) -> list[np.ndarray]:
    """Give one (1, 1, features) array per division."""
    if TRACKS not in kinds_of(subject.cards[PART].arch_args):
        return []
    return [values[None, None] for values in subject.state.measured]


def classify_measurements(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[np.ndarray]:
    """Probabilities from measurements, always in float32: one (K,) per division."""
    tracks = cast(Classifier, module).tracks
    assert tracks is not None
    with torch.autocast(batch[0].device.type, enabled=False):
        logits = tracks(torch.stack(batch).flatten(1).float())
    return list(logits.softmax(1).cpu().numpy())


def combine_scores(subject: Subject[State], outputs: list[Any]) -> None:
    """Combine what frames and measurements say into calibrated probabilities."""
    thresholds = subject.cards[PART].thresholds
    views, tracks = subject.state.p_views, np.asarray(outputs, float)
    if len(views) and len(tracks):
        subject.state.p = list(combine(views, tracks, thresholds))
    else:
        one = views if len(views) else tracks
        subject.state.p = list(calibrate(one, thresholds)) if len(one) else []


def combine(views: np.ndarray, tracks: np.ndarray, thresholds: Mapping[str, float]) -> np.ndarray:
    """Add up the log odds of both: (N, 2) each -> (N, 2) honest probabilities."""
    weights = (thresholds.get("views", 0.5), thresholds.get("tracks", 0.5))
    odds = weights[0] * log_odds(views[:, 1]) + weights[1] * log_odds(tracks[:, 1]) + thresholds.get("bias", 0.0)
    positive = 1 / (1 + np.exp(-odds))
    return np.stack([1 - positive, positive], 1)


def calibrate(p: np.ndarray, thresholds: Mapping[str, float]) -> np.ndarray:
    """Apply the line tuned on validation data: (N, 2) float; `p` as it is without one or for other than two classes."""
    if p.shape[1] != 2 or "slope" not in thresholds:
        return p
    positive = apply_line(p[:, 1], thresholds["slope"], thresholds["bias"])
    return np.stack([1 - positive, positive], 1)


def call(p: np.ndarray, threshold: float) -> int:
    """Choose a class: of two, the last from `threshold` on; of more, the most probable."""
    return int(p[1] >= threshold) if len(p) == 2 else int(np.argmax(p))


def conclude(subject: Subject[State]) -> Result:
    """Make the rows, the counts with their interval, and the picture."""
    classes = subject.cards[PART].classes
    counted = abnormal_classes(classes, subject.cards[PART].training)
    options = subject.options
    rows, strips = [], []
    state = subject.state
    entries = zip(state.p, state.shown, state.frames, state.reasons, state.places, strict=True)
    for label, (p, shown, frames, reasons, place) in enumerate(entries, 1):
        index = call(p, options.threshold)
        reasons = [*reasons, *(["unsure of the class"] if p[index] < options.review_below else [])]
        row: dict[str, Any] = {"label": label, "class": classes[index], "score": float(p[index])}
        row["review"] = bool(reasons)
        row |= {f"p_{name}": float(value) for name, value in zip(classes, p, strict=True)}
        row |= {"n_frames": len(np.unique(frames)), **(place or {}), "reasons": reasons}
        row |= state.named[label - 1] if any(any(ids.values()) for ids in state.named) else {}
        rows.append(row)
        abnormal = classes[index] in counted
        strips.append(Strip(shown, frames, _caption(row, place), abnormal, bool(reasons), state.pixel))
    columns = ["label", "class", "score", "review", *probability_columns(classes)]
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    summary = summary_of(table, counted)
    order = draw_order([strip.review for strip in strips], [strip.abnormal for strip in strips])
    strips = [strips[index] for index in order]
    minutes = (movie_of(subject).interval_s or 0) / 60
    artefacts = {".filmstrip.png": draw_filmstrip(strips[:MOST_STRIPS], subject.name, minutes)} if strips else {}
    warnings = list(state.warnings)
    if len(strips) > MOST_STRIPS:
        warnings.append(f"{MOST_STRIPS} of {len(strips)} divisions are drawn: those to review and abnormal ones first")
    return Result(table, summary, artefacts, warnings)


def summary_of(table: pd.DataFrame, counted: Collection[str]) -> dict[str, Any]:
    """Count the divisions whose class counts as abnormal, with Wilson's interval of their share."""
    count = int(table["class"].isin(counted).sum())
    low, high = wilson(count, len(table))
    return dict(zip(SUMMARY, (count, count / len(table) if len(table) else None, low, high), strict=True))


def _caption(row: Mapping[str, Any], place: Mapping[str, Any] | None) -> str:
    where = ""
    if place:
        at = f"row {place['centroid-0']:.0f}, column {place['centroid-1']:.0f}"
        where = f"{row['label']}: frame {place['frame']}, {at}  "
    why = f"  look: {'; '.join(row['reasons'])}" if row["reasons"] else ""
    return f"{where}{row['class']} {row['score']:.2f}{why}"


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Build the network of a model file, ready to predict; ModelError if its numbers do not fit."""
    with rebuilding(card):
        full = {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}
        network = build_classifier(card.arch_args, len(card.classes), full)
    network = network.eval()
    fold_norms(network)
    return network


ASSAY = Assay(
    name="mitosis",
    inputs=InputSpec(
        kinds=KINDS,
        suffixes=MOVIE_SUFFIXES,
        kind_of=kind_of,
        wants=Wants.MOVIE,
        admit=admit,
        read=read_input,
        load=load,
    ),
    stages=(
        Stage(PART, KINDS, 16, cut, classify, store_frame_scores, cpu_batch=4, weigh=all_alike),
        Stage(PART, KINDS, 256, cut_measurements, classify_measurements, combine_scores, cpu_batch=256),
    ),
    state=State,
    parts=(PART,),
    summary_columns=SUMMARY,
    class_part=PART,
    layers={PART: ("views.backbone", "views.members.0.backbone", "views.layer4")},
    portable={PART: PORTABLE},
    described_as={MOVIE: SEQUENCE},
    read_options=read_options,
    build=build,
    conclude=conclude,
    figures={SEQUENCE: (".filmstrip.png",), MOVIE: (".filmstrip.png",)},
    summarise=summarise,
)
