"""``--log-file`` of the commands that are no verb of an assay."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from cellscope.cli.heard import Logged

LogFile = Annotated[
    Optional[Path],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option(
        "--log-file",
        metavar="FILE",
        help="Append what is written to stderr, with the time of each line, to this file too.",
    ),
]


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Keep what is said on stderr in a file, the error that ends the command included."""
    with contextlib.closing(Logged(sys.stderr, path)) as logged:
        logged.note(" ".join(sys.argv))
        try:
            with contextlib.redirect_stderr(logged):
                yield
        except Exception as error:
            logged.note(f"error: {' '.join(str(error).split())}")
            raise


def logged(function: Callable[..., int]) -> Callable[..., int]:
    """Give a command the option ``--log-file``."""
    signature = inspect.signature(function, eval_str=True)
    parameter = inspect.Parameter("log_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=LogFile)

    def command(*, log_file: Path | None = None, **values: Any) -> int:
        with logging_to(log_file) if log_file is not None else contextlib.nullcontext():
            return function(**values)

    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]
    command.__signature__ = signature.replace(parameters=[*parameters, parameter])  # type: ignore[attr-defined]
    command.__name__, command.__doc__, command.__module__ = function.__name__, function.__doc__, function.__module__
    return command
