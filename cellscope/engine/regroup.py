"""``prepare --group-by``: what a split must keep together, as the user knows it and no file says."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from cellscope.engine.predict.grouping import groups_of
from cellscope.errors import UsageError
from cellscope.io.inputs import Input
from cellscope.io.splits import Item


def regroup(items: list[Item], spec: str | None) -> list[Item]:
    """Give items the groups of ``--group-by``.

    Parameters
    ----------
    items : list of Item
        Of all sources.
    spec : str or None
        As for `cellscope.engine.predict.grouping.groups_of`, applied to `Item.origin`. None: nothing changes.

    Returns
    -------
    list of Item
        Groups of folders and cases are those of their source; what a table or an expression calls alike is one group
        wherever it comes from, because one patient may be in two sources. An item that they do not know keeps its
        group.

    Raises
    ------
    UsageError
        As `groups_of`; or a group would hold items that their sources put into different splits or folds.
    """
    if spec is None:
        return items
    inputs = [_input(item) for item in items]
    found = groups_of(inputs, spec)
    own = spec in ("folder", "case")
    grouped = []
    for item, entry in zip(items, inputs, strict=True):
        name = found[entry.image]
        grouped.append(replace(item, group=f"{item.source}/{name}" if own and name else name or item.group))
    _refuse_torn(grouped, spec)
    without = [entry.image for entry in inputs if not found[entry.image]]
    if without:
        told = f"{len(without)} of {len(items)} items, such as {without[0]}"
        print(f"warning: --group-by gives no group to {told}: they keep their own", file=sys.stderr)
    print(f"{len(items)} items in {len({item.group for item in grouped})} groups by {spec}", file=sys.stderr)
    return grouped


def _input(item: Item) -> Input:
    """Name an item as `groups_of` knows inputs; at the top of its source its folder is the source."""
    origin = item.origin or item.id.partition("/")[2]
    return Input(Path(item.source) / origin, origin)


def _refuse_torn(items: list[Item], spec: str) -> None:
    for name, kind in (("fixed_split", "splits"), ("fixed_fold", "folds")):
        first: dict[str, Item] = {}
        for item in items:
            if getattr(item, name) in ("", None):
                continue
            other = first.setdefault(item.group, item)
            if getattr(item, name) != getattr(other, name):
                raise UsageError(
                    f"--group-by {spec}: {other.id} and {item.id} are both of group {item.group}, but their sources "
                    f"put them into different {kind}; leave --group-by out, or prepare the sources apart"
                )
