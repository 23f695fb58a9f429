"""Which file belongs to which image: masks, outlines, tables. One rule, and never a guess.

A partner has the image's name, without regard to case, or that name with an ending such as ``_mask``; it lies beside
the image, or in a folder such as ``masks`` that stands for the image's own (``images/day1/a.tif`` and
``masks/day1/a.png``, ``day1/images/a.tif`` and ``day1/masks/a.png``). Two files that fit are an error, and so is one
that fits two images. A file is never its own partner, and one that serves as a partner is no image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.names import key
from cellscope.io.annotations.tally import note
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES
from cellscope.io.text import one_line

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "original", "originals")
LOSSLESS = (".png", ".tif", ".tiff", ".npy")
"""Of two files of one name beside each other, the one of these kinds is the mask, if the other is of none of them."""


@dataclass(frozen=True)
class Rule:
    """What partners of one kind are called and where they lie.

    Attributes
    ----------
    what : str
        For messages: ``mask``.
    endings : tuple of str
        What may follow the image's name; ``""`` for the same name.
    folders : tuple of str
        Folders that may stand for the image's own.
    suffixes : tuple of str
        Lower case, with the dot.
    """

    what: str
    endings: tuple[str, ...]
    folders: tuple[str, ...]
    suffixes: tuple[str, ...]

    def stems(self, path: Path) -> dict[str, str]:
        """Give the image names that a file may belong to -> the ending that it has then; empty for another kind."""
        lower = path.name.lower()
        suffix = max((suffix for suffix in self.suffixes if lower.endswith(suffix)), key=len, default=None)
        if suffix is None:
            return {}
        found: dict[str, str] = {}
        for stem in reversed(_stems(path.name[: -len(suffix)])):  # the name as it stands has the last word
            fits = (ending for ending in self.endings if stem.lower().endswith(ending) and len(stem) > len(ending))
            found |= {key(name): ending for ending in fits for name in _stems(stem[: len(stem) - len(ending)])}
        return found

    def is_partner(self, path: Path, root: Path) -> bool:
        """Tell by name or folder that a file is a partner and no image."""
        folders = [part.lower() for part in path.relative_to(root).parts[:-1]]
        last = next((part for part in reversed(folders) if part in self.folders or part in IMAGE_FOLDERS), "")
        if last in self.folders:
            return True
        return last not in IMAGE_FOLDERS and any(ending for ending in self.stems(path).values())


def _stems(name: str) -> list[str]:
    """Give a name, and the name without what a program may have put behind it: ``.ome``, an image's own suffix.

    >>> _stems("a"), _stems("a.ome"), _stems("a.png")  # QuPath calls the outlines of a.png "a.png.geojson"
    (['a'], ['a.ome', 'a'], ['a.png', 'a'])
    """
    last = PurePosixPath(name).suffix.lower()
    return [name, name[: -len(last)]] if last and len(name) > len(last) and last in {".ome", *SUFFIXES} else [name]


def images_among(files: Iterable[Path], root: Path, rule: Rule) -> list[Path]:
    """List those files that are images: in ``images`` where there is such a folder, and no partners."""
    listed = [path for path in files if not rule.is_partner(path, root)]
    inner = [path for path in listed if _in_image_folder(path, root)]
    return inner or listed


def _in_image_folder(path: Path, root: Path) -> bool:
    return any(part.lower() in IMAGE_FOLDERS for part in path.relative_to(root).parts[:-1])


def folder_of(path: Path, root: Path, rule: Rule) -> PurePosixPath:
    """Give a file's folder without the folders that only say what kind it is."""
    said = {*IMAGE_FOLDERS, *rule.folders}
    return PurePosixPath(*(key(part) for part in path.relative_to(root).parts[:-1] if part.lower() not in said))


def pair(
    images: Collection[Path], files: Iterable[Path], root: Path, rule: Rule, *, flat: bool = False
) -> dict[Path, Path | None]:
    """Find every image's partner.

    Parameters
    ----------
    images : collection of Path
    files : iterable of Path
        Among which to look.
    root : Path
        The folder that all lie below.
    rule : Rule
    flat : bool
        A partner at the top may also belong to an image in a sub-folder, if no other image has that name.

    Returns
    -------
    dict
        Image -> partner, or None where there is none. Images that are another one's partner are not in it.

    Raises
    ------
    DatasetError
        If two files fit an image, or one fits two images.
    """
    table: dict[tuple[PurePosixPath, str], list[tuple[Path, str]]] = defaultdict(list)
    files = list(files)
    for path in files:
        for stem, ending in rule.stems(path).items():
            table[folder_of(path, root, rule), stem].append((path, ending))
    found: dict[Path, Path | None] = {}
    for image in images:
        named = {path: end for place in _keys(image, root, rule) for path, end in table[place]}
        fitting = [path for path, end in named.items() if _may_serve(path, end, image)]
        exact = [path for path in fitting if path.name.startswith(image.stem)]
        fitting = exact if exact and len(exact) < len(fitting) else fitting
        # Cellpose's own record lies beside every mask that was saved from it, and cannot be read
        fitting = [path for path in fitting if not path.name.lower().endswith("_seg.npy")] or fitting
        if len(fitting) > 1:
            raise DatasetError(
                f"{one_line(image)}: two files can be its {rule.what}, {_shown(fitting[0], root)} and "
                f"{_shown(fitting[1], root)}; remove or rename one"
            )
        found[image] = fitting[0] if fitting else None
    if flat:
        _take_flat(found, table, root)
    return _checked(found, files, root, rule)


def _keys(image: Path, root: Path, rule: Rule) -> list[tuple[PurePosixPath, str]]:
    return [(folder_of(image, root, rule), key(stem)) for stem in _stems(image.stem)]


def _may_serve(path: Path, ending: str, image: Path) -> bool:
    """Tell whether a file that fits by name may be an image's partner."""
    if path == image:
        return False
    if path.parent != image.parent or ending:
        return True
    own, other = path.suffix.lower(), image.suffix.lower()
    return own not in SUFFIXES or (own in LOSSLESS and other not in LOSSLESS)


def _take_flat(
    found: dict[Path, Path | None], table: dict[tuple[PurePosixPath, str], list[tuple[Path, str]]], root: Path
) -> None:
    alone: dict[str, list[Path]] = defaultdict(list)
    for image in found:
        alone[key(image.stem)].append(image)
    for image, partner in list(found.items()):
        fitting = table.get((PurePosixPath(), key(image.stem)), [])
        if partner is None and len(fitting) == 1:
            if len(alone[key(image.stem)]) > 1:
                names = " and ".join(_shown(one, root) for one in alone[key(image.stem)][:2])
                raise DatasetError(
                    f"{one_line(fitting[0][0])} can belong to several images of the same name ({names}); put it into a "
                    "sub-folder named as the image's"
                )
            found[image] = fitting[0][0]


def _checked(found: dict[Path, Path | None], files: list[Path], root: Path, rule: Rule) -> dict[Path, Path | None]:
    used: dict[Path, Path] = {}
    for image, partner in found.items():
        if partner is None:
            continue
        if partner in used:
            raise DatasetError(
                f"{one_line(partner)} would be the {rule.what} of two images, {_shown(used[partner], root)} and "
                f"{_shown(image, root)}; give each image a name of its own"
            )
        used[partner] = image
    kept = {image: partner for image, partner in found.items() if image not in used}
    unused = [path for path in files if path not in used and path not in kept and rule.is_partner(path, root)]
    if unused and used:
        note(f"{len(unused)} files belong to no image and are left out ({rule.what}): {_shown(unused[0], root)}")
    return kept


def find_partner(source: Path, image: str, path: Path, rule: Rule) -> Path:
    """Find the partner of one input in a folder of partners, or take the file that is named.

    Parameters
    ----------
    source : Path
        The file itself, or a folder: searched below the input's own sub-folders, then at its top.
    image : str
        The contract's ``image``.
    path : Path
        The input's file, which is never its own partner.
    rule : Rule

    Raises
    ------
    InputError
        If there is none, or two.
    """
    if source.is_file():
        return source
    stem = PurePosixPath(image).with_suffix("")
    own = path.resolve()
    for where in dict.fromkeys((source / stem.parent, source)):
        held = _listed(where, where.stat().st_mtime_ns, rule) if where.is_dir() else {}
        listed = dict.fromkeys(found for name in _stems(stem.name) for found in held.get(key(name), ()))
        fitting = [found for found in listed if found.resolve() != own]
        exact = [found for found in fitting if found.name.startswith(stem.name)]
        fitting = exact or fitting
        fitting = [found for found in fitting if not found.name.lower().endswith("_seg.npy")] or fitting
        if len(fitting) > 1:
            raise InputError(
                f"{one_line(image)}: two files can be its {rule.what}, {one_line(fitting[0].name)} and "
                f"{one_line(fitting[1].name)}, in {one_line(where)}; remove or rename one"
            )
        if fitting:
            return fitting[0]
    wanted = ", ".join(f"{one_line(stem.name)}{ending}" for ending in rule.endings)
    raise InputError(
        f"{one_line(image)}: nothing in {one_line(source)} belongs to it ({wanted} with {', '.join(rule.suffixes)})"
    )


@lru_cache(maxsize=4096)
def _listed(folder: Path, _changed: int, rule: Rule) -> dict[str, list[Path]]:
    """List what a folder holds by the image names it may belong to."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path in files_below(folder, rule.suffixes, deep=False, keep_results=True):
        for stem in rule.stems(path):
            found[stem].append(path)
    return dict(found)


def _shown(path: Path, root: Path) -> str:
    return one_line(path.relative_to(root).as_posix())
