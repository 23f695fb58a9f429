"""``cellscope review``: open a finished run in the browser."""

from __future__ import annotations

import importlib.util
import secrets
import sys
import threading
import webbrowser
from pathlib import Path

import typer

from cellscope.errors import EXIT_OK, UsageError

NEEDED = ("starlette", "uvicorn")


def take_returned(out: Path, corrections: Path, *, who: str, images: Path | None, argv: list[str]) -> int:
    """Take corrected GeoJSON files into ``OUT/corrections``, say what they change, and print that folder.

    Raises
    ------
    UsageError, InputError
        See `cellscope.review.returned.take_corrections`.
    """
    from cellscope.io.corrections import FOLDER
    from cellscope.io.text import one_line
    from cellscope.review.returned import take_corrections
    from cellscope.review.room import user

    for one in take_corrections(out, corrections, images=images, who=who or user(), argv=argv):
        said = ", ".join(f"{count} {what}" for what, count in one.counts.items())
        typer.echo(f"{one_line(one.image)}: {said}", err=True)
        if left := one.small + one.hidden:
            typer.echo(
                f"warning: {one_line(one.image)}: {left} outlines were left out: smaller than 9 pixels, or covered by "
                "other nuclei",
                err=True,
            )
        if one.unclassed:
            typer.echo(
                f"warning: {one_line(one.image)}: {one.unclassed} new objects have no class and count as "
                f"{one.default_class}; give each its class before its type is counted or taught",
                err=True,
            )
    typer.echo(str(out / FOLDER))
    return EXIT_OK


def review_run(out: Path, *, port: int, browser: bool, who: str, images: Path | None, argv: list[str]) -> int:
    """Serve the room until Ctrl-C; print its address.

    Raises
    ------
    UsageError
        The optional packages are missing; the folder cannot be reviewed; the port is taken.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UsageError(f"review needs {' and '.join(missing)}: pip install 'cellscope[review]'")
    from cellscope.review.room import Room
    from cellscope.review.server import HOST, bind, serve

    listening = bind(port)
    token = secrets.token_urlsafe(24)
    address = f"http://{HOST}:{listening.getsockname()[1]}/{token}/"
    try:
        room = Room(out, images=images, who=who, argv=argv)
    except BaseException:
        listening.close()
        raise

    def started() -> None:
        room.announce(f"{HOST}:{listening.getsockname()[1]}")
        typer.echo(address)
        sys.stdout.flush()
        typer.echo("Corrections are saved as you make them. Ctrl-C ends the review.", err=True)
        if browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        threading.Thread(target=room.run.loaded, daemon=True).start()

    try:
        serve(room, token, listening, started)
    except KeyboardInterrupt:
        pass
    finally:
        room.close()
        listening.close()
    return EXIT_OK
