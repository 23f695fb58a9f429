"""Which image a name in an annotation means: other machines' folders, case, suffixes; never one outside the source."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from cellscope.errors import DatasetError
from cellscope.io.text import one_line


def plain(name: str) -> PurePosixPath:
    r"""Give a stated path with ``/`` between its parts, without drive, root, ``.`` and ``..``.

    >>> plain("D:\\data\\a.tif"), plain("../x/./b.png")
    (PurePosixPath('data/a.tif'), PurePosixPath('x/b.png'))
    """
    parts = name.replace("\\", "/").split("/")
    kept = [part for part in parts if part not in ("", ".", "..") and not (len(part) == 2 and part[1] == ":")]
    return PurePosixPath(*kept)


def key(name: str) -> str:
    """Give what names are compared by: composed, in lower case."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class Images:
    """The images of a source, found by what annotations call them.

    A name is compared as it stands, then without case, then without its suffix; each time with as many of its folders
    as fit. The first comparison that fits any image decides, and it must fit one only.

    Parameters
    ----------
    folder : Path
        The source.
    files : iterable of Path
        Its images.
    """

    def __init__(self, folder: Path, files: Iterable[Path]):
        self.folder = folder
        self.files = sorted(files)
        self._named: set[Path] = set()
        self._tables: list[dict[str, list[Path]]] = []
        for form in _FORMS:
            table: dict[str, list[Path]] = {}
            for path in self.files:
                # "images/a.png" is "a.png" for a file beside that folder
                for place in _endings(PurePosixPath(path.relative_to(folder).as_posix())):
                    table.setdefault(form(place), []).append(path)
            self._tables.append(table)

    def find(self, name: str, source: Path) -> Path:
        """Find the image that an annotation file names.

        Raises
        ------
        DatasetError
            If there is none, or several fit.
        """
        shown = f"{one_line(source)} names {one_line(name)}"
        stated = plain(name)
        if not stated.parts:
            raise DatasetError(f"{one_line(source)} names an image without a name")
        for form, table in zip(_FORMS, self._tables, strict=True):
            found = next((table[form(place)] for place in _endings(stated) if form(place) in table), [])
            if len(found) > 1:
                listed = ", ".join(one_line(path.relative_to(self.folder).as_posix()) for path in found[:3])
                raise DatasetError(f"{shown}, which can be several images ({listed}); keep one, or name its folder")
            for path in found:
                self._named.add(path)
                return path
        raise DatasetError(f"{shown}, which is not in {one_line(self.folder)}")

    @property
    def unnamed(self) -> list[Path]:
        """The images that no annotation has named so far, in the source's folders of those that one has."""
        folders = set(map(self._top, self._named))
        return [path for path in self.files if path not in self._named and self._top(path) in folders]

    def _top(self, path: Path) -> str:
        parts = path.relative_to(self.folder).parts
        return parts[0] if len(parts) > 1 else ""


def _endings(path: PurePosixPath) -> list[PurePosixPath]:
    """List a path with all of its folders, with one less, and so on."""
    return [PurePosixPath(*path.parts[start:]) for start in range(len(path.parts))]


_FORMS: tuple[Callable[[PurePosixPath], str], ...] = (
    lambda path: path.as_posix(),
    lambda path: key(path.as_posix()),
    lambda path: key(path.with_suffix("").as_posix()),
)
