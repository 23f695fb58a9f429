"""What an assay reads: which files, what they can be taken for, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cellscope.engine.subject import Subject
from cellscope.io.choice import Choice, Wants

if TYPE_CHECKING:
    from pathlib import Path

    from cellscope.io.inputs import Input


@dataclass(frozen=True)
class InputSpec:
    """The inputs of an assay; ``read`` and ``load`` alone open files, through `cellscope.io`, in a reading thread.

    Attributes
    ----------
    kinds
        What an input can be taken for.
    suffixes
        File suffixes the assay reads, lower case, with the dot.
    kind_of
        ``kind_of(image)`` -> the one of ``kinds`` it looks like; not asked where ``--input`` names a kind.
    wants
        What the assay needs of a file with several planes.
    admit
        ``admit(image, kind)`` raises InputError where an image lacks what its kind needs, guessed or asked for.
    read
        ``read(path, choice, max_pixels, options)`` -> what a subject's ``image`` is, for an assay whose inputs are not
        plain images; None for `cellscope.io.read.read`. It goes through `cellscope.io`, must be picklable, and is a
        frozen dataclass with the fields of `cellscope.io.image.Image` besides ``pixels``. InputError fails the input.
    beside
        ``beside(entry, options)`` -> label images to read beside an input into ``subject.beside``, by name: a mask that
        another tool made. It looks for files but opens none. Raises InputError where one is missing.
    load
        ``load(subject, max_pixels)`` reads into ``subject.state`` what else the stages need of files: the frames of a
        movie, regions. Called in a reading thread, ahead of the stages; with ``read`` and ``read_options`` the only
        function that opens files. InputError fails the input.
    kind_of_item
        ``kind_of_item(row)`` -> the one of ``kinds`` that an item of a prepared dataset is, where ``items.csv`` tells;
        None leaves it to ``kind_of``.
    """

    kinds: tuple[str, ...]
    suffixes: frozenset[str]
    kind_of: Callable[[Any], str]
    wants: Wants = Wants.ANY
    admit: Callable[[Any, str], None] | None = None
    read: Callable[[Path, Choice, int, Any], Any] | None = None
    beside: Callable[[Input, Any], Mapping[str, Path]] | None = None
    load: Callable[[Subject, int], None] | None = None
    kind_of_item: Callable[[Any], str] | None = None
