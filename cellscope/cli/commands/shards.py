"""``cellscope merge`` and ``cellscope status``: what is said about a run cut into shards."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from cellscope.cli.verbs import finish, say_outcome
from cellscope.errors import EXIT_OK


def merge_shards(out: Path, *, as_json: bool) -> int:
    """Join the shards below `out` and print its path, or a JSON object with the counts."""
    from cellscope.engine.predict.merge import merge

    facts = merge(out)
    if not as_json:
        say_outcome(facts)
    return finish("merge", out, EXIT_OK, as_json=as_json, **facts)


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
