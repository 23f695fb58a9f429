"""The four verbs of all assays: arguments, messages, output at the end. An assay adds its options and functions."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from cellscope.cli.brief import Command
from cellscope.cli.complete import complete_model
from cellscope.cli.groups import Group, end_imports
from cellscope.cli.heard import Heard
from cellscope.cli.logged import logging_to
from cellscope.errors import EXIT_OK, EXIT_PARTIAL
from cellscope.options.common import BaseOptions, OutputOptions, PrepareOptions, RunOptions, ShardOptions
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
Outlines = Annotated[
    Path,
    typer.Argument(
        metavar="OUTLINES",
        help="The outlined objects: a label image, GeoJSON or ImageJ ROI set, or a folder with one for every INPUT.",
    ),
]
Out = Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Output folder.")]
Models = Annotated[
    Optional[list[str]],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option(
        "-m",
        "--model",
        metavar="MODEL",
        help="Model file or built-in model; repeat for each part. Default: the built-in models.",
        autocompletion=complete_model,
    ),
]
Split = Annotated[
    str, typer.Option("--split", metavar="train|val|test|left-out", help="Split of the dataset to evaluate.")
]

Compare = Annotated[
    Optional[list[Path]],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option(
        "--compare",
        metavar="OTHER_EVAL",
        help="Folder of another evaluation of the same items: paired differences with 95 % intervals; repeatable.",
    ),
]

SCHEMA = "cellscope.command/1"
"""Of what ``--json`` prints."""

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

    Attributes
    ----------
    functions : dict
        Verb -> the decorated function, for calls from Python (`cellscope.api`).
    """

    def __init__(self, assay: str, help: str):
        self.assay = assay
        self.app = typer.Typer(cls=Group, help=help)
        self.functions: dict[str, Callable[..., Any]] = {}

    def prepare(self, function: Callable[..., Work]) -> None:
        """Add ``prepare``; `function` returns ``work(sources, out, options)``."""

        def verb(work: Work, sources: Sources, options: PrepareOptions, out: Out) -> int:
            with speaking(options, hush=True) as heard:
                code = work(sources, out, options)
            return finish(f"{self.assay} prepare", out, code, as_json=options.json, warnings=heard.listed())

        self._add("prepare", verb, function)

    def train(self, function: Callable[..., Work]) -> None:
        """Add ``train``; `function` returns ``work(dataset, out, options, argv=)``."""

        def verb(work: Work, dataset: Dataset, options: Any, base: BaseOptions, argv: list[str], out: Out) -> int:
            from cellscope.engine.train.data import say
            from cellscope.engine.train.describe import describe_trained

            with speaking(base, options, hush=True) as heard:
                code = work(dataset, out, options, argv=argv)
                describe_trained(dataset, out, options, say=say)
            return finish(f"{self.assay} train", out, code, as_json=base.json, warnings=heard.listed())

        self._add("train", verb, function)

    def eval(self, function: Callable[..., Work]) -> None:
        """Add ``eval``; `function` returns ``work(dataset, out, run=, options=, models=, split=, argv=, compare=)``."""

        def verb(
            work: Work,
            dataset: Dataset,
            options: Any,
            run: ShardOptions,
            argv: list[str],
            out: Out,
            models: Models = None,
            split: Split = "test",
            compare: Compare = None,
        ) -> int:
            from cellscope.engine.eval.report import NothingToDo

            given = {"run": run, "options": options, "models": list(models or []), "split": split, "argv": argv}
            given["compare"] = list(compare or [])
            with speaking(run, options, hush=True) as heard:
                try:
                    code = work(dataset, out, **given)
                except NothingToDo:
                    print(f"{out} holds this evaluation already; nothing is measured", file=sys.stderr)
                    code = EXIT_PARTIAL if failures_of(out) else EXIT_OK
            facts = {"failures": failures_of(out), "warnings": heard.listed()}
            return finish(f"{self.assay} eval", out, code, as_json=run.json, **facts)

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
        self.functions[name] = function
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
        self.app.command(name, cls=Command)(with_options(command))


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

    Warnings, each kind once, and how many inputs went well are said on stderr, unless ``--quiet``.
    """
    with speaking(run, options):
        outcome = work(inputs, out, run=run, options=options, models=list(models or []), argv=argv)
        facts = outcome.counts | outcome.told
        if not run.quiet:
            say_outcome(facts)
    return finish(command, out, outcome.code, as_json=run.json, **facts)


def say_outcome(facts: Mapping[str, Any]) -> None:
    """Say on stderr what a run over inputs came to: its warnings, how many inputs went well."""
    from cellscope.engine.predict.told import warning_lines

    for line in warning_lines(facts.get("warnings", [])):
        typer.echo(line, err=True)
    skipped = f", {facts['skipped']} skipped" if facts["skipped"] else ""
    others = facts.get("counts", {}).get("not_chosen", 0)
    not_chosen = f", {others} of them not chosen" if others else ""
    typer.echo(f"{facts['ok']} ok{not_chosen}, {facts['failed']} failed{skipped}", err=True)


def failures_of(out: Path) -> list[dict[str, Any]]:
    """Give the items that an evaluation could not measure, ``image`` and ``error``, from its ``eval.json``."""
    try:
        found: list[dict[str, Any]] = json.loads((out / "eval.json").read_text(encoding="utf-8")).get("failed", [])
    except (OSError, ValueError):
        return []
    return found


@contextlib.contextmanager
def speaking(base: OutputOptions, *options: Any, hush: bool = False) -> Iterator[Heard]:
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

    Yields
    ------
    heard : Heard
        Knows the warnings that were said.
    """
    end_imports()  # a verb has imported what it needs by now
    with contextlib.ExitStack() as stack:
        if base.log_file is not None:
            stack.enter_context(logging_to(base.log_file))
        if base.verbose:
            for instance in {id(item): item for item in (base, *options)}.values():
                typer.echo(to_toml(instance), err=True)
        heard = Heard(io.StringIO() if hush and base.quiet else sys.stderr)
        if hush:
            stack.enter_context(contextlib.redirect_stderr(heard))
        yield heard


def finish(command: str, out: Path, code: int, *, as_json: bool, **facts: Any) -> int:
    """Print the output folder on stdout, or a JSON object with what is known about the run, and return `code`."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        return code  # one of several training processes: the first one speaks for all
    if as_json:
        typer.echo(json.dumps({"schema": SCHEMA, "command": command, "out": str(out), "exit_code": code, **facts}))
    else:
        typer.echo(str(out))
    return code
