"""What the four verbs have in common in every assay: their arguments, how much they say, what they print at the end."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from cellscope.config import to_toml
from cellscope.engine.options import BaseOptions, RunOptions
from cellscope.groups import settle

Sources = Annotated[list[Path], typer.Argument(metavar="SOURCE", help="Folders or files of the data set.")]
Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="A folder that `prepare` made.")]
Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Images, folders (searched recursively) and @list.txt, a file of names."),
]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Output folder.")]
Models = Annotated[
    Optional[list[str]],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="A model file or a built-in name; once per part. Parts not given are the built-in ones.",
    ),
]
Split = Annotated[str, typer.Option("--split", metavar="train|val|test", help="Which part of the dataset to measure.")]


@contextlib.contextmanager
def speaking(base: BaseOptions, *options: Any, hush: bool = False) -> Iterator[None]:
    """Say on stderr as much as the user wants while a verb runs.

    Parameters
    ----------
    base : BaseOptions
        With ``--verbose`` every option and its value is shown first.
    *options : dataclass instances
        More options to show.
    hush : bool
        With ``--quiet``, drop everything written to stderr: for verbs that do not know the option themselves. Errors
        are printed after this context has ended.
    """
    settle()  # a verb has imported what it needs by now
    if base.verbose:
        for instance in {id(item): item for item in (base, *options)}.values():
            typer.echo(to_toml(instance), err=True)
    with contextlib.redirect_stderr(io.StringIO()) if hush and base.quiet else contextlib.nullcontext():
        yield


def finish(command: str, out: Path, code: int, *, as_json: bool, **facts: Any) -> int:
    """Print the output folder on stdout, or a JSON object with what is known about the run, and return `code`."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return code  # one of several training processes: the first one speaks for all
    if as_json:
        typer.echo(json.dumps({"command": command, "out": str(out), "exit_code": code, **facts}))
    else:
        typer.echo(str(out))
    return code


def report_inputs(out: Path, run: RunOptions) -> dict[str, int]:
    """Say on stderr how many inputs went well, unless ``--quiet``; the counts come from ``run.json``.

    Returns
    -------
    dict
        ``ok``, ``failed`` and ``skipped`` (done by an earlier run).
    """
    from cellscope.engine.shards import folder

    record = json.loads((folder(out, run.shard_pair) / "run.json").read_text(encoding="utf-8"))
    counts = {"ok": 0, "failed": 0, "skipped": 0}
    for entry in record["inputs"]:
        counts[entry["status"]] += 1
    if not run.quiet:
        skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
        typer.echo(f"{counts['ok']} ok, {counts['failed']} failed{skipped}", err=True)
    return counts
