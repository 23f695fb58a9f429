"""Write what an assay made of one input, each payload by the suffix of its file: all of it or nothing."""

from __future__ import annotations

import errno
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cellscope.errors import CellscopeError
from cellscope.io.durable import settle
from cellscope.io.stream import Bands, Features, write_bands, write_features
from cellscope.io.write import atomic, write_json, write_labels, write_png, write_text

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def raise_if_full(error: Exception, out: Path) -> None:
    """Raise CellscopeError if there is no room left to write to `out`: that ends the run and not just one input."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in _FULL:
        raise CellscopeError(
            f"cannot write to {out}: {cause.strerror}; make room and run again with --skip-existing"
        ) from error


class Place:
    """A folder that must stay the folder it is while a run writes to it.

    One that is unmounted leaves an empty folder of the same name, and what is written there would be hidden beneath
    when it is mounted again.

    Parameters
    ----------
    path : Path
        A folder that is there.
    """

    def __init__(self, path: Path):
        self.path = path
        self._known = self._now()

    def _now(self) -> tuple[int, int] | None:
        try:
            facts = self.path.stat()
        except OSError:
            return None
        return facts.st_dev, facts.st_ino

    def check(self) -> None:
        """Raise CellscopeError if the folder is gone, or another one now."""
        if self._now() != self._known:
            raise CellscopeError(
                f"{self.path} is no longer the folder in which the run began (unmounted, moved or removed); bring it "
                "back and run again with --skip-existing"
            )


def write_artefacts(out: Path, stem: str, artefacts: Mapping[str, Any]) -> list[str]:
    """Write an input's artefacts to ``OUT/<stem><suffix>``.

    Parameters
    ----------
    out
        The output folder; sub-folders of `stem` are made.
    stem
        The input's name without its last suffix, POSIX.
    artefacts
        Suffix -> payload, see `cellscope.engine.assay.Result`.

    Returns
    -------
    list of str
        The files written, relative to `out`, POSIX, in the order of `artefacts`.

    Raises
    ------
    OSError, TypeError, ValueError
        A file could not be written, or not brought to the disk; those written for this input are removed again.
    """
    written: list[str] = []
    try:
        for suffix, payload in artefacts.items():
            name = f"{stem}{suffix}"
            path = out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, suffix, payload)
            written.append(name)
        settle([out / name for name in written])
    except BaseException:
        for name in written:
            (out / name).unlink(missing_ok=True)
        raise
    return written


def _write(path: Path, suffix: str, payload: Any) -> None:
    if isinstance(payload, Bands):
        write_bands(path, payload)
    elif isinstance(payload, Features):
        write_features(path, payload)
    elif suffix.endswith((".tif", ".tiff")):
        write_labels(path, payload)
    elif suffix.endswith(".png"):
        pixels, dpi = payload if isinstance(payload, tuple) else (payload, None)
        write_png(path, pixels, dpi=dpi)
    elif suffix.endswith(("json.gz",)):
        text = json.dumps(payload, allow_nan=False, separators=(",", ":"))
        # No time stamp: the same result is the same bytes.
        _write_bytes(path, gzip.compress(text.encode(), mtime=0))
    elif suffix.endswith("json"):
        write_json(path, payload)
    elif isinstance(payload, bytes):
        _write_bytes(path, payload)
    elif isinstance(payload, str):
        write_text(path, payload)
    else:
        raise TypeError(f"no way to write {type(payload).__name__} to a file ending in {suffix}")


def _write_bytes(path: Path, payload: bytes) -> None:
    with atomic(path) as temporary:
        Path(temporary).write_bytes(payload)
