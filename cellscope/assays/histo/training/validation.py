"""Validation score of a network on whole tiles, used to select the best weights."""

from __future__ import annotations

import numpy as np
import torch

from cellscope.assays.histo.classes import named_types
from cellscope.assays.histo.datasets.tiles import Tile
from cellscope.assays.histo.nuclei.known import known_nuclei
from cellscope.assays.histo.nuclei.postprocess import find_nuclei
from cellscope.assays.histo.nuclei.sizes import sizes_at
from cellscope.assays.histo.slides.whole import whole_maps
from cellscope.metrics.instance_counts import count_types, f1, panoptic
from cellscope.metrics.instances import aji, dice, overlaps, pairs_by_overlap


def score_tiles(
    network: torch.nn.Module,
    tiles: list[Tile],
    classes: tuple[str, ...],
    types: str = "named",
    pixel_size_um: float | None = None,
) -> dict[str, float]:
    """Find the nuclei of tiles and compare with the truth.

    Parameters
    ----------
    network : Module
        In eval mode.
    tiles : list of Tile
    classes : tuple of str
    types : str
        ``named``: the score's F1 is over the `named_types`; ``all``: over all types.
    pixel_size_um : float, optional
        Of the tiles; 0.25 if not given.

    Returns
    -------
    dict
        ``val_score``: 0.5 AJI + 0.5 mean F1 of the types (the paper's equation 12), AJI alone where no tile has types.
        AJI is the mean over sources of means over tiles, F1 (IoU over 0.5) of all tiles together; a type that is
        nowhere has no F1, and the mean is over the `named_types` by default: chance hits among a few others would
        decide which weights are kept. ``val_dice_<source>``, ``val_aji_<source>``, ``val_pq_<source>``, ``val_f1``
        (detection) and ``val_f1_<type>``.
    """
    agreement: dict[str, list[tuple[float, float, float]]] = {}
    counts, sizes = [], sizes_at(pixel_size_um)
    for tile in tiles:
        found_here = find_nuclei(whole_maps(network, tile.image), **sizes)  # type: ignore[arg-type]
        nuclei = known_nuclei(found_here, tile.unknown)
        pairs = overlaps(tile.labels, nuclei.labels)
        found = nuclei.probabilities.argmax(1) if len(nuclei.score) else np.zeros(0, int)
        true = np.maximum(tile.types[pairs.truth], 0) - 1 if tile.typed else None
        table = count_types(pairs, pairs_by_overlap(pairs), true, found, len(classes))
        counts.append(table)
        values = (dice(pairs), aji(pairs), float(panoptic(table[0])[2]))
        agreement.setdefault(tile.source, []).append(values)
    means = {source: np.nanmean(values, 0) for source, values in agreement.items()}
    scores = {
        f"val_{name}_{source}": float(values[place])
        for source, values in means.items()
        for place, name in enumerate(("dice", "aji", "pq"))
    }
    overall = f1(np.nansum(counts, 0))
    scores["val_f1"] = float(overall[0])
    typed = {name: float(value) for name, value in zip(classes, overall[1:], strict=True) if np.isfinite(value)}
    scores |= {f"val_f1_{name}": value for name, value in typed.items()}
    together = float(np.mean([values[1] for values in means.values()]))
    chosen = list(range(len(classes))) if types == "all" else named_types(classes)
    compared = [typed[classes[at]] for at in chosen if classes[at] in typed]
    if len(classes) > 1 and compared:
        together = 0.5 * together + 0.5 * float(np.mean(compared))
    return scores | {"val_score": together}
