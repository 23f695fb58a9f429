"""Candidate detections of annotated metaphases, kept in files: what the choice of a cell's chromosomes is learnt from.

usage: python benchmarks/karyotype_candidates.py DATASET KEEP --items LIST [--shard I/N] [-m MODEL]...

LIST names one item of DATASET a line. Both networks run over each, and KEEP gets one ``.npz`` per cell with every
candidate that the cell may choose from and what the classifier says of it. A cell that is there is not computed again:
give another KEEP to other models. Several shards may run side by side.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from road import CPU, through

from cellscope.assays.karyotype.assay import ASSAY
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.detect.inputs import METAPHASE
from cellscope.assays.karyotype.detect.pairs import THRESHOLDS
from cellscope.assays.karyotype.options import PredictOptions
from cellscope.engine.assay import Subject
from cellscope.engine.device import pick_precision
from cellscope.engine.loading import load_models
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read


def file_of(keep: Path, name: str) -> Path:
    """Give the file of an item."""
    return keep / (name.replace("/", "__") + ".npz")


def save(path: Path, detections: list[Detection], **more: Any) -> None:
    """Write the candidates of a cell; `load` reads them."""
    masks = [one.mask.ravel() for one in detections]
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez_compressed(
            file,
            bbox=np.array([one.bbox for one in detections], int).reshape(-1, 4),
            mask=np.packbits(np.concatenate([np.zeros(0, bool), *masks])),
            score=np.array([one.score for one in detections]),
            margin=np.array([one.margin for one in detections]),
            box=np.array([one.box for one in detections], float).reshape(-1, 4),
            **more,
        )
    part.replace(path)


def load(path: Path) -> tuple[list[Detection], np.ndarray, bool]:
    """Read a cell's candidates, the classifier's log probabilities (N, 24), and whether it is bright on dark."""
    kept = np.load(path)
    bits, start, found = np.unpackbits(kept["mask"]).astype(bool), 0, []
    for bbox, score, margin, box in zip(kept["bbox"], kept["score"], kept["margin"], kept["box"], strict=True):
        shape = int(bbox[3] - bbox[1]), int(bbox[2] - bbox[0])
        mask = bits[start : start + shape[0] * shape[1]].reshape(shape)
        start += mask.size
        found.append(Detection(bbox, mask, float(score), float(margin), box))
    return found, kept["log_probabilities"], bool(kept["bright"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("keep", type=Path)
    parser.add_argument("--items", type=Path, required=True)
    parser.add_argument("--shard", default="1/1")
    parser.add_argument("-m", "--model", action="append", default=[])
    given = parser.parse_args()
    number, of = map(int, given.shard.split("/"))
    given.keep.mkdir(parents=True, exist_ok=True)
    dataset = PreparedDataset.open(given.dataset, assay="karyotype")
    rows = {str(row.id): row for row in dataset.items.itertuples()}
    names = given.items.read_text().split()[number - 1 :: of]
    loaded = load_models(ASSAY, given.model, CPU)
    card = loaded.cards["detect"]
    # A detector that has learnt nothing of pairs yet gives as many candidates as one that has.
    cards = {**loaded.cards, "detect": replace(card, thresholds=dict.fromkeys(THRESHOLDS, 0.0) | card.thresholds)}
    torch.set_num_threads(1)

    def subjects() -> Iterator[Subject]:
        for name in names:
            if not file_of(given.keep, name).exists():
                yield Subject(name, read(dataset.root / str(rows[name].image)), METAPHASE, PredictOptions(), cards)

    def state_of(subject: Subject) -> Any:
        return subject.state

    road = through(ASSAY, subjects(), loaded, dtype=pick_precision("auto", CPU), conclude=state_of, window=2)
    for subject, state in road:
        path = file_of(given.keep, subject.name)
        save(path, state.detections, log_probabilities=state.log_probabilities, bright=state.bright)


if __name__ == "__main__":
    main()
