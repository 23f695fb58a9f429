"""What a command that goes over inputs says at its end: failures and warnings, each kind once with its number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Numbers differ from image to image where the warning is the same.
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
#: Kinds of warning written on stderr; the others are only counted there.
MOST = 10


def told(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give counts, failures and warnings of a run.

    Parameters
    ----------
    record : mapping
        The contents of ``run.json``.

    Returns
    -------
    dict
        ``ok``, ``failed`` and ``skipped`` (inputs), ``counts`` (as in ``run.json``), ``failures`` (a list of ``image``,
        ``error``) and ``warnings``: a list of ``warning``, ``images`` (how many have it, whatever its numbers; 0 for
        one about the whole run) and ``example`` (an image, or empty).
    """
    warnings: dict[str, dict[str, Any]] = {}
    for line in (record.get("summary") or {}).get("warnings", []):
        warnings[line] = {"warning": line, "images": 0, "example": ""}
    for entry in record["inputs"]:
        kinds = {_NUMBER.sub("#", line.replace(entry["image"], "")): line for line in entry["warnings"]}
        for kind, line in kinds.items():
            found = warnings.setdefault(kind, {"warning": line, "images": 0, "example": entry["image"]})
            found["images"] += 1
    counts = dict(record["counts"])
    failures = [{"image": entry["image"], "error": entry["error"]} for entry in record["inputs"] if entry["error"]]
    return {
        **{name: counts[name] for name in ("ok", "failed", "skipped")},
        "counts": counts,
        "failures": failures,
        "warnings": list(warnings.values()),
    }


def warning_lines(warnings: list[dict[str, Any]]) -> list[str]:
    """Give the lines for stderr: those about the run, then the commonest first, at most `MOST`."""
    listed = sorted(warnings, key=lambda one: (one["images"] > 0, -one["images"]))
    lines = [f"warning: {one['warning']}{_where(one)}" for one in listed[:MOST]]
    more = len(listed) - MOST
    return [*lines, f"warning: and {more} more kinds; report.html has all"] if more > 0 else lines


def _where(one: Mapping[str, Any]) -> str:
    if one["images"] == 0:
        return ""
    return f" ({one['example']})" if one["images"] == 1 else f" ({one['images']} images, such as {one['example']})"
