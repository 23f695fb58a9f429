"""Runs cut into shards: who does which inputs, what is known of each shard, and what is still missing."""

from __future__ import annotations

import heapq
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellscope.engine.predict import journal as journals
from cellscope.engine.predict.finish import read_record
from cellscope.engine.predict.journal import Entry
from cellscope.engine.predict.records import check
from cellscope.engine.provenance import difference
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.document import read_json
from cellscope.io.text import one_line
from cellscope.io.write import write_json
from cellscope.models.card import ModelCard

FOLDER = "shards"
PLAN = "plan.json"
PLAN_SCHEMA = "cellscope.plan/2"

_NAME = re.compile(r"(\d+)-of-(\d+)")


def balance(sizes: Sequence[int], count: int) -> list[int]:
    """Divide inputs among shards by their size.

    Parameters
    ----------
    sizes
        Of the inputs, in bytes.
    count : int
        Number of shards.

    Returns
    -------
    list of int
        The number of each input's shard, from 1. The largest first, each goes to the shard that has the least so far
        (longest processing time first, Graham 1969); of equal sizes the k-th goes to shard ``k % count + 1``.
    """
    owners = [0] * len(sizes)
    lightest = [(0, 0, number) for number in range(1, count + 1)]  # size, inputs, number: a heap
    for index in sorted(range(len(sizes)), key=lambda index: -sizes[index]):
        weight, held, number = lightest[0]
        owners[index] = number
        heapq.heapreplace(lightest, (weight + sizes[index], held + 1, number))
    return owners


def tables_folder(out: Path, pair: tuple[int, int] | None) -> Path:
    """Return where a run writes its tables: OUT, or ``OUT/shards/I-of-N``."""
    return out if pair is None else out / FOLDER / f"{pair[0]}-of-{pair[1]}"


def write_plan(
    folder: Path,
    images: Sequence[str],
    owners: Sequence[int],
    identity: Mapping[str, Any],
    *,
    cards: Mapping[str, ModelCard],
) -> None:
    """Write a shard's ``plan.json``: all inputs, the shard of each, what shards have in common, the models' cards."""
    plan = {"schema": PLAN_SCHEMA, "images": list(images), "owners": list(owners), "identity": dict(identity)}
    write_json(folder / PLAN, {**plan, "cards": {part: card.as_dict() for part, card in cards.items()}})


@dataclass
class Shard:
    """What is known of one shard."""

    number: int
    folder: Path
    record: dict[str, Any] | None = None
    journal: dict[str, Entry] | None = None
    running: bool = False

    @property
    def state(self) -> str:
        """Whether it runs, stopped, is not started, or the status that its ``run.json`` gives."""
        if self.journal is not None:
            return "running" if self.running else "stopped"
        return "not started" if self.record is None else str(self.record["status"])

    def outcomes(self) -> dict[str, str]:
        """Return image -> ``ok`` or ``failed`` for what is done."""
        if self.journal is not None:
            return {image: entry.status for image, entry in self.journal.items()}
        entries = [] if self.record is None else self.record["inputs"]
        return {entry["image"]: "failed" if entry["status"] == "failed" else "ok" for entry in entries}


def _inspect(folder: Path, number: int) -> tuple[Shard, dict[str, Any]]:
    """Read the state of a folder of tables; also return its journal's header, empty without a journal."""
    shard = Shard(number, folder)
    header: dict[str, Any] = {}
    if (folder / journals.NAME).exists():
        header, shard.journal, shard.running = journals.peek(folder / journals.NAME)
    else:
        shard.record = read_record(folder)
    return shard, header


def read_shards(out: Path) -> tuple[dict[str, Any], list[Shard]]:
    """Read the plan that all shards share (images, identity, cards), and every shard from 1 to N.

    Raises
    ------
    UsageError
        There are no shards, or they do not belong to one run.
    """
    found: dict[int, dict[int, Path]] = {}
    base = out / FOLDER
    for folder in sorted(base.iterdir()) if base.is_dir() else []:
        if match := _NAME.fullmatch(folder.name):
            found.setdefault(int(match[2]), {})[int(match[1])] = folder
    if not found:
        raise UsageError(f"{out} holds no shards; make them with `predict --shard I/N -o {out}`")
    if len(found) > 1:
        names = ", ".join(f"{next(iter(folders.values())).name}" for _, folders in sorted(found.items()))
        raise UsageError(f"{base} holds shards of different runs ({names}); remove those that do not belong")
    total, folders = next(iter(found.items()))
    first: dict[str, Any] = {}
    for folder in folders.values():
        if not (folder / PLAN).exists():  # it begins just now, or was killed when it did
            continue
        plan = _read_plan(folder)
        first = first or plan
        if plan["images"] != first["images"]:
            odd = sorted(set(plan["images"]) ^ set(first["images"]))
            raise UsageError(
                f"{folder} was made from another list of inputs ({one_line(', '.join(odd[:3]))[:200] or 'other order'})"
            )
        if plan["owners"] != first["owners"]:
            raise UsageError(
                f"{folder} was divided otherwise: input files have changed; run the shards with --overwrite"
            )
        if unlike := difference(plan["identity"], first["identity"]):
            raise UsageError(f"{folder} does not belong with the other shards: {unlike}")
    if not first:
        raise UsageError(f"no shard of {out} has begun; run them again with --overwrite if none is running")
    shards = [
        _inspect(folders.get(number, tables_folder(out, (number, total))), number)[0] for number in range(1, total + 1)
    ]
    return first, shards


def _read_plan(folder: Path) -> dict[str, Any]:
    path = folder / PLAN
    try:
        plan = read_json(path)
        if not isinstance(plan, dict) or plan.get("schema") != PLAN_SCHEMA:
            raise CellscopeError(f"{one_line(path)} is not the plan of a shard of this version")
        check(plan, "plan", path)
        if len(plan["owners"]) != len(plan["images"]) or min(plan["owners"], default=1) < 1:
            raise CellscopeError(f"{one_line(path)} does not say for every input which shard it belongs to")
        return plan
    except CellscopeError as error:
        raise UsageError(f"{error}; run this shard again with --overwrite") from None


def status(out: Path) -> dict[str, Any]:
    """Say how far the run in a folder is; it may be running, stopped or finished, cut into shards or not.

    Parameters
    ----------
    out
        The OUT of `predict`.

    Returns
    -------
    dict
        ``total``, ``done`` and ``failed`` (numbers of inputs), ``missing`` (inputs without a result, in order),
        ``state`` and ``shards`` (shard, state, total, done, failed of each; empty for a run that was not cut). ``done``
        does not count the failed. States: ``running``, ``stopped`` (killed, or some shards are done and others not
        started), ``interrupted``, ``complete``, ``not started``.

    Raises
    ------
    UsageError
        The folder holds no run, or shards that do not belong together.
    CellscopeError
        Its files are damaged.
    """
    out = Path(out)
    if (out / FOLDER).is_dir():
        plan, shards = read_shards(out)
        images, owners = plan["images"], plan["owners"]
    else:
        whole, header = _inspect(out, 1)
        if whole.record is not None:
            listed = [(entry["index"], entry["image"]) for entry in whole.record["inputs"]]
            images = [image for _, image in sorted(listed)] + whole.record["missing"]
        elif whole.journal is not None:
            images = header["images"]
        else:
            raise UsageError(f"{out} holds no run of `predict`")
        shards, owners = [whole], [1] * len(images)
    outcomes = {image: outcome for shard in shards for image, outcome in shard.outcomes().items()}
    mine = {
        shard.number: [image for image, owner in zip(images, owners, strict=True) if owner == shard.number]
        for shard in shards
    }
    parts = [_about(shard, mine[shard.number], len(shards)) for shard in shards]
    states = [shard.state for shard in shards]
    return {
        "total": len(images),
        "done": sum(outcomes.get(image) == "ok" for image in images),
        "failed": sum(outcomes.get(image) == "failed" for image in images),
        "missing": [image for image in images if image not in outcomes],
        "state": state_of(states),
        "shards": parts if (out / FOLDER).is_dir() else [],
    }


def state_of(states: Sequence[str]) -> str:
    """Give the state of all shards together."""
    if len(set(states)) == 1:
        return states[0]
    # Some are done or on their way: the run has begun, whatever is not started.
    return next((state for state in ("running", "stopped", "interrupted") if state in states), "stopped")


def _about(shard: Shard, images: Sequence[str], total: int) -> dict[str, Any]:
    outcomes = shard.outcomes()
    return {
        "shard": f"{shard.number}/{total}",
        "state": shard.state,
        "total": len(images),
        "done": sum(outcomes.get(image) == "ok" for image in images),
        "failed": sum(outcomes.get(image) == "failed" for image in images),
    }
