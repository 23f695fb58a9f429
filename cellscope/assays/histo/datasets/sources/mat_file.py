"""MATLAB files of version 5, looked through before SciPy's C code sees them: it trusts what their elements say.

The layout is that of MathWorks, "MAT-File Format", chapter 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection
from pathlib import Path

from cellscope.errors import DatasetError

_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Types of elements that hold numbers -> bytes of each."""
_CLASSES = range(6, 16)
"""Classes of matrices that hold numbers: double to uint64."""
_COMPLEX = 0x800
MOST_BYTES = 2**31


class _Fault(Exception):
    """What is wrong with an element."""


def check_matrices(path: Path, names: Collection[str]) -> None:
    """Check the variables of these names: matrices of numbers whose elements are as long as their sizes say.

    Raises
    ------
    DatasetError
        One is something else, or the file is damaged.
    """
    data = path.read_bytes()
    mark = data[126:128]
    if len(data) < 128 or mark not in (b"IM", b"MI"):
        return  # of version 4, or none: SciPy says it, in Python
    order = "<" if mark == b"IM" else ">"
    at = 128
    try:
        while at + 8 <= len(data):
            kind, size = struct.unpack_from(f"{order}II", data, at)
            content = data[at + 8 : at + 8 + size]
            if len(content) < size:
                raise _Fault("the file is cut short")
            if kind == _COMPRESSED:
                packed = zlib.decompressobj()
                content = packed.decompress(content, MOST_BYTES)
                kind, inner = struct.unpack_from(f"{order}II", content, 0)
                content = content[8 : 8 + inner]
            if kind == _MATRIX:
                _check_matrix(content, order, names)
            at += 8 + size
    except (_Fault, struct.error, zlib.error, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as a MATLAB file ({error}); download it again") from None


def _element(content: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Give an element's type, what it holds, and where the next one begins."""
    (first,) = struct.unpack_from(f"{order}I", content, at)
    if first >> 16:  # a small one: its size beside its type
        kind, size, start, after = first & 0xFFFF, first >> 16, at + 4, at + 8
        if size > 4:
            raise _Fault("an element is longer than it can be")
    else:
        kind, (size,), start = first, struct.unpack_from(f"{order}I", content, at + 4), at + 8
        after = start + -(-size // 8) * 8
    if len(content) < start + size:
        raise _Fault("an element ends after the file does")
    return kind, content[start : start + size], after


def _check_matrix(content: bytes, order: str, names: Collection[str]) -> None:
    _, flags, at = _element(content, 0, order)
    kind, sizes, at = _element(content, at, order)
    _, name, at = _element(content, at, order)
    called = name.decode("latin-1")
    if called not in names:
        return  # it is not read
    (flag,) = struct.unpack_from(f"{order}I", flags, 0)
    if flag & 0xFF not in _CLASSES or flag & _COMPLEX:
        raise _Fault(f"{called} is not a matrix of real numbers")
    if kind != 5 or len(sizes) % 4:
        raise _Fault(f"{called} has no sizes")
    total = 1
    for side in struct.unpack(f"{order}{len(sizes) // 4}i", sizes):
        total *= side
        if side < 0:
            raise _Fault(f"{called} has a negative size")
    kind, numbers, _ = _element(content, at, order)
    if kind not in _NUMBERS or len(numbers) != total * _NUMBERS[kind]:
        raise _Fault(f"{called} does not hold {total} numbers")
