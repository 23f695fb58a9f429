"""The two classes of a cell, and the two kinds of image (no heavy import here)."""

from __future__ import annotations

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


def parse_class(text: str) -> str | None:
    """Read a class from a folder name or a table cell; None when it is neither of the two.

    >>> parse_class("MN"), parse_class("Normal cells"), parse_class("mitosis")
    ('micronucleus', 'normal', None)
    """
    return _CLASS_OF.get(text.strip().lower().replace(" ", "").replace("_", "").replace("-", ""))
