"""``cellscope merge`` and ``cellscope status``: what is said about a run cut into shards."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from cellscope.errors import EXIT_OK


def merge_shards(out: Path, *, as_json: bool) -> int:
    """Join the shards below `out` and print its path, or a JSON object with the counts."""
    from cellscope.engine.predict.merge import merge

    counts = merge(out)
    if as_json:
        typer.echo(json.dumps({"command": "merge", "out": str(out), "exit_code": EXIT_OK, **counts}))
    else:
        typer.echo(f"{counts['ok']} ok, {counts['failed']} failed", err=True)
        typer.echo(str(out))
    return EXIT_OK


def show_status(out: Path, *, as_json: bool) -> int:
    """Print how far the run in `out` is, shard by shard, and every input that has no result yet."""
    from cellscope.engine.predict.shards import status

    found = status(out)
    if as_json:
        typer.echo(json.dumps({"out": str(out), **found}))
        return EXIT_OK
    missing = len(found["missing"])
    typer.echo(
        f"{found['state']}: {found['total']} inputs, {found['done']} done, {found['failed']} failed, {missing} missing"
    )
    for shard in found["shards"]:
        typer.echo(
            f"shard {shard['shard']}: {shard['state']}, {shard['total']} inputs, "
            f"{shard['done']} done, {shard['failed']} failed"
        )
    for image in found["missing"]:
        typer.echo(f"missing: {image}")
    return EXIT_OK
