"""Find the input images of a command line, and name them in the results."""

from __future__ import annotations

import fnmatch
import functools
import os
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath

from cellscope.errors import UsageError
from cellscope.io.leftovers import leave_out, leave_out_folder, why_left_out
from cellscope.io.text import no_formula, one_line

COMPANIONS = (".oif.files",)
"""Endings of folders that hold the planes of a file beside them."""


@dataclass(frozen=True)
class Input:
    """One image to work on.

    Parameters
    ----------
    path : Path
        The file.
    image : str
        Its name in all results: the POSIX path relative to the folder given; a file given directly: its name; several
        arguments: relative to the deepest folder that holds them all. Never leaves that folder.
    scene : int, optional
        Number of the file's scene that this is, where each is an input of its own.
    """

    path: Path
    image: str
    scene: int | None = None


def resolve_inputs(
    arguments: Sequence[str | os.PathLike[str]],
    suffixes: Collection[str],
    *,
    glob: str | None = None,
    limit: int | None = None,
) -> list[Input]:
    """Find the images that the arguments mean.

    Parameters
    ----------
    arguments : sequence of str
        Files; folders, searched recursively (hidden files and cellscope's own results left out, linked folders followed
        once); ``@list.txt``, one path per line relative to the list's folder, blank lines and lines starting with #
        ignored.
    suffixes : collection of str
        Lower case, with dot: what a search takes. Files given directly are taken whatever their suffix.
    glob : str, optional
        Narrows the search of folders; pathlib's rules, relative to each folder.
    limit : int, optional
        Keep only that many, the first ones.

    Returns
    -------
    list of Input
        Without duplicates, in natural order of `image` (``a2`` before ``a10``).

    Raises
    ------
    UsageError
        Something that does not exist or cannot be read, a pattern that is not valid, or no image at all.
    """
    given = [path for argument in arguments for path in _expand(os.fspath(argument))]
    if not arguments:
        raise UsageError("no inputs given; name image files, folders or @list.txt")
    matches = _matcher(glob)
    base = _common_folder(given)
    found: dict[tuple[str, str], Input] = {}
    real = functools.cache(os.path.realpath)
    for path in given:
        for file in _search(path, suffixes, matches) if path.is_dir() and not _is_store(path.name) else [path]:
            image = _readable(PurePath(os.path.relpath(os.path.abspath(file), base)).as_posix())
            # the folder is resolved, the file is not: a linked file is an input of its own, a linked folder is not
            found.setdefault((real(file.parent), file.name), Input(file, image))
    if not found:
        raise UsageError(_nothing(arguments, suffixes, glob))
    return sorted(found.values(), key=lambda item: _natural(item.image))[:limit]


def input_bytes(path: Path) -> int:
    """Return the size of an input on disk, of a folder with all it holds; 0 where it cannot be told."""
    try:
        if not path.is_dir():
            return path.stat().st_size
        return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    except OSError:
        return 0


def stem(image: str) -> str:
    """`image` without its last suffix, folders kept: what the names of its output files start with."""
    path = PurePosixPath(image)
    return path.with_name(path.name[: len(path.name) - len(path.suffix)]).as_posix()


def scene_image(image: str, number: int, name: str) -> str:
    """Name one scene of a file: ``plate.nd2`` gives ``plate.scene-3-Pos4.nd2``; odd letters become ``_``."""
    kept = re.sub(r"[^\w.+-]+", "_", name).strip("._") if name else ""
    path = PurePosixPath(image)
    label = f"scene-{number}" + (f"-{kept[:40]}" if kept else "")
    return path.with_name(f"{path.name[: len(path.name) - len(path.suffix)]}.{label}{path.suffix}").as_posix()


def check_collisions(inputs: Sequence[Input]) -> None:
    """Refuse inputs that would write the same output.

    Names that differ only in case or in Unicode composition count as the same, because they are on macOS and Windows.

    Raises
    ------
    UsageError
        Naming two such inputs, and how many more there are.
    """
    first: dict[str, Input] = {}
    pairs = []
    for item in inputs:
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem(item.image)).casefold())
        other = first.setdefault(key, item)
        if other is not item:
            pairs.append((other, item))
    if pairs:
        a, b = pairs[0]
        more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
        raise UsageError(
            f"two inputs would write the same output: {one_line(a.image)} and {one_line(b.image)}{more}; "
            "rename one, run them separately, or narrow the search with --glob"
        )


def _expand(argument: str) -> list[Path]:
    """One argument as paths that exist."""
    if not argument.startswith("@") or argument == "@":
        return [_existing(Path(argument), one_line(argument))]
    source = Path(argument[1:])
    try:
        lines = source.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{one_line(source)}: the list of inputs cannot be read ({reason})") from error
    return [
        _existing(source.parent / line.strip(), f"{one_line(source)}, line {number}: {one_line(line.strip())}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    ]


def _existing(path: Path, shown: str) -> Path:
    try:
        path.stat()
    except ValueError as error:  # a null byte in the name
        raise UsageError(f"{shown}: not a valid file name") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{shown}: no such file or folder") from error
    except OSError as error:
        raise UsageError(f"{shown}: cannot be read ({error.strerror})") from error
    return path


def _common_folder(paths: Sequence[Path]) -> str:
    searched = [path.is_dir() and not _is_store(path.name) for path in paths]
    folders = [os.path.abspath(path if own else path.parent) for path, own in zip(paths, searched, strict=True)]
    try:
        return os.path.commonpath(folders) if folders else ""
    except ValueError as error:  # Windows: different drives
        raise UsageError("the inputs lie on different drives; run them separately") from error


def _search(root: Path, suffixes: Collection[str], matches: Callable[[PurePath], bool]) -> Iterator[Path]:
    """Images below a folder. Linked folders come last, so that an image is found by its own path first."""
    endings = tuple(suffixes)
    inside = os.path.join(os.path.realpath(root), "")
    seen: set[str] = set()
    plain: list[Path] = [root]
    linked: list[Path] = []
    while plain or linked:
        folder = plain.pop() if plain else linked.pop(0)
        real = os.path.realpath(folder)
        if real in seen or (folder != root and inside.startswith(os.path.join(real, ""))):
            continue  # been there, or a link back to the folder itself or to one above it
        seen.add(real)
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda e: e.name)
        except OSError as error:
            raise UsageError(f"{one_line(folder)}: the folder cannot be searched ({error.strerror})") from error
        names = {entry.name for entry in listed}
        for entry in listed:
            path = folder / entry.name
            why = why_left_out(entry.name, names)
            if _is_folder(entry) and not (_is_store(entry.name) and entry.name.lower().endswith(endings)):
                if why is not None:
                    leave_out_folder(why, path, endings)
                elif not entry.name.lower().endswith(COMPANIONS):
                    (linked if entry.is_symlink() else plain).append(path)
            # a broken link is kept: a missing image is to be reported, not lost
            elif (
                entry.name.lower().endswith(endings)
                and (entry.is_symlink() or entry.is_file() or _is_store(entry.name))
                and matches(path.relative_to(root))
            ):
                if why is not None:
                    leave_out(why, path)
                else:
                    yield path


def _is_store(name: str) -> bool:
    """Tell a folder that is one image: OME-Zarr."""
    return name.lower().endswith(".zarr")


def _readable(image: str) -> str:
    """Give a name that any table can hold.

    Bytes that are no UTF-8 become letters: as Latin-1, which is what older systems wrote. A name that a spreadsheet
    would take for a formula begins with ``./``, which leaves the path what it is.
    """
    image = "".join(chr(ord(c) - 0xDC00) if 0xDC80 <= ord(c) <= 0xDCFF else c for c in image)
    return f"./{image}" if no_formula(image) != image else image


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to where one may not look
        return False


def _matcher(glob: str | None) -> Callable[[PurePath], bool]:
    """Whether a path relative to a folder is what ``Path(folder).glob(pattern)`` finds.

    Not `Path.glob` itself: it does not go through linked folders, and walks the tree again.
    """
    if glob is None:
        return lambda path: True
    pattern = PurePath(glob)
    parts = pattern.parts
    wrong = pattern.is_absolute() or ".." in parts or any("**" in part and part != "**" for part in parts)
    if wrong or not parts:
        raise UsageError(
            f"--glob {glob!r} is not valid: it must be a pattern below each folder such as '**/images/*.tif', "
            "with ** only as a whole folder name"
        )
    flags = re.IGNORECASE if os.name == "nt" else 0
    regexes = [None if part == "**" else re.compile(fnmatch.translate(part), flags) for part in parts]
    return lambda path: _match(path.parts, regexes)


def _match(names: Sequence[str], patterns: Sequence[re.Pattern[str] | None]) -> bool:
    # reachable[i]: the patterns so far can match the first i names; linear in each pattern, also for many **
    reachable = [True] + [False] * len(names)
    for pattern in patterns:
        if pattern is None:
            start = reachable.index(True) if True in reachable else len(reachable)
            reachable = [i >= start for i in range(len(reachable))]
        else:
            matched = [reachable[i] and pattern.match(name) is not None for i, name in enumerate(names)]
            reachable = [False, *matched]
    return reachable[-1]


def _natural(image: str) -> tuple[list[list[int | str]], str]:
    # splitting on digits puts text at even and numbers at odd places, so like is always compared with like
    parts = [
        [int(token) if odd % 2 else token.casefold() for odd, token in enumerate(re.split(r"([0-9]+)", part))]
        for part in image.split("/")
    ]
    return parts, image


def _nothing(arguments: Sequence[str | os.PathLike[str]], suffixes: Collection[str], glob: str | None) -> str:
    searched = ", ".join(one_line(os.fspath(argument)) for argument in arguments[:5])
    more = f" and {len(arguments) - 5} more" if len(arguments) > 5 else ""
    narrowed = f" matching --glob {glob!r}" if glob is not None else ""
    return f"no images found in {searched}{more}: looked for {', '.join(sorted(suffixes))} files{narrowed}"
