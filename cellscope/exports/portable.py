"""Which networks other programs can run."""

from __future__ import annotations

from cellscope.engine.assay import Portable
from cellscope.engine.find import find_assay
from cellscope.errors import UsageError
from cellscope.models.card import ModelCard

UNPORTABLE = (
    "its answer is made of steps that are no network; --to takes the networks of nucleus-seg, histo, micronucleus and "
    "mitosis, and karyotype's classifier"
)


def portable_of(card: ModelCard) -> Portable:
    """Give what makes a network portable.

    Raises
    ------
    UsageError
        The network means nothing to other programs.
    """
    portable = find_assay(card.assay).portable.get(card.part)
    if portable is None:
        raise UsageError(f"{card.assay} {card.part} cannot be exported: {UNPORTABLE}")
    return portable
