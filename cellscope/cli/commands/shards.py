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
        0 if every input is done; 3 if some failed or are missing; 1 if none is done.
    """
    from cellscope.engine.eval import parts
    from cellscope.engine.predict.shards import status

    found = parts.status(out) if parts.is_evaluation(out) else status(out)
    left = len(found["missing"])
    code = EXIT_OK if found["done"] == found["total"] else EXIT_PARTIAL if found["done"] else EXIT_FAILED
    if as_json:
        typer.echo(json.dumps({"schema": SCHEMA, "command": "status", "out": str(out), "exit_code": code, **found}))
        return code
    typer.echo(
        f"{found['state']}: {found['total']} inputs, {found['done']} done, {found['failed']} failed, {left} missing"
    )
    for line in _shard_lines(found["shards"]):
        typer.echo(line)
    if missing:
        for image in found["missing"]:
            typer.echo(f"missing: {image}")
    return code


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
