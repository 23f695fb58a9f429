"""The four verbs of all assays: arguments, messages, output at the end. An assay adds its options and functions."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from cellscope.cli.groups import Group, end_imports
from cellscope.options.common import BaseOptions, OutputOptions, PrepareOptions, RunOptions, WorkerOptions
from cellscope.options.flags import with_options
from cellscope.options.resolve import to_toml

if TYPE_CHECKING:
    from cellscope.engine.predict.session import RunOutcome

Sources = Annotated[list[Path], typer.Argument(metavar="SOURCE", help="Folders or files of the source data.")]
Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="Prepared dataset (a folder written by `prepare`).")]
Inputs = Annotated[
    list[str],
    typer.Argument(metavar="INPUT", help="Images, folders (searched recursively), or @list.txt, a file of names."),
]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Output folder.")]
Models = Annotated[
    Optional[list[str]],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="Model file or built-in model; repeat for each part. Default: the built-in models.",
    ),
]
Split = Annotated[
    str, typer.Option("--split", metavar="train|val|test|left-out", help="Split of the dataset to evaluate.")
]

Work = Callable[..., int]
"""What does the work of a verb and returns the exit code."""

InputsWork = Callable[..., "RunOutcome"]
"""What goes over inputs; returns exit code and counts."""


class Verbs:
    """The command group of an assay, and its four verbs as decorators.

    The parameter ``options`` of a decorated function names the dataclass of the verb's own options; its docstring is
    the help; what other parameters it has the command has too. It is called when the command runs, imports what the
    verb needs and returns it: for ``predict`` the assay's name, for the others the function that does the work.

    Parameters
    ----------
    assay, help : str
        As the group shows up on the command line.
    """

    def __init__(self, assay: str, help: str):
        self.assay = assay
        self.app = typer.Typer(cls=Group, help=help)

    def prepare(self, function: Callable[..., Work]) -> None:
        """Add ``prepare``; `function` returns ``work(sources, out, options)``."""

        def verb(work: Work, sources: Sources, options: PrepareOptions, out: Out) -> int:
            with speaking(options, hush=True):
                code = work(sources, out, options)
            return finish(f"{self.assay} prepare", out, code, as_json=options.json)

        self._add("prepare", verb, function)

    def train(self, function: Callable[..., Work]) -> None:
        """Add ``train``; `function` returns ``work(dataset, out, options, argv=)``."""

        def verb(work: Work, dataset: Dataset, options: Any, base: BaseOptions, argv: list[str], out: Out) -> int:
            with speaking(base, options, hush=True):
                code = work(dataset, out, options, argv=argv)
            return finish(f"{self.assay} train", out, code, as_json=base.json)

        self._add("train", verb, function)

    def eval(self, function: Callable[..., Work]) -> None:
        """Add ``eval``; `function` returns ``work(dataset, out, run=, options=, models=, split=, argv=)``."""

        def verb(
            work: Work,
            dataset: Dataset,
            options: Any,
            run: WorkerOptions,
            argv: list[str],
            out: Out,
            models: Models = None,
            split: Split = "test",
        ) -> int:
            with speaking(run, options, hush=True):
                code = work(dataset, out, run=run, options=options, models=list(models or []), split=split, argv=argv)
            return finish(f"{self.assay} eval", out, code, as_json=run.json)

        self._add("eval", verb, function)

    def predict(self, function: Callable[..., str]) -> None:
        """Add ``predict``; `function` returns the name of the assay, as `cellscope.engine.find.find_assay` takes it."""

        def verb(
            assay: str,
            inputs: Inputs,
            options: Any,
            run: RunOptions,
            argv: list[str],
            out: Out,
            models: Models = None,
        ) -> int:
            from cellscope.engine.find import find_assay
            from cellscope.engine.predict.plan import predict_shard

            find_assay(assay)  # what it imports is imported before `speaking` ends the imports
            work = partial(predict_shard, assay)
            return run_inputs(f"{self.assay} predict", work, inputs, out, run, options, models, argv)

        self._add("predict", verb, function)

    def _add(self, name: str, verb: Callable[..., int], function: Callable[..., Any]) -> None:
        """Add a command with the parameters of `verb` behind its first, then those that only `function` has."""
        own = inspect.signature(function, eval_str=True).parameters
        _work, *shared = inspect.signature(verb, eval_str=True).parameters.values()
        known = {parameter.name for parameter in shared}

        def command(**values: Any) -> int:
            work = function(**{key: values[key] for key in own})
            return verb(work, **{key: values[key] for key in known})

        parameters = [own.get(parameter.name, parameter) for parameter in shared]
        parameters += [parameter for key, parameter in own.items() if key not in known]
        defaults = {"out": Path(f"{self.assay}-{name}")}
        signature = inspect.Signature(
            [
                one.replace(kind=inspect.Parameter.KEYWORD_ONLY, default=defaults.get(one.name, one.default))
                for one in parameters
            ]
        )
        command.__signature__ = signature  # type: ignore[attr-defined]
        command.__name__, command.__doc__, command.__module__ = name, function.__doc__, function.__module__
        self.app.command(name)(with_options(command))


def run_inputs(
    command: str,
    work: InputsWork,
    inputs: list[str],
    out: Path,
    run: RunOptions,
    options: Any,
    models: list[str] | None,
    argv: list[str],
) -> int:
    """Do a command that goes over inputs, ``work(inputs, out, run=, options=, models=, argv=)``.

    How many inputs went well is said on stderr, unless ``--quiet``.
    """
    with speaking(run, options):
        outcome = work(inputs, out, run=run, options=options, models=list(models or []), argv=argv)
    counts = outcome.counts
    if not run.quiet:
        skipped = f", {counts['skipped']} skipped" if counts["skipped"] else ""
        typer.echo(f"{counts['ok']} ok, {counts['failed']} failed{skipped}", err=True)
    return finish(command, out, outcome.code, as_json=run.json, **counts)


@contextlib.contextmanager
def speaking(base: OutputOptions, *options: Any, hush: bool = False) -> Iterator[None]:
    """Say on stderr as much as the user wants while a verb runs.

    Parameters
    ----------
    base : OutputOptions
        With ``--verbose`` every option and its value is shown first.
    *options : dataclass instances
        More options to show.
    hush : bool
        With ``--quiet``, drop everything written to stderr: for verbs that do not know the option themselves. Errors
        are printed after this context has ended.
    """
    end_imports()  # a verb has imported what it needs by now
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
