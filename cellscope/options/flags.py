"""From options dataclasses to a command line: the flags of a command are made from its parameters' types.

A command is an ordinary function. Those of its parameters that are options dataclasses are replaced by one flag per
option, plus ``--config`` and ``--set``; when the command runs they are filled by
:func:`cellscope.options.resolve.resolve_all`.
Values arrive as text and are converted there, so that a flag, a variable and a line in a file are judged by the same
rule and in the same words.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

import typer

from cellscope.options.fields import Spec, specs
from cellscope.options.resolve import parse_set, read_config, resolve_all

ARGV = "argv"
"""A command's parameter of this name gets the whole command line as a list of str, for ``run.json``."""

CONTEXT = "cellscope_context"
CONFIG = "cellscope_config"
SET = "cellscope_set"
WHOLE_HELP = "cellscope_help_all"
HELP_ALL = "--help-all"
PREFIX = "option_"
PANEL = "Options of this command"


def with_options(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the flags of its options dataclasses.

    Parameters
    ----------
    function : callable
        Parameters annotated with an options dataclass are generated; the others are Typer's as usual. It returns the
        exit code.

    Returns
    -------
    callable
        For ``app.command()``. TypeError if two options of one command claim the same flag.
    """
    # not typing.get_type_hints: on Python 3.10 it hides Annotated inside an Optional where the default is None
    parameters = inspect.signature(function, eval_str=True).parameters
    classes: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in parameters.items()
        if dataclasses.is_dataclass(parameter.annotation)
    }
    shown: dict[str, Spec] = {}
    for cls in classes.values():
        for key, spec in specs(cls).items():
            shown.setdefault(key, spec)
    _refuse_shared_flags(shown)

    def command(**values: Any) -> int:
        context = values.pop(CONTEXT)
        values.pop(WHOLE_HELP)
        config, sets = values.pop(CONFIG), values.pop(SET)
        given = {key: values.pop(PREFIX + key.replace(".", "__"), None) for key in shown}
        made = resolve_all(
            list(classes.values()),
            flags={key: value for key, value in given.items() if value is not None and value != []},
            sets=parse_set(sets or []),
            env=os.environ,
            config=read_config(config) if config is not None else None,
        )
        values.update(zip(classes, made, strict=True))
        if ARGV in parameters:
            values[ARGV] = command_line(context)
        return function(**values)

    generated = [inspect.Parameter(CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)]
    for name, parameter in parameters.items():
        if name not in classes and name != ARGV:
            generated.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
    generated += [_parameter(key, spec) for key, spec in shown.items() if spec.option.cli]
    generated += _sources()
    command.__signature__ = inspect.Signature(generated, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in generated}
    command.__name__, command.__doc__, command.__module__ = function.__name__, function.__doc__, function.__module__
    return command


def command_line(context: typer.Context) -> list[str]:
    """Return the command line that is running, beginning with ``cellscope``."""
    known = context.find_root().obj
    return list(known[ARGV]) if isinstance(known, dict) and ARGV in known else ["cellscope", *sys.argv[1:]]


def describe_flag(spec: Spec) -> str:
    """Return the help text of an option: what it does, then what is allowed, the default and the variable."""
    notes = []
    if spec.limits() and not (spec.option.choices or spec.kind.choices):
        notes.append(spec.limits())
    default = "" if spec.default is None or spec.default is False else spec.kind.to_text(spec.default)
    if default:
        notes.append(f"default {default}")
    notes.append(spec.env)
    said = spec.option.help if spec.option.help.endswith("...") else spec.option.help.rstrip(".")
    text = f"{said} ({'; '.join(notes)})"
    # Typer renders help as rich markup, where brackets are tags; versions differ in whether they can be escaped
    return text.replace("[", "(").replace("]", ")")


def _parameter(key: str, spec: Spec) -> inspect.Parameter:
    flags = [spec.flag]
    if spec.kind.base is bool and spec.default is True:
        flags = [f"{spec.flag}/--no-{spec.flag[2:]}"]
    if spec.option.short:
        flags.append(spec.option.short)
    choices = spec.option.choices or spec.kind.choices
    words = [str(choice) for choice in choices or ()]
    extra: dict[str, Any] = {}
    annotation: Any = Optional[str]  # noqa: UP045  Typer reads it at run time, also on older versions
    if spec.kind.base is bool:
        annotation = Optional[bool]  # noqa: UP045
    elif spec.option.repeat:
        annotation = Optional[list[str]]  # noqa: UP045
    elif spec.kind.base is Path and spec.kind.container is None:
        annotation = Optional[Path]  # noqa: UP045  so that the shell completes file names
    elif words:
        extra["autocompletion"] = lambda incomplete: [word for word in words if word.startswith(incomplete)]
    if spec.kind.base is not bool:
        extra["metavar"] = spec.option.metavar or "|".join(words) or _metavar(spec)
    extra["rich_help_panel"] = spec.panel or PANEL
    default = typer.Option(None, *flags, help=describe_flag(spec), show_default=False, **extra)
    name = PREFIX + key.replace(".", "__")
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _metavar(spec: Spec) -> str:
    name = {int: "INT", float: "NUMBER", str: "TEXT", Path: "PATH"}[spec.kind.base]
    return f"{name},..." if spec.kind.container is not None else name


def _sources() -> list[inspect.Parameter]:
    config = typer.Option(
        None,
        "--config",
        metavar="FILE",
        help="TOML file of options; flags and CELLSCOPE_* variables win over it.",
        show_default=False,
        rich_help_panel=PANEL,
    )
    sets = typer.Option(
        None,
        "--set",
        metavar="KEY=VALUE",
        help="Set any option by its name in the config file, also those without a flag. Repeats.",
        show_default=False,
        rich_help_panel=PANEL,
    )
    help_all = typer.Option(
        False, HELP_ALL, help="Show all options and exit.", is_eager=True, callback=_show_all, show_default=False
    )
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(WHOLE_HELP, keyword, default=help_all, annotation=bool),
        inspect.Parameter(CONFIG, keyword, default=config, annotation=Optional[Path]),  # noqa: UP045
        inspect.Parameter(SET, keyword, default=sets, annotation=Optional[list[str]]),  # noqa: UP045
    ]


def _show_all(context: typer.Context, wanted: bool) -> None:
    """Show the help with all options; most commands leave the rarer ones out of ``--help``."""
    if not wanted:
        return
    command: Any = context.command
    if hasattr(command, "format_whole_help"):
        command.format_whole_help(context)
    else:
        typer.echo(context.get_help())
    raise typer.Exit(0)


def _refuse_shared_flags(shown: Mapping[str, Spec]) -> None:
    owners = {HELP_ALL: "help", "--config": "config", "--set": "set", "--help": "help", "-h": "help"}
    for key, spec in shown.items():
        for flag in filter(None, (spec.flag, spec.option.short)) if spec.option.cli else ():
            if flag in owners:
                raise TypeError(f"the options '{owners[flag]}' and '{key}' both claim {flag}")
            owners[flag] = key
