"""The two classes of a cell, and the two kinds of image (no heavy import here)."""

from __future__ import annotations

import re

NORMAL, MICRONUCLEUS = "normal", "micronucleus"
CLASSES = (NORMAL, MICRONUCLEUS)

FIELD, CROP = "field", "crop"
KINDS = (FIELD, CROP)

#: What people write in folder names and tables, in lower case without separators -> class.
_SPELLINGS = {
    NORMAL: ("normal", "normalcell", "normalcells", "negative", "neg", "nomn", "0", "false", "nomicronucleus"),
    MICRONUCLEUS: (
        "micronucleus", "micronuclei", "micronucleated", "micronucleuscell", "micronucleuscells", "mn", "mn+",
        "positive", "pos", "1", "true",
    ),
}  # fmt: skip
_CLASS_OF = {word: name for name, words in _SPELLINGS.items() for word in words}


_NEGATIONS = {"no", "non", "not", "without", "negative", "neg", "minus", "free", "false"}
_PLAIN = {"normal", "cell", "cells", "nucleus", "nuclei", "interphase"}


def parse_class(text: str) -> str | None:
    """Read a class from a folder name or a table cell; None when it is neither of the two.

    >>> parse_class("MN"), parse_class("Normal cells"), parse_class("mitosis")
    ('micronucleus', 'normal', None)
    >>> parse_class("MN positive"), parse_class("MN-"), parse_class("nuclear bud")
    ('micronucleus', 'normal', None)
    """
    lower = text.strip().lower()
    sign = lower[-1:] if lower[-1:] in "+-" else ""
    words = re.findall("[a-z]+|[0-9]+", lower)
    if sign != "-" and (known := _CLASS_OF.get("".join(words) + sign) or _CLASS_OF.get("".join(words))):
        return known
    if any("micronucle" in word or word in ("mn", "mni") for word in words):
        return NORMAL if sign == "-" or _NEGATIONS & set(words) else MICRONUCLEUS
    return NORMAL if "normal" in words and set(words) <= _PLAIN else None
