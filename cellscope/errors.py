"""Every error a user can meet: one line of text and the exit code that goes with it.

The tree is flat on purpose. A message says what went wrong, with which file, and what to do about it; the command
line prints that line and nothing else, unless ``CELLSCOPE_DEBUG=1`` asks for the traceback.
"""

from __future__ import annotations

import os
import sys
import traceback

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_PARTIAL = 3
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143

LONGEST = 1500
"""Characters of a message; those of ordinary files have some hundred."""


class CellscopeError(Exception):
    """Something failed while work was under way (exit code 1)."""

    exit_code = EXIT_FAILED


class UsageError(CellscopeError):
    """The command, an option, the configuration or the set of inputs is wrong; nothing was done (exit code 2)."""

    exit_code = EXIT_USAGE


class ModelError(UsageError):
    """A model file is not what it should be: wrong assay, part, format version, hash or tensors (exit code 2)."""


class DatasetError(UsageError):
    """A prepared dataset, or a source given to ``prepare``, is not what it should be (exit code 2)."""


class InputError(CellscopeError):
    """One input cannot be used. The run goes on with the others and this one is reported as failed."""


class Interrupted(CellscopeError):
    """A signal stopped the run after what was done had been saved (exit code 130 or 143)."""

    def __init__(self, message: str, exit_code: int = EXIT_INTERRUPTED):
        super().__init__(message)
        self.exit_code = exit_code


def as_line(text: str) -> str:
    """Return a message as one line; its middle is left out above `LONGEST`, where a damaged file has long values."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 300]} ... {line[-290:]}"


def error_line(error: BaseException) -> str:
    """Return an error as one line (`as_line`): our own as they are, others with their type."""
    text = as_line(str(error))
    if isinstance(error, CellscopeError):
        return text
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "not enough memory for this input; try a smaller --batch-size or a smaller image"
    return f"unexpected {type(error).__name__}: {text[:300]} (CELLSCOPE_DEBUG=1 shows where)"


def show_traceback(error: BaseException) -> None:
    """Print where a failure that was isolated came from, if ``CELLSCOPE_DEBUG=1`` asks for it."""
    if os.environ.get("CELLSCOPE_DEBUG") == "1":
        traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
