"""Nuclei where the annotation tells nothing are neither right nor wrong."""

from __future__ import annotations

import numpy as np

from cellscope.assays.histo.nuclei.postprocess import Nuclei


def known_nuclei(nuclei: Nuclei, unknown: np.ndarray | None) -> Nuclei:
    """Leave out nuclei that lie for more than half where nothing is known.

    Parameters
    ----------
    nuclei : Nuclei
    unknown : (H, W) bool or None
        None: everything is known.

    Returns
    -------
    Nuclei
        Numbered 1..N anew.
    """
    if unknown is None or not len(nuclei.score):
        return nuclei
    count = len(nuclei.score) + 1
    hidden = np.bincount(nuclei.labels[unknown], minlength=count)
    kept = (2 * hidden <= np.bincount(nuclei.labels.ravel(), minlength=count))[1:]
    numbers = np.append(0, np.where(kept, np.cumsum(kept), 0)).astype(nuclei.labels.dtype)
    named = None if nuclei.named is None else nuclei.named[kept]
    return Nuclei(numbers[nuclei.labels], nuclei.probabilities[kept], nuclei.score[kept], named)
