"""Command groups that load late and fail in one line.

Typer builds every command of every group before it prints any help. :class:`LazyGroup` knows its name and help, and
imports its commands when one of them is wanted, so that the start-up time does not grow with the number of assays.
"""

from __future__ import annotations

import atexit
import errno
import gc
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import DEFAULT_MARKUP_MODE, TyperGroup

from cellscope.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED, EXIT_USAGE, CellscopeError, as_line
from cellscope.options.flags import ARGV
from cellscope.options.resolve import nearest

# Typer has brought its own copy of click since 0.27, so the base class of click's errors is found through Typer.
_ParserError: type[Exception] = typer.BadParameter.__bases__[0].__bases__[0]


_ROOMY = (100_000, 10, 10)
"""Thresholds of the garbage collector while modules are imported: bounded still, but it runs a twentieth as often."""

_usual = gc.get_threshold()


def begin_imports() -> None:
    """Let the garbage collector run seldom while modules are imported, until `end_imports`.

    PyTorch and pandas make half a million objects that stay for good. Going through them again and again, with nothing
    to collect, was a seventh of what starting `predict` costs.
    """
    global _usual
    _usual = gc.get_threshold()
    gc.set_threshold(*_ROOMY)


NEEDED = 4 * 2**30
"""Bytes of address space that the libraries take before any image is read: 3.7 GiB were measured."""

NEEDED_IN_USE = 512 * 2**20
"""Bytes that are in use once a network and one small image are loaded: 0.4 GiB were measured, and 0.4 GiB of files.

At 400 MiB the system read the same files again and again for minutes, and then killed the command.
"""

_NO_WORK = {"-h", "--help", "--help-all", "--version"}
_LOADING = {"predict", "eval", "train"}
"""Verbs that load PyTorch."""


def check_limit(words: Sequence[str], allowed: int | None = None) -> None:
    """End in one line where ``ulimit -v`` or a cgroup leaves too little for the libraries to load.

    Some of them would not say so but spin for ever, deaf to signals; and a cgroup kills without a word.

    Parameters
    ----------
    words : sequence of str
        The command line.
    allowed : int, optional
        Bytes that cgroups allow; None where there is no limit.
    """
    if not words or _NO_WORK & set(words):
        return
    if allowed is not None and allowed < NEEDED_IN_USE and _LOADING & set(words):
        fail(
            f"the memory limit of this job or container (cgroup) is {allowed / 2**20:.0f} MiB and "
            f"{NEEDED_IN_USE / 2**20:.0f} MiB are needed before any image is read; raise it "
            "(SLURM --mem, docker --memory, systemd MemoryMax)",
            EXIT_FAILED,
        )
    try:
        import resource
    except ImportError:  # no such limit on this system
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit in (resource.RLIM_INFINITY, -1) or limit >= NEEDED:
        return
    fail(
        f"the memory limit of this shell (ulimit -v) is {limit / 2**30:.1f} GiB of address space and "
        f"{NEEDED / 2**30:.0f} GiB are needed; raise it with ulimit -v, or "
        "limit the memory in use with a cgroup (systemd-run, SLURM --mem)",
        EXIT_FAILED,
    )


def end_imports() -> None:
    """Collect garbage as usual again, but never go through what was imported.

    Without `begin_imports`, do nothing.
    """
    if gc.get_threshold() == _ROOMY:
        gc.freeze()
        atexit.register(gc.unfreeze)  # extension modules complain of what is still alive when Python ends
        gc.set_threshold(*_usual)


class Terminated(SystemExit):
    """SIGTERM arrived. Not an Exception, so that nothing which isolates failures can swallow it."""


class Group(TyperGroup):
    """A group that shows its help when called without a command (exit code 2)."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show the help when nothing at all is given."""
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            text = ctx.get_help()
            if text:
                typer.echo(text)
            raise typer.Exit(EXIT_USAGE)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find a command; for an unknown name suggest the nearest, which older versions of Typer do not."""
        try:
            return super().resolve_command(ctx, args)
        except _ParserError as error:
            message = str(getattr(error, "message", error))
            if args[0] not in self.list_commands(ctx) and "Did you mean" not in message:
                vars(error)["message"] = message.rstrip(".") + nearest(args[0], self.list_commands(ctx))
            raise


class LazyGroup(Group):
    """A group whose commands are imported when they are needed.

    Parameters
    ----------
    name, help : str
        As the group shows up in its parent's help.
    target : str
        ``module:attribute`` of the Typer app that holds the commands.
    """

    def __init__(self, name: str, target: str, help: str):
        super().__init__(name=name, help=help, rich_markup_mode=DEFAULT_MARKUP_MODE)
        self._target = target
        self._loaded = False

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Load, then parse as usual."""
        self._load()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the commands' names in the order of their definition."""
        self._load()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None."""
        self._load()
        return super().get_command(ctx, cmd_name)

    def _load(self) -> None:
        if self._loaded:
            return
        module, _, attribute = self._target.partition(":")
        loaded: Any = typer.main.get_command(getattr(importlib.import_module(module), attribute))
        self.commands = loaded.commands
        self.callback, self.params = loaded.callback, loaded.params
        self.invoke_without_command = loaded.invoke_without_command
        self._loaded = True


class Root(Group):
    """The outermost group: turns everything that can go wrong into one line on stderr and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line and exit with the code that the command returns or its error carries."""
        extra.setdefault("obj", {ARGV: ["cellscope", *(sys.argv[1:] if args is None else args)]})
        try:
            code = super().main(
                args=args,
                prog_name=prog_name or "cellscope",
                complete_var=complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
            sys.stdout.flush()
        except Terminated:
            fail("terminated", EXIT_TERMINATED)
        except (KeyboardInterrupt, typer.Abort):
            fail("interrupted", EXIT_INTERRUPTED)
        except CellscopeError as error:
            fail(error, error.exit_code)
        except _ParserError as error:
            fail(_parser_message(error), getattr(error, "exit_code", EXIT_USAGE))
        except OSError as error:
            if error.errno != errno.EPIPE:
                fail(_unexpected(error), EXIT_FAILED)
            # The reader of the pipe is gone: no message, and none from the interpreter's own flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(EXIT_FAILED)
        except Exception as error:
            fail(_unexpected(error), EXIT_FAILED)
        if code == EXIT_INTERRUPTED:  # Typer turns Ctrl-C into this exit code and says nothing
            fail("interrupted", EXIT_INTERRUPTED)
        if not standalone_mode:
            return code
        sys.exit(code if isinstance(code, int) else 0)


def fail(error: BaseException | str, code: int) -> NoReturn:
    """Print one line on stderr, after the traceback if ``CELLSCOPE_DEBUG=1`` and there is one, and exit."""
    if os.environ.get("CELLSCOPE_DEBUG") == "1" and sys.exc_info()[0] is not None:
        traceback.print_exc()
    typer.echo(f"error: {as_line(str(error))}", err=True)
    sys.exit(code)


def _unexpected(error: Exception) -> str:
    text = f"unexpected {type(error).__name__}: {error}" if str(error) else f"unexpected {type(error).__name__}"
    return f"{text}; set CELLSCOPE_DEBUG=1 for the traceback"


def _parser_message(error: Any) -> str:
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{message[:1].lower()}{message[1:]}; see `{context.command_path} --help`" if context else message
