"""JSON and XML that other programs wrote: opened within bounds, whatever is wrong with it said in one line."""

from __future__ import annotations

import gzip
import json
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from cellscope.errors import DatasetError
from cellscope.io.text import one_line

MOST_BYTES = 2**31
"""Largest annotation file read, also after unpacking."""

_BLOCK = 2**20

_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def read_bytes(path: Path) -> bytes:
    """Read a file, unpacked where its name ends in ``.gz``.

    Raises
    ------
    DatasetError
        It cannot be read, is damaged, or too large.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetError(f"{one_line(path)}: the file is larger than {MOST_BYTES} bytes")
        if path.suffix.lower() != ".gz":
            return path.read_bytes()
        with gzip.open(path) as stream:
            data = _unpacked(stream, path)
    except (OSError, EOFError, zlib.error) as error:
        reason = one_line(getattr(error, "strerror", None) or str(error))
        raise DatasetError(f"{one_line(path)}: cannot be read ({reason}); copy or export it again") from error
    return data


def _unpacked(stream: gzip.GzipFile, path: Path) -> bytes:
    """Read in blocks: asked for all bytes at once, gzip takes memory for as many as it might be."""
    blocks, size = [], 0
    while block := stream.read(_BLOCK):
        blocks.append(block)
        size += len(block)
        if size > MOST_BYTES:
            raise DatasetError(f"{one_line(path)}: the file unpacks to more than {MOST_BYTES} bytes")
    return b"".join(blocks)


def read_text(path: Path) -> str:
    """Read a text file: UTF-8, with or without a byte order mark, or UTF-16 with one.

    Raises
    ------
    DatasetError
        As `read_bytes`, or the text is in another encoding.
    """
    data = read_bytes(path)
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{one_line(path)}: the text is not UTF-8 (byte {error.start}); save the file in the encoding UTF-8"
        ) from error


def parse_json(text: str, path: Path) -> Any:
    """Parse JSON; DatasetError says where it is broken, or that it is nested too deep."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as error:
        raise DatasetError(f"{one_line(path)}: the JSON is nested too deep to be an annotation") from error
    except ValueError as error:
        raise DatasetError(f"{one_line(path)}: is not JSON ({one_line(str(error))[:120]}); export it again") from error


def _no_constant(name: str) -> Any:
    """Keep NaN and Infinity, which JSON does not have, as numbers: the checks of coordinates name the object."""
    return float(name.replace("Infinity", "inf"))


@lru_cache(maxsize=4)
def _load(path: Path, _stamp: tuple[int, int]) -> Any:
    return parse_json(read_text(path), path)


def load_json(path: Path) -> Any:
    """Read a JSON file, which nobody may change: the last few are kept, since finding out the format reads them first.

    Raises
    ------
    DatasetError
        As `read_text` and `parse_json`.
    """
    try:
        facts = path.stat()
    except OSError as error:
        raise DatasetError(f"{one_line(path)}: cannot be read ({error.strerror or error})") from error
    return _load(path, (facts.st_mtime_ns, facts.st_size))


def load_xml(path: Path) -> ElementTree.Element:
    """Read an XML file; no external entity is followed.

    Raises
    ------
    DatasetError
        As `read_bytes`, or the XML is broken.
    """
    try:
        return ElementTree.fromstring(read_bytes(path))
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise DatasetError(
            f"{one_line(path)}: the XML cannot be parsed ({one_line(str(error))[:120]}); export or download it again"
        ) from error
