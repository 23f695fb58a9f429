"""One self-contained HTML page from cards, tables and facts.

The page loads nothing: style, script and pictures are inside it, and its Content-Security-Policy forbids everything
else. All text that comes from outside (file names above all) is escaped by the template engine.
"""

from __future__ import annotations

import base64
import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup, escape

import cellscope
from cellscope.errors import InputError
from cellscope.io.write import write_text
from cellscope.report.gallery import Gallery
from cellscope.report.thumbnails import Thumbnail, thumbnail
from cellscope.report.values import format_value, is_missing, label_of, tree_node
from cellscope.report.widget import Widget

PAGE = 50
"""Cards shown at a time; the buttons above them turn the pages. On paper all are printed."""

FIRST = ("image", "label", "class", "score", "review", "reasons", "area", "area_um2")
"""What people look at first in a table of objects."""

FOLDED = re.compile(r"p_.+|bbox-\d")
"""Columns shown last, and only when asked for; the CSV keeps its order."""

PIECES = 1000
"""Pieces of the template's output that are handed on together."""

MAX_CELLS = 24_000
"""Cells shown of one table; longer ones are cut, with a note: browsers slow down, and the CSV holds all rows."""


@dataclass
class Card:
    """What the page shows of one image.

    Attributes
    ----------
    title : str
        Usually the `image` name. Cells of a table column called ``image`` with this text link to the card.
    figures : list of (caption, figure)
        A figure is the path of a picture file or an array; see `cellscope.report.thumbnails.to_display`.
    facts : list of (name, value)
    warnings : list of str
    anchor : str
        Fragment of the page's address; made unique. Empty: numbered.
    badge : str
        Few words beside the title, for what changes how the whole card is to be read.
    widget : Widget, optional
        Something to work with, below the figures.
    """

    title: str
    figures: list[tuple[str, Path | np.ndarray]] = field(default_factory=list)
    facts: list[tuple[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    anchor: str = ""
    badge: str = ""
    widget: Widget | None = None


@dataclass
class Table:
    """A table that can be sorted and filtered on the page.

    Attributes
    ----------
    title : str
    frame : DataFrame
        Columns in the order shown; the index is not shown. The first column heads the rows.
    note : str
        A line above the table.
    total : int, optional
        Rows that there are, where `frame` has some of them.
    """

    title: str
    frame: pd.DataFrame
    note: str = ""
    total: int | None = None


def write_report(
    path: Path,
    *,
    title: str,
    subtitle: str = "",
    summary: Sequence[tuple[str, Any]] = (),
    cards: Sequence[Card] = (),
    tables: Sequence[Table] = (),
    warnings: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    cards_title: str = "Image by image",
    gallery: Gallery | None = None,
) -> None:
    """Write the report page, in one piece or not at all.

    Parameters
    ----------
    path : Path
        The file to write. Figures given as files below its folder are also linked, for the full-size picture.
    title, subtitle : str
    summary : sequence of (name, value)
        Shown as large figures at the top.
    cards : sequence of Card
    tables : sequence of Table
        Cut at `MAX_CELLS` cells with a note.
    warnings : sequence of str
        About the run as a whole; the warnings of the cards are counted and reached from the top as well.
    provenance : mapping, optional
        Nested mappings and lists are shown as such; a list called ``argv`` is shown as a command.
    notes : sequence of str
        How to read the page: one paragraph each.
    cards_title : str
        Heading of the section that holds the cards.
    gallery : Gallery, optional
        Objects to accept or reject on the page; left out when it holds none.

    Notes
    -----
    The same arguments give the same bytes. A figure that cannot be read leaves its reason in its place.
    """
    pieces = _pieces(
        title=title,
        subtitle=subtitle,
        summary=summary,
        cards=cards,
        tables=tables,
        warnings=warnings,
        provenance=provenance or {},
        notes=notes,
        cards_title=cards_title,
        gallery=gallery,
        folder=Path(path).resolve().parent,
    )
    write_text(Path(path), pieces)


def render(**page: Any) -> str:
    """Return the page as text; the arguments are those of `write_report`, links are relative to `folder`."""
    return "".join(_pieces(**page))


def _pieces(
    *,
    title: str,
    subtitle: str = "",
    summary: Sequence[tuple[str, Any]] = (),
    cards: Sequence[Card] = (),
    tables: Sequence[Table] = (),
    warnings: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
    cards_title: str = "Image by image",
    gallery: Gallery | None = None,
    folder: Path | None = None,
) -> Iterator[str]:
    """Give the page piece by piece: with hundreds of pictures it is long, and nobody needs it in memory as a whole."""
    style, script, template = _parts()
    # Each widget's code is on the page once, however many cards have one.
    codes = list({card.widget.package: card.widget.code for card in cards if card.widget is not None}.values())
    style = "\n".join([style, *(code.style for code in codes)])
    script = "\n".join([script, *(code.script for code in codes)])
    anchors = _anchors(cards)
    shown = _cards(cards, anchors, folder)
    links = dict(zip((card.title for card in cards), anchors, strict=True))
    pieces = template.stream(
        title=title,
        subtitle=subtitle,
        summary=[(name, format_value(value)) for name, value in summary],
        cards=shown,
        cards_title=cards_title,
        gallery=gallery if gallery is not None and gallery.cells else None,
        layout=_layout(shown),
        flagged=sum(bool(card["warnings"]) for card in shown),
        page=PAGE,
        tables=[_table(table, links) for table in tables],
        warnings=list(warnings),
        notes=list(notes),
        provenance=[tree_node(name, value) for name, value in (provenance or {}).items()],
        version=cellscope.__version__,
        style=Markup(style),  # our own files, not data
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
    )
    pieces.enable_buffering(PIECES)
    # File names that are not valid UTF-8 carry lone surrogates, which no page can hold.
    return (piece.encode("utf-8", "replace").decode("utf-8") for piece in pieces)


@lru_cache(maxsize=1)
def _parts() -> tuple[str, str, jinja2.Template]:
    here = Path(__file__).parent
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(here),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    style, script = ((here / name).read_text(encoding="utf-8").strip() for name in ("style.css", "script.js"))
    return style, script, environment.get_template("template.html.j2")


def _hash(text: str) -> str:
    """Return the source expression that lets exactly this inline text through the page's policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _anchors(cards: Sequence[Card]) -> list[str]:
    """Return one valid, unique fragment per card."""
    used: set[str] = set()
    result = []
    for number, card in enumerate(cards, 1):
        base = re.sub(r"[^A-Za-z0-9_-]+", "-", card.anchor).strip("-") or f"card-{number}"
        anchor, repeat = base, 1
        while anchor in used:
            repeat += 1
            anchor = f"{base}-{repeat}"
        used.add(anchor)
        result.append(anchor)
    return result


def _cards(cards: Sequence[Card], anchors: Sequence[str], folder: Path | None) -> list[dict[str, Any]]:
    flat = [figure for card in cards for _, figure in card.figures]
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        pictures = iter(list(pool.map(_picture, flat)))
    return [
        {
            "title": card.title,
            "badge": card.badge,
            "anchor": anchor,
            "figures": [
                {"caption": caption, "href": _href(figure, folder), **next(pictures)}
                for caption, figure in card.figures
            ],
            "facts": [(name, format_value(value)) for name, value in card.facts],
            "warnings": list(card.warnings),
            "widget": card.widget,
        }
        for card, anchor in zip(cards, anchors, strict=True)
    ]


def _picture(figure: Path | np.ndarray) -> dict[str, Any]:
    """Return the thumbnail, or why there is none: one bad picture must not cost the report."""
    try:
        return {"picture": thumbnail(figure), "problem": ""}
    except (InputError, OSError, ValueError) as error:
        return {"picture": None, "problem": str(error)}


def _href(figure: Path | np.ndarray, folder: Path | None) -> str:
    """Return the address of a figure's file relative to the page, or nothing when it lies elsewhere."""
    if isinstance(figure, np.ndarray) or folder is None:
        return ""
    try:
        relative = Path(figure).resolve().relative_to(folder)
    except ValueError:
        return ""
    return "./" + quote(os.fsencode(relative.as_posix()))


def _layout(cards: Sequence[Mapping[str, Any]]) -> str:
    """Choose how wide cards are from what is in them: crops are small, a metaphase and its karyogram take the page."""
    if any(card["widget"] for card in cards) or max((len(card["figures"]) for card in cards), default=0) > 1:
        return "wide"
    pictures: Iterable[Thumbnail] = (
        figure["picture"] for card in cards for figure in card["figures"] if figure["picture"]
    )
    return "small" if max((picture.width for picture in pictures), default=0) <= 320 else "medium"


def _table(table: Table, links: Mapping[str, str]) -> dict[str, Any]:
    empty = [str(name) for name in table.frame.columns if len(table.frame) and table.frame[name].isna().all()]
    frame = table.frame.drop(columns=empty)
    frame = frame.iloc[:, _in_order([str(name) for name in frame.columns])]
    total, width = frame.shape
    limit = max(1, MAX_CELLS // max(1, width))
    columns = [
        {
            "name": str(name),
            "label": label_of(str(name)),
            "numeric": pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype),
            "links": name == "image",
            "folded": bool(FOLDED.fullmatch(str(name))),
        }
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True)
    ]
    rows = [_row(values, columns, links) for values in frame.head(limit).itertuples(index=False, name=None)]
    return {
        "title": table.title,
        "note": table.note,
        "columns": columns,
        "rows": rows,
        "cut": len(rows) < total,
        "total": total if table.total is None else table.total,
        "empty": empty,
        "folded": sum(column["folded"] for column in columns),
    }


def _in_order(names: list[str]) -> list[int]:
    """Order the columns of a table: of objects what people look at first, and what is folded last."""
    first = [name for name in FIRST if name in names] if {"label", "class"} <= set(names) else []
    folded = [name for name in names if FOLDED.fullmatch(name)]
    ordered = [*first, *(name for name in names if name not in (*first, *folded)), *folded]
    return [names.index(name) for name in ordered]


def _row(values: Sequence[Any], columns: Sequence[Mapping[str, Any]], links: Mapping[str, str]) -> Markup:
    """Write the cells of a row. Tables have thousands, and the template's own loop takes five times as long."""
    cells = []
    for number, (value, column) in enumerate(zip(values, columns, strict=True)):
        text, exact, link = _cell(value, column, links)
        tag, scope = ("td", "") if number else ("th", ' scope="row"')
        if column["folded"]:
            kind = ' class="number fold"'
        elif column["numeric"]:
            kind = ' class="number"'
        else:
            kind = ' class="free"' if len(text) > 40 else ""
        data = f' data-v="{exact}"' if exact else ""
        shown = escape(text)
        if link:
            shown = Markup('<a href="#{}">{}</a>').format(link, shown)
        cells.append(f"<{tag}{scope}{kind}{data}>{shown}</{tag}>")
    return Markup("".join(cells))  # made of our own tags and of text that is escaped


def _cell(value: Any, column: Mapping[str, Any], links: Mapping[str, str]) -> tuple[str, str, str]:
    """Return (text, exact number when the text is rounded, anchor linked to)."""
    if is_missing(value):
        return "", "", ""
    text = format_value(value)
    rounded = isinstance(value, float | np.floating) and math.isfinite(value) and float(text) != float(value)
    return text, repr(float(value)) if rounded else "", links.get(text, "") if column["links"] else ""
