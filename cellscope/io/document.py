"""JSON files that people may have edited."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cellscope.errors import UsageError
from cellscope.io.text import one_line


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
