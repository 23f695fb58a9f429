"""``cells.csv`` of `eval`: every cell of the fields, found or missed, with its truth; `calibrate` reads it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.classes import CLASSES, MICRONUCLEUS
from cellscope.assays.micronucleus.datasets.fields import Field

CELLS = "cells"

COLUMNS = ("image", "line", "label", "class", "predicted", f"p_{MICRONUCLEUS}", "scorable", "n_micronuclei")


def found_cells(image: str, line: str, truth: Field, pairs: Mapping[int, int], objects: pd.DataFrame) -> pd.DataFrame:
    """List the cells of one field.

    Parameters
    ----------
    image, line : str
    truth : Field
    pairs : mapping
        Outlined nucleus -> found nucleus.
    objects : DataFrame
        Rows of the field's ``objects.csv``.

    Returns
    -------
    DataFrame
        `COLUMNS`. ``class`` is the true one, empty for a found object that is no outlined nucleus; ``label``,
        ``predicted`` and what follows are empty for an outlined nucleus that was not found.
    """
    carriers = truth.positive()
    class_of = {found: CLASSES[int(true in carriers)] for true, found in pairs.items()}
    table = pd.DataFrame(
        {
            "image": image,
            "line": line,
            "label": objects["label"].astype(int),
            "class": objects["label"].map(class_of),
            "predicted": objects["class"],
            f"p_{MICRONUCLEUS}": objects[f"p_{MICRONUCLEUS}"],
            "scorable": objects["scorable"],
            "n_micronuclei": objects["n_micronuclei"],
        }
    )
    missed = [int(label) for label in np.unique(truth.nuclei) if label and int(label) not in pairs]
    unseen = pd.DataFrame(
        {"image": image, "line": line, "class": [CLASSES[int(label in carriers)] for label in missed]}
    )
    joined = pd.concat([table.astype(object), unseen.astype(object)], ignore_index=True)
    return joined.reindex(columns=list(COLUMNS))
