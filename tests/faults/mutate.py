"""Damage to files: of bytes, of text, of the values of JSON, inside compression too."""

from __future__ import annotations

import gzip
import io
import json
import random
import re
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

NUMBERS = (
    b"0", b"-1", b"1e9", b"-1e9", b"1e308", b"1e999", b"nan", b"Infinity", b"2147483648", b"1048576", b"-2147483649",
    b"18446744073709551616", b"9" * 400, b"0.1", b"1,5", b"",
)  # fmt: skip
"""What a number of a text file is replaced by."""

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**20, 2**31, 2**63, 2**70, 1e9, 1e308, -1e308, float("nan"), float("inf"), "", "x",
    "\x00", "\ud800", "../../../etc/passwd", "/etc/passwd", "=1+1", [], {}, [[]], [[[]]], [None], {"a": None},
    "0" * 5000, "<script>alert(1)</script>", [1, 2], [[1, 2], [3, 4]], ["a"],
)  # fmt: skip
"""What a value of a JSON file is replaced by."""

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutate(data: bytes, random_: random.Random) -> bytes:
    """Damage a file in one of many ways, one to four times."""
    kinds = _kinds(data)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        data = random_.choice(kinds)(data, random_)
    return data


def _kinds(data: bytes) -> list[Callable[[bytes, random.Random], bytes]]:
    plain = [_flip, _flip, _integer, _integer, _cut, _remove, _repeat, _shuffle, _fill]
    if data[:2] == b"\x1f\x8b":
        return [*plain, *[_inside_gzip] * 12]
    if data[:2] == b"PK":
        return [*plain, *[_inside_zip] * 12]
    try:
        data.decode()
    except ValueError:
        return plain
    text = [_number] * 6 + [_line, _line, _encode, _markup]
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return plain + text
    return [_flip, _cut, _encode, _number, _number, _deep, *[_value] * 12]


def _place(data: bytes, random_: random.Random) -> int:
    """Choose a place; headers lie at the beginning, directories at the end."""
    share = random_.choice((random_.random(), random_.random() ** 4, 1 - random_.random() ** 4))
    return min(int(share * len(data)), max(len(data) - 1, 0))


def _flip(data: bytes, random_: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(random_.choice((1, 1, 2, 8, 64))):
        if changed:
            changed[_place(data, random_)] ^= 1 << random_.randrange(8)
    return bytes(changed)


def _integer(data: bytes, random_: random.Random) -> bytes:
    size, order = random_.choice((1, 2, 4, 4, 8)), random_.choice(("little", "big"))
    at = _place(data, random_) // size * size
    number = random_.choice((*_INTEGERS, random_.randrange(2**32), len(data), 2**40, 2**63))
    return data[:at] + (number % 2 ** (8 * size)).to_bytes(size, order) + data[at + size :]  # type: ignore[arg-type]


def _cut(data: bytes, random_: random.Random) -> bytes:
    return data[: _place(data, random_)]


def _remove(data: bytes, random_: random.Random) -> bytes:
    at = _place(data, random_)
    return data[:at] + data[at + random_.choice((1, 2, 4, 16, 512)) :]


def _repeat(data: bytes, random_: random.Random) -> bytes:
    at, size = _place(data, random_), random_.choice((1, 4, 16, 512))
    return data[: at + size] + data[at : at + size] * random_.choice((1, 2, 100)) + data[at + size :]


def _shuffle(data: bytes, random_: random.Random) -> bytes:
    one, two, size = _place(data, random_), _place(data, random_), random_.choice((4, 12, 64))
    changed = bytearray(data)
    changed[one : one + size] = data[two : two + size]
    return bytes(changed)


def _fill(data: bytes, random_: random.Random) -> bytes:
    at, size = _place(data, random_), random_.choice((4, 64, 1024))
    return data[:at] + bytes([random_.choice((0, 0xFF, 0x20))]) * size + data[at + size :]


def _number(data: bytes, random_: random.Random) -> bytes:
    found = list(_NUMBER.finditer(data[: 2**20]))
    if not found:
        return _flip(data, random_)
    one = random_.choice(found)
    return data[: one.start()] + random_.choice(NUMBERS) + data[one.end() :]


def _line(data: bytes, random_: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = random_.randrange(len(lines))
    lines[at : at + 1] = random_.choice(
        ([], [lines[at]] * 2, [lines[at] + b",x"], [lines[at].replace(b",", b";")], [b'"' + lines[at]], [b"\x00"])
    )
    return b"\n".join(lines)


def _encode(data: bytes, random_: random.Random) -> bytes:
    text = data.decode(errors="replace")
    return text.encode(random_.choice(("utf-16", "utf-32", "utf-8-sig", "utf-16-le")), "replace")


def _markup(data: bytes, random_: random.Random) -> bytes:
    places = [match.span() for match in re.finditer(rb"<[^>]*>|\"[^\"]*\"", data[: 2**20])]
    if not places:
        return _flip(data, random_)
    start, end = random_.choice(places)
    return data[:start] + random_.choice((b"", data[start:end] * 2, b"<a>" * 5000, b"&lol;", b'""')) + data[end:]


def _deep(data: bytes, random_: random.Random) -> bytes:
    depth = random_.choice((500, 5000, 200_000))
    opened, closed = random_.choice(((b"[", b"]"), (b'{"a":', b"}")))
    return _put(data, random_, opened * depth + b"1" + closed * depth)


def _put(data: bytes, random_: random.Random, deep: bytes) -> bytes:
    if random_.random() < 0.3:
        return deep
    found = list(_NUMBER.finditer(data[: 2**20]))
    if not found:
        return deep
    one = random_.choice(found)
    return data[: one.start()] + deep + data[one.end() :]


def _value(data: bytes, random_: random.Random) -> bytes:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return _flip(data, random_)
    holders: list[tuple[Any, Any]] = []

    def list_places(value: Any, depth: int = 0) -> None:
        if depth > 50:
            return
        keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        for key in keys:
            holders.append((value, key))
            list_places(value[key], depth + 1)

    list_places(content)
    if not holders:
        return json.dumps(random_.choice(VALUES)).encode()
    holder, key = random_.choice(holders)
    if random_.random() < 0.2:
        del holder[key]
    elif isinstance(holder, dict) and random_.random() < 0.1:
        holder[random_.choice(("a", "", "id", "size"))] = holder.pop(key)
    else:
        holder[key] = random_.choice((*VALUES, holder, random_.choice(holders)[0]))
    try:
        return json.dumps(content).encode()
    except (ValueError, RecursionError):  # it now holds itself
        return _flip(data, random_)


def _inside_gzip(data: bytes, random_: random.Random) -> bytes:
    try:
        return gzip.compress(mutate(gzip.decompress(data), random_), 1)
    except (OSError, EOFError, zlib.error):
        return _flip(data, random_)


def _inside_zip(data: bytes, random_: random.Random) -> bytes:
    made = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
            names = old.namelist()
            chosen = random_.choice(names)
            for name in names:
                content = old.read(name)
                odd = random_.random() < 0.1
                new.writestr(
                    f"../{name}" if name == chosen and odd else name,
                    mutate(content, random_) if name == chosen else content,
                )
    except (OSError, ValueError, IndexError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error):
        return _flip(data, random_)
    return made.getvalue()
