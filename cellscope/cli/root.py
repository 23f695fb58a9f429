"""The command line: ``cellscope <assay> <verb>``, ``models``, ``merge``, ``status``, ``export``, ``info``, ``doctor``.

Nothing here, nor in what it imports, imports torch, cv2, numpy, pandas or lightning: a help page must come at once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Optional

import typer

from cellscope import __version__
from cellscope.cli.groups import LazyGroup, Root, Terminated, begin_imports, check_limit
from cellscope.cli.logged import logged
from cellscope.engine.memory import memory_limit
from cellscope.errors import EXIT_OK, EXIT_TERMINATED

ASSAYS = {
    "micronucleus": "Micronuclei: which cells carry them, and how often, from crops or whole fields.",
    "karyotype": "Metaphase chromosomes: find, classify and arrange them into a karyogram.",
    "mitosis": "Cell divisions: normal or abnormal, from sequences or time-lapse movies.",
    "histo": "H&E tiles and whole slides: every nucleus outlined, typed and measured.",
    "nucleus-seg": "Nuclei of white blood cells in blood and marrow smears: outline and measure them.",
}
"""The assays that exist. ``cellscope/assays/<name with underscores>/cli.py`` holds the four verbs of each."""


class Cellscope(Root):
    """The root group with one late-loading group per assay, and ``models``."""

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        groups = [
            LazyGroup(name, f"cellscope.assays.{name.replace('-', '_')}.cli:app", text) for name, text in ASSAYS.items()
        ]
        models = "List, show, verify, average and describe models."
        groups.append(LazyGroup("models", "cellscope.cli.commands.models:app", models))
        self.commands = {**{str(group.name): group for group in groups}, **self.commands}


app = typer.Typer(
    cls=Cellscope,
    name="cellscope",
    help="Analysis of cell images: segmentation, classification, measurement and reports.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print a JSON object.")]
OutArgument = Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of runs with --shard.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"cellscope {__version__}")
        raise typer.Exit(EXIT_OK)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Carry the options that stand before a command."""


@app.command()
@logged
def merge(out: OutArgument, json: JsonFlag = False) -> int:
    """Merge the tables of a run in parts (--shard)."""
    from cellscope.cli.commands.shards import merge_shards

    return merge_shards(out, as_json=json)


@app.command()
@logged
def status(
    out: OutArgument,
    missing: Annotated[bool, typer.Option("--missing", help="List the inputs without a result.")] = False,
    json: JsonFlag = False,
) -> int:
    """Show how far a run is, also one in parts (--shard). Exit code 0 if all is done, 3 if not all, 1 if nothing."""
    from cellscope.cli.commands.shards import show_status

    return show_status(out, missing=missing, as_json=json)


@app.command()
@logged
def doctor(json: JsonFlag = False) -> int:
    """Check the installation: versions, devices, built-in models. Exit code 1 if something is wrong."""
    from cellscope.cli.commands.doctor import run_doctor

    return run_doctor(as_json=json)


@app.command()
@logged
def info(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Image files of any format that is read.")],
    channel: Annotated[str, typer.Option("--channel", metavar="NAME|N", help="As for predict.")] = "",
    z: Annotated[str, typer.Option("--z", metavar="N|max|focus", help="As for predict.")] = "",
    scene: Annotated[str, typer.Option("--scene", metavar="NAME|N", help="As for predict.")] = "",
    frame: Annotated[str, typer.Option("--frame", metavar="N", help="As for predict.")] = "",
    json: JsonFlag = False,
) -> int:
    """Say what image files hold: axes, channels, scenes, pixel size, and what each assay would take of them."""
    from cellscope.cli.commands.info import show_info
    from cellscope.io.choice import Choice

    return show_info(files, Choice(channel, z, scene, frame), as_json=json)


@app.command()
@logged
def review(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of `predict`.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 for a free one.")] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    who: Annotated[str, typer.Option("--who", metavar="NAME", help="Who reviews. Default: the user's name.")] = "",
    images: Annotated[
        Optional[Path],  # noqa: UP045  Typer reads it at run time, also on older versions
        typer.Option("--images", metavar="PATH", help="Folder of the images, if they were moved after predict."),
    ] = None,
    corrections: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--corrections",
            metavar="GEOJSON",
            help="Take nuclei corrected in QuPath, instead of opening the browser: a file, or a folder of files named "
            "as in OUT. Their images count as reviewed.",
        ),
    ] = None,
) -> int:
    """Correct the results of a run in the browser; corrections are saved in OUT/corrections."""
    from cellscope.cli.commands.review import review_run, take_returned

    if corrections is not None:
        return take_returned(out, corrections, who=who, images=images, argv=sys.argv)

    return review_run(out, port=port, browser=not no_browser, who=who, images=images, argv=sys.argv)


@app.command()
@logged
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Output folder of `predict`.")],
    to: Annotated[
        str,
        typer.Option("--to", metavar="FORMAT", help="parquet, anndata, spatialdata, ome-zarr, imagej-rois or labkit."),
    ],
    target: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("-o", "--out", metavar="FILE", help="File or folder to write. Default: named after OUT."),
    ] = None,
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--images", metavar="PATH", help="Folder of the images, if they were moved after predict."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
) -> int:
    """Write the results of a run, corrected ones where there are any, in the files of other programs."""
    from cellscope.cli.commands.export import export_run

    return export_run(out, to=to, target=target, images=images, overwrite=overwrite)


def open_standard_streams() -> None:
    """Open input, output and error where the program was started without: a file would take their numbers."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for the command


def main() -> None:
    """Entry point of the ``cellscope`` console script."""
    open_standard_streams()
    owner = os.getpid()

    def terminate(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker inherits the handler, but the goodbye is the parent's to say
            os._exit(EXIT_TERMINATED)
        raise Terminated(EXIT_TERMINATED)

    signal.signal(signal.SIGTERM, terminate)
    check_limit(sys.argv[1:], memory_limit())
    begin_imports()
    app()
