"""``cellscope merge`` and ``cellscope status``: what is said about a run cut into shards."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import typer

from cellscope.cli.verbs import SCHEMA, finish, say_outcome
from cellscope.errors import EXIT_FAILED, EXIT_OK, EXIT_PARTIAL

MOST = 12
"""Shards that are named in one line."""


def merge_shards(out: Path, *, as_json: bool) -> int:
    """Join the shards below `out` and print its path, or a JSON object with the counts."""
    from cellscope.engine.eval import parts
    from cellscope.engine.predict.merge import merge

    facts = parts.merge(out) if parts.is_evaluation(out) else merge(out)
    if not as_json:
        say_outcome(facts)
    return finish("merge", out, EXIT_OK, as_json=as_json, **facts)


def show_status(out: Path, *, missing: bool, as_json: bool) -> int:
    """Print how far the run in `out` is: a summary, the shards by state, with `missing` every input without a result.

    Returns
    -------
    int
        0 if every input is done, or the training is complete; 3 if some failed or are missing; 1 if none is done.
    """
    from cellscope.engine.train import status as training

    command, found = "train", {}
    if training.is_training(out):
        found = training.status(out)
        part, whole, lines = found["step"], found["state"] == "complete", _training_lines(found)
    else:
        command, found = _status(out)
        part, whole, lines = found["done"], found["done"] == found["total"], _input_lines(found, missing=missing)
    code = EXIT_OK if whole else EXIT_PARTIAL if part else EXIT_FAILED
    if as_json:
        facts = {"out": str(out), "exit_code": code, "of": command, **found}
        typer.echo(json.dumps({"schema": SCHEMA, "command": "status", **facts}))
        return code
    for line in lines:
        typer.echo(line)
    return code


def _status(out: Path) -> tuple[str, dict[str, Any]]:
    """Say whether a folder holds what `eval` or `predict` made, and how far that is."""
    from cellscope.engine.eval import parts
    from cellscope.engine.predict.shards import status

    if parts.is_evaluation(out) or (out / "eval.json").is_file():
        return "eval", parts.status(out)
    return "predict", status(out)


def _input_lines(found: dict[str, Any], *, missing: bool) -> list[str]:
    counts = f"{found['total']} inputs, {found['done']} done, {found['failed']} failed, {len(found['missing'])} missing"
    lines = [f"{found['state']}: {counts}{_left(found)}", *_shard_lines(found["shards"])]
    return lines + [f"missing: {image}" for image in found["missing"] if missing]


def _training_lines(found: dict[str, Any]) -> list[str]:
    """Say how far a training is, and each of several."""
    lines = [f"{found['state']}: {_step(found)}"]
    lines += [f"{one['name']}: {one['state']}, {_step(one)}" for one in found["trainings"]]
    if found["state"] in ("stopped", "interrupted"):
        lines.append("go on with --resume auto")
    return lines


def _step(found: dict[str, Any]) -> str:
    text = f"step {found['step']}" + (f" of {found['steps']}" if found["steps"] is not None else "")
    if found["best"]:
        text += f", best score {found['best']['val_score']:.4f} at step {found['best']['step']}"
    return text + _left(found)


def _left(found: dict[str, Any]) -> str:
    """Say how long it takes still, where that is known."""
    seconds = found.get("seconds_left")
    if seconds is None:
        return ""
    return f", {seconds / 3600:.1f} h left" if seconds >= 5400 else f", {seconds / 60:.0f} min left"


def _shard_lines(shards: list[dict[str, Any]]) -> list[str]:
    """Give a line per state, and one for every shard that needs a hand."""
    if not shards:
        return []
    counts = Counter(shard["state"] for shard in shards)
    lines = [f"{len(shards)} shards: {', '.join(f'{count} {state}' for state, count in counts.most_common())}"]
    for shard in shards:
        if shard["state"] in ("stopped", "interrupted") or shard["failed"]:
            lines.append(
                f"shard {shard['shard']}: {shard['state']}, {shard['done']} of {shard['total']} done, "
                f"{shard['failed']} failed"
            )
    waiting = [shard["shard"] for shard in shards if shard["state"] == "not started"]
    if waiting:
        lines.append(f"not started: {', '.join(waiting[:MOST])}{', ...' if len(waiting) > MOST else ''}")
    if any(shard["state"] in ("stopped", "interrupted") for shard in shards):
        lines.append("run those that stopped again with --skip-existing")
    return lines
