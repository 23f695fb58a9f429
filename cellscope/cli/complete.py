"""What the shell proposes for ``-m``: the built-in models of the assay, its methods without weights, model files."""

from __future__ import annotations

from pathlib import Path

import typer

WEIGHTLESS = {"histo": ("otsu",), "nucleus-seg": ("otsu",)}
"""Assay -> names that `Assay.weightless` has; the assays themselves take too long to import for a key press."""


def complete_model(ctx: typer.Context, incomplete: str) -> list[str]:
    """List what a word that is being typed may become."""
    from cellscope.errors import CellscopeError
    from cellscope.models.registry import SUFFIX, builtin

    words = ctx.command_path.split()
    assay = words[-2] if len(words) > 1 else ""
    try:
        names = [entry.name for entry in builtin() if entry.assay == assay]
    except CellscopeError:
        names = []
    named = [name for name in (*names, *WEIGHTLESS.get(assay, ())) if name.startswith(incomplete)]
    return named + _files(incomplete, SUFFIX)


def _files(incomplete: str, suffix: str) -> list[str]:
    """List model files and folders, which end in ``/``, whose path begins like that."""
    head, slash, tail = incomplete.rpartition("/")
    folder = Path(head + slash or ".")
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(tail))
    except OSError:
        return []
    if not tail.startswith("."):
        found = [path for path in found if not path.name.startswith(".")]
    files = [head + slash + path.name for path in found if path.suffix == suffix]
    return files + [f"{head + slash}{path.name}/" for path in found if path.is_dir()]
