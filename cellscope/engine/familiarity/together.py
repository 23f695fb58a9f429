"""Images of a run judged together: more of them are unfamiliar than chance makes so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellscope.engine.predict.grouping import COLUMN
from cellscope.metrics.familiarity import UNFAMILIAR

if TYPE_CHECKING:
    import pandas as pd

CHANCE = 0.001
"""As many flags, or more, come by chance less often than this among images like those of the training."""

MOST_NAMES = 5


def more_than_chance(flagged: int, images: int) -> bool:
    """Say whether more of familiar images would hardly ever be flagged by chance.

    Each is with probability `UNFAMILIAR`, by what familiarity is; so their number is binomial.
    """
    from scipy.special import bdtrc  # not for a help page

    return flagged > 0 and bool(bdtrc(flagged - 1, images, UNFAMILIAR) < CHANCE)


def mostly(flagged: int | None, images: int) -> bool:
    """Say whether a number that is made of these images cannot be relied on: half of them, or more than chance."""
    return flagged is not None and flagged > 0 and (2 * flagged >= images or more_than_chance(flagged, images))


def unfamiliar_among(images: pd.DataFrame) -> int | None:
    """Count the images of a part of ``images.csv`` that are unlike the training images; None if none was judged."""
    if "unfamiliar" not in images:
        return None
    said = images["unfamiliar"].astype(str)
    return int((said == "True").sum()) if said.isin(("True", "False")).any() else None


def together(images: pd.DataFrame) -> list[str]:
    """Warn of a run, and of groups, whose images are unlike the training images as a whole.

    Parameters
    ----------
    images : DataFrame
        ``images.csv``; with ``group`` in a run with ``--group-by``.

    Returns
    -------
    list of str
        A line for the run and one for its groups, or less.
    """
    said = images[images["unfamiliar"].astype(str).isin(("True", "False"))]
    flagged = said["unfamiliar"].astype(str) == "True"
    found = []
    if more_than_chance(int(flagged.sum()), len(said)):
        found.append(
            f"{flagged.sum()} of {len(said)} images are unlike the training images, where one in twenty is usual: "
            "they are probably all of a kind that the model does not know; trust none of them unchecked"
        )
    if COLUMN in said:
        groups = flagged[said[COLUMN] != ""].groupby(said[COLUMN]).agg(["sum", "size"])
        odd = [str(name) for name, row in groups.iterrows() if more_than_chance(int(row["sum"]), int(row["size"]))]
        if odd:
            more = f" and {len(odd) - MOST_NAMES} more" if len(odd) > MOST_NAMES else ""
            found.append(
                f"groups whose images are unlike the training images as a whole: {', '.join(odd[:MOST_NAMES])}{more}"
            )
    return found
