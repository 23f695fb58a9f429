"""``run.json``: what was run, on what, with which models, and what became of every input."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cellscope
from cellscope.engine.predict.journal import Entry

if TYPE_CHECKING:
    from cellscope.models.file import ModelCard

SCHEMA = "cellscope.run/1"

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pillow",
    "scikit-image",
    "scipy",
    "tifffile",
    "imagecodecs",
    "safetensors",
)


def now() -> str:
    """Return the time as ISO 8601 in UTC, to the millisecond."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


def environment() -> dict[str, str]:
    """Return the versions a result may depend on."""
    found = {
        "cellscope": cellscope.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
    }
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def plain(value: Any) -> Any:
    """Turn options into what JSON can hold: dataclasses into objects, paths into text, undefined numbers into null."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def model_records(
    paths: Mapping[str, Path], cards: Mapping[str, ModelCard], hashes: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return one entry per model: part, name (the file's, without suffix), path, sha256, architecture and classes."""
    return [
        {
            "part": part,
            "name": path.stem,
            "path": str(path),
            "sha256": hashes[part],
            "arch": cards[part].arch,
            "classes": list(cards[part].classes),
        }
        for part, path in paths.items()
    ]


def weightless_records(cards: Mapping[str, ModelCard]) -> list[dict[str, Any]]:
    """Return the entries of methods without weights, as `model_records` does; the method's name stands for a hash."""
    return [
        {
            "part": part,
            "name": card.arch,
            "path": "",
            "sha256": f"{card.arch} (no weights)",
            "arch": card.arch,
            "classes": list(card.classes),
        }
        for part, card in cards.items()
    ]


def identity(assay: str, models: Iterable[Mapping[str, Any]], options: Any, run: Any) -> dict[str, Any]:
    """Return what two runs must share for their rows to stand in one table: models and all that changes results."""
    return {
        "assay": assay,
        "models": {model["part"]: model["sha256"] for model in models},
        "options": plain(options),
        "run": {name: plain(getattr(run, name, None)) for name in ("pixel_size", "input")},
    }


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> str:
    """Name the first thing in which two identities differ, or return an empty string."""
    for key in sorted({*ours, *theirs}):
        mine, other = ours.get(key), theirs.get(key)
        if isinstance(mine, Mapping) and isinstance(other, Mapping):
            if found := difference(mine, other, f"{prefix}{key}."):
                return found
        elif mine != other:
            return f"{prefix}{key} is {_short(mine)} here and {_short(other)} there"
    return ""


def _short(value: Any) -> str:
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."


def digest(value: Any) -> str:
    """Return a hash of anything JSON can hold; equal values have equal hashes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def input_record(index: int, entry: Entry) -> dict[str, Any]:
    """Return the ``run.json`` entry of one input."""
    return {
        "image": entry.image,
        "path": entry.path,
        "index": index,
        "status": "skipped" if entry.skipped else entry.status,
        "error": entry.row.get("error", ""),
        "seconds": float(entry.row.get("seconds") or 0),
        "outputs": entry.outputs,
        "warnings": entry.warnings,
        **({} if entry.scene is None else {"scene": entry.scene}),
    }


def counts(entries: Sequence[Entry], total: int) -> dict[str, int]:
    """Count inputs by what became of them, those that are unlike the training images, and objects.

    ``not_chosen`` is there where ``--best`` left some out.
    """
    found = {"total": total, "ok": 0, "failed": 0, "skipped": 0, "unfamiliar": 0, "objects": 0}
    for entry in entries:
        found["skipped" if entry.skipped else entry.status] += 1
        found["unfamiliar"] += entry.row.get("unfamiliar") == "True"
        found["objects"] += int(entry.row.get("n_objects") or 0)
    left_out = sum(entry.left_out for entry in entries)
    return found | {"not_chosen": left_out} if left_out else found


def training_record(
    argv: Sequence[str], options: Any, *, device: str, precision: str, seconds: float, steps: int
) -> dict[str, Any]:
    """Return what ``run.json`` of a training says besides its metrics.

    Parameters
    ----------
    argv, options
        The command line and all training options.
    device, precision
        As used, not as asked for.
    seconds, steps
        Wall time of this process and optimiser steps of the whole training.
    """
    return {
        "schema": SCHEMA,
        "command": "train",
        "argv": list(argv),
        "version": cellscope.__version__,
        "status": "complete",
        "finished": now(),
        "seconds": round(seconds, 3),
        "steps": steps,
        "device": device,
        "precision": precision,
        "seed": getattr(options, "seed", None),
        "options": plain(options),
        "environment": environment(),
    }


def run_record(
    *,
    assay: str,
    argv: Sequence[str],
    started: str,
    status: str,
    indices: Mapping[str, int],
    entries: Sequence[Entry],
    **facts: Any,
) -> dict[str, Any]:
    """Put ``run.json`` together.

    Parameters
    ----------
    assay, argv, started
        Which assay, the command line, the time it began.
    status
        ``complete`` or ``interrupted``.
    indices
        Every image the run was to handle, with its index in the full list of inputs (a shard handles only some of
        these).
    entries
        Those with a row in ``images.csv``, in the order of the table.
    **facts
        Everything else: models, device, precision, threads, seed, options, columns, figures, shard. They may replace
        the entries made here.
    """
    known = {entry.image for entry in entries}
    after = max(indices.values(), default=-1) + 1  # for images kept from an earlier run over other inputs
    inputs = []
    for entry in entries:
        index = indices.get(entry.image)
        if index is None:
            index, after = after, after + 1
        inputs.append(input_record(index, entry))
    missing = [image for image in indices if image not in known]
    return {
        "schema": SCHEMA,
        "assay": assay,
        "command": "predict",
        "argv": list(argv),
        "version": cellscope.__version__,
        "status": status,
        "started": started,
        "finished": now(),
        "counts": counts(entries, len(entries) + len(missing)),
        "missing": missing,
        **facts,
        "environment": environment(),
        "inputs": inputs,
    }
