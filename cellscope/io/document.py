"""JSON files that people may have edited."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.errors import UsageError
from cellscope.io.text import one_line

if TYPE_CHECKING:
    from pydantic import ValidationError


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file, UTF-8 with or without a mark.

    Raises
    ------
    UsageError
        It cannot be read, or is not JSON: one line that says where.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{one_line(str(path))} cannot be read: {error.strerror or error}") from None
    except RecursionError:
        raise UsageError(f"{one_line(str(path))} is nested too deep") from None
    except ValueError as error:
        raise UsageError(f"{one_line(str(path))} is not JSON: {one_line(str(error))}") from None


def misfit(error: ValidationError) -> str:
    """Say in one line what pydantic found wrong first, and where."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    said = first["msg"][:1].lower() + first["msg"][1:]
    return one_line(f"{place}: {said}" if place else said)
