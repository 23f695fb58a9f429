"""``cellscope export``: a finished run in the files of other programs."""

from __future__ import annotations

from pathlib import Path

import typer

from cellscope.errors import EXIT_OK


def export_run(out: Path, *, to: str, target: Path | None, images: Path | None, overwrite: bool) -> int:
    """Write the run in another format and print where; warnings go to stderr.

    Raises
    ------
    UsageError, CellscopeError
        As of `cellscope.exports.formats.export`.
    """
    from cellscope.exports.formats import export, needed

    ending = needed(to).ending
    from cellscope.exports.results import Results

    place = Path(f"{out.resolve().name}{ending}") if target is None else target
    export(Results(out, images), to, place, overwrite=overwrite, told=_warn)
    typer.echo(str(place))
    return EXIT_OK


def _warn(text: str) -> None:
    typer.echo(f"warning: {text}", err=True)
