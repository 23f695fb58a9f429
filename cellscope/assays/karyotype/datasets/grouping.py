"""Which items of a karyotype dataset belong together, and which are kept for measuring."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cellscope.assays.karyotype.datasets.sources.known import KNOWN
from cellscope.io.splits import Item, assign_splits


@dataclass(frozen=True)
class Origin:
    """What a reader says of where an item comes from: see `cellscope.assays.karyotype.datasets.sources.Record`."""

    group: str
    case: str = ""
    abnormal: bool = False


def dealt(items: list[Item], origins: Sequence[Origin], splits: tuple[float, float, float], seed: int) -> list[Item]:
    """Join the groups of data sets that share cases, and send to the test split what is kept for measuring.

    Parameters
    ----------
    items : list of Item
    origins : sequence of Origin
        One per item.
    splits, seed
        As for `cellscope.io.prepared.assign_splits`.

    Returns
    -------
    list of Item
        With their `group`, and with a `fixed_split` where the data set is known to be kept whole or in part
        (`cellscope.assays.karyotype.datasets.sources.known`). The cells kept follow from the cases' names alone,
        whatever the seed and the splits; the laboratory's other cases are dealt to training and validation.
    """
    names = _joined(items, origins)
    grouped = [replace(item, group=name) for item, name in zip(items, names, strict=True)]
    kept: set[str] = set()
    for source in sorted({item.source for item in items} & KNOWN.keys()):
        own = [
            (item.group, origin.abnormal)
            for item, origin in zip(grouped, origins, strict=True)
            if item.source == source
        ]
        if KNOWN[source].test_only:
            kept |= {group for group, _ in own}
        if KNOWN[source].test_cells:
            kept |= kept_groups(own, KNOWN[source].test_cells)
            family = KNOWN[source].part_of or source
            grouped = _rest_dealt(grouped, kept, family, splits, seed)
    return [replace(item, fixed_split="test") if item.group in kept else item for item in grouped]


def kept_groups(cells: Sequence[tuple[str, bool]], normal: int) -> set[str]:
    """Choose the groups kept for measuring: all with an abnormal cell, and others with `normal` cells together.

    Parameters
    ----------
    cells : sequence of (group, abnormal)
    normal : int

    Returns
    -------
    set of str
        The others are taken in the order of their names' SHA-256, as far as they fit.
    """
    sizes: dict[str, int] = defaultdict(int)
    for group, _ in cells:
        sizes[group] += 1
    kept = {group for group, abnormal in cells if abnormal}
    left = normal
    for group in sorted(sizes.keys() - kept, key=lambda name: hashlib.sha256(name.encode()).digest()):
        if sizes[group] <= left:
            kept.add(group)
            left -= sizes[group]
    return kept


def _family(source: str) -> str:
    return (KNOWN[source].part_of if source in KNOWN else "") or source


def _joined(items: Sequence[Item], origins: Sequence[Origin]) -> list[str]:
    """Name every item's group; groups of one family that share a case are one."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    own = []
    for item, origin in zip(items, origins, strict=True):
        family = _family(item.source)
        name = f"{family}/{origin.group}"
        if origin.case:
            low, high = sorted((root(name), root(f"{family}/{origin.case}")))
            parent[high] = low
        own.append(name)
    return [root(name) for name in own]


def _rest_dealt(
    items: list[Item], kept: set[str], family: str, splits: tuple[float, float, float], seed: int
) -> list[Item]:
    """Deal a family's groups that are not `kept` to training and validation, in the proportion asked for."""
    rest = [
        item for item in items if _family(item.source) == family and item.group not in kept and not item.fixed_split
    ]
    train, val = splits[0], splits[1]
    if not rest or train + val == 0:
        return items
    share = train / (train + val)
    split_of = assign_splits(rest, (share, 1 - share, 0.0), seed)
    dealt_ids = {item.id for item in rest}
    return [replace(item, fixed_split=split_of[item.group]) if item.id in dealt_ids else item for item in items]
