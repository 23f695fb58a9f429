"""Arrays that do not fit into a share of memory lie in an unnamed file, of which the system reads what is used."""

from __future__ import annotations

import dataclasses
import mmap
import os
import tempfile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cellscope.errors import CellscopeError

T = TypeVar("T")

BLOCK = 2**28
"""Bytes of the file that are mapped at once: a system allows some ten thousand mappings, images may be more."""
LEAST = 1024
"""Smaller arrays stay in memory."""
ALIGNED = 64


class Pages:
    """Keeps arrays in memory up to a budget, and the others in a temporary file.

    Parameters
    ----------
    budget : int
        Bytes.
    folder : Path
        Where the file lies; it has no name there and is gone with the process, however that ends. Where the folder is
        not there yet, the nearest above it that is.

    Attributes
    ----------
    held, stored : int
        Bytes in memory and in the file.
    """

    def __init__(self, budget: int, folder: Path):
        self.budget, self.folder = budget, folder
        self.held = self.stored = 0
        self._file: Any = None
        self._block: mmap.mmap | None = None
        self._used = 0

    def keep(self, item: T) -> T:
        """Give an item whose arrays are kept: an array, or a dataclass, list, tuple or dict with arrays.

        Raises
        ------
        CellscopeError
            The disk is full.
        """
        found: Any = item
        if isinstance(item, np.ndarray):
            found = self._keep_array(item)
        elif dataclasses.is_dataclass(item) and not isinstance(item, type):
            kept = {
                field.name: self.keep(getattr(item, field.name)) for field in dataclasses.fields(item) if field.init
            }
            found = dataclasses.replace(item, **kept)
        elif isinstance(item, dict):
            found = {key: self.keep(value) for key, value in item.items()}
        elif type(item) in (list, tuple):
            found = type(item)(self.keep(value) for value in item)  # type: ignore[call-arg, attr-defined]
        return found

    def _keep_array(self, array: np.ndarray) -> np.ndarray:
        if self.held + array.nbytes <= self.budget or array.nbytes < LEAST or array.dtype.hasobject:
            self.held += array.nbytes
            return array
        try:
            place = self._place(array.nbytes)
        except OSError as error:
            raise CellscopeError(
                f"{self.folder} has no room for the training images that do not fit into memory ({error.strerror}); "
                "free space, or raise memory_share"
            ) from error
        stored = np.frombuffer(place, array.dtype, array.size).reshape(array.shape)
        stored[...] = array
        self.stored += array.nbytes
        return stored

    def _place(self, size: int) -> memoryview:
        """Give room in the file."""
        if self._file is None:
            there = next(folder for folder in (self.folder, *self.folder.resolve().parents) if folder.is_dir())
            self._file = tempfile.TemporaryFile(dir=there, prefix=".cellscope-")  # noqa: SIM115 - lives as long as this
        if self._block is None or self._used + size > len(self._block):
            length = max(BLOCK, -(-size // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY)
            start = self._file.seek(0, 2)
            _allocate(self._file, start, length)
            self._block, self._used = mmap.mmap(self._file.fileno(), length, offset=start), 0
        begin = self._used
        self._used += -(-size // ALIGNED) * ALIGNED
        return memoryview(self._block)[begin : begin + size]


def _allocate(file: Any, start: int, length: int) -> None:
    """Make a file longer, with room on the disk for all of it: a mapped page without would end the process (SIGBUS)."""
    file.truncate(start + length)
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), start, length)
