"""What of an output file must stay the same: its bytes, less what no two runs share.

Taken out, and nothing else:

- times of day (ISO 8601 with an offset or ``Z``) in JSON and HTML;
- ``seconds`` and ``..._seconds`` in JSON and in lists of HTML, the column ``seconds`` of CSV files and tables of HTML;
- the paths of the checkout and of the folder of the recording, and cellscope's own version, in JSON and HTML;
- the SHA-256 of a built-in model in JSON and HTML: its name stands for it. Weights are recorded apart, without what the
  file says about itself, so that a line more in a model's card is no difference in every file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|Z)")
SECONDS = re.compile(r'("(?:\w+_)?seconds": )[-\d.e]+')
TERM = re.compile(r"(<dt>(?:\w+_)?seconds</dt>\s*)<dd>[-\d.e]+</dd>")
FIELD = re.compile(r'("(?:[^"]|"")*"|[^,\r\n]*)(,|\r?\n|\Z)')
TABLE = re.compile(r"<table.*?</table>", re.DOTALL)
ROW = re.compile(r"<tr.*?</tr>", re.DOTALL)
CELL = re.compile(r"(<t[hd][^>]*>)(.*?)(</t[hd]>)", re.DOTALL)
SECTION = re.compile(r'(?=<section[^>]* id="([^"]*)")')


def digest(content: bytes | str) -> str:
    """Return the SHA-256 of bytes or text."""
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def of_weights(path: Path) -> str:
    """Return the SHA-256 of the tensors of a safetensors file and of what says where they are."""
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    return digest(json.dumps(header, sort_keys=True).encode() + content[start:])


class Hashes:
    """Hashes files of one recording.

    Parameters
    ----------
    constant : mapping
        Text -> what stands for it in JSON and HTML.
    """

    def __init__(self, constant: Mapping[str, str]):
        self.constant = dict(sorted(constant.items(), key=lambda pair: -len(pair[0])))
        self.pattern = re.compile("|".join(map(re.escape, self.constant)))

    def of_file(self, path: Path) -> dict[str, str]:
        """Return the hash of a file, as ``""``, and, of those that can be taken apart, of its parts.

        Parts are the columns of a CSV file, the keys of a JSON object and the sections of an HTML page.
        """
        content = path.read_bytes()
        clean = CLEAN.get(path.suffix)
        if clean is None:
            return {"": digest(content)}
        text, parts = clean(content.decode("utf-8"), self.plain)
        return {"": digest(text)} | {name: digest(part)[:16] for name, part in parts.items()}

    def plain(self, text: str) -> str:
        """Take times of day, paths and versions out of text."""
        return TIME.sub("TIME", self.pattern.sub(lambda found: self.constant[found.group()], text))


Cleaned = tuple[str, dict[str, str]]


def _json(text: str, plain: Callable[[str], str]) -> Cleaned:
    text = SECONDS.sub(r"\g<1>0", plain(text))
    found = json.loads(text)
    keys = found if isinstance(found, dict) else {}
    return text, {key: json.dumps(value) for key, value in keys.items()} if len(keys) > 1 else {}


def _csv(text: str, plain: Callable[[str], str]) -> Cleaned:
    rows: list[list[list[str]]] = [[]]
    for match in FIELD.finditer(text):
        rows[-1].append([match[1], match[2]])
        if match[2] != ",":
            rows.append([])
    header = [field for field, _ in rows[0]]
    for row in rows[1:]:
        for name, cell in zip(header, row, strict=False):
            if name == "seconds":
                cell[0] = "0" if cell[0] else ""
    parts = {name: "\n".join(row[column][0] for row in rows if column < len(row)) for column, name in enumerate(header)}
    return "".join(field + end for row in rows for field, end in row), parts


def _html(text: str, plain: Callable[[str], str]) -> Cleaned:
    text = TERM.sub(r"\g<1><dd>0</dd>", SECONDS.sub(r"\g<1>0", plain(text)))
    text = TABLE.sub(_without_seconds, text)
    pieces = SECTION.split(text)
    sections = dict(zip(["head", *pieces[1::2]], pieces[::2], strict=True))
    return text, {f"#{name}": part for name, part in sections.items()}


def _without_seconds(table: re.Match[str]) -> str:
    head = ROW.search(table.group())
    names = [re.sub(r"<[^>]*>", "", cell[2]).strip() for cell in CELL.finditer(head.group())] if head else []
    if "seconds" not in names:
        return table.group()
    column = names.index("seconds")

    def without(row: re.Match[str]) -> str:
        cells = list(CELL.finditer(row.group()))
        if column >= len(cells) or cells[column][2].strip() in ("", "seconds"):
            return row.group()
        start, end = cells[column].span()  # with its attributes, which hold the value in full
        return f"{row.group()[:start]}<td>0</td>{row.group()[end:]}"

    return ROW.sub(without, table.group())


CLEAN: dict[str, Callable[[str, Callable[[str], str]], Cleaned]] = {
    ".json": _json,
    ".geojson": _json,
    ".csv": _csv,
    ".html": _html,
}
