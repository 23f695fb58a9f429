"""Check a karyotype as people write it against the rules of ISCN that can be checked without the image.

Checked are the total against gains and losses, the sex chromosomes, the order of changes, ``mos`` and the cells in
brackets. Of rearrangements only the form is looked at: names, breakpoints, brackets. Source: ISCN 2020 (An
International System for Human Cytogenomic Nomenclature), chapters 4, 8, 9 and 11.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

AUTOSOMES = 22
CHROMOSOME = r"(?:[1-9]|1\d|2[0-2]|X|Y)"
REARRANGED = (
    "add", "del", "der", "dic", "dup", "fis", "hsr", "i", "ider", "idic", "ins", "inv", "psu dic", "qdp", "r", "rcp",
    "rec", "rob", "t", "tas", "tdic", "ter", "tr", "trc", "trp", "upd",
)  # fmt: skip
JOINING = ("dic", "psu dic", "rob", "tas", "tdic")
"""Make one chromosome of two: the total falls by one unless the result is additional (``+``)."""
RELATED = re.compile(r"(idem|sl|sdl\d*)(?:x\d+)?")

_TOTAL = re.compile(r"(\d+)(?:~(\d+))?(?:<(\d)n>)?")
_SEX = re.compile(r"X*Y*c?|\?|U")
_CELLS = re.compile(r"\[(cp)?(\d+)\]$")
_NUMERICAL = re.compile(rf"\??([+-])\??({CHROMOSOME})(c?)(?:[x×](\d+))?")
_UNKNOWN = re.compile(r"\+?(?:(\d+)(?:~(\d+))?)?(mar|r|dmin|min|ace)(\d*)(c?)")
_STRUCTURAL = re.compile(rf"([+-]?)\??({'|'.join(sorted(map(re.escape, REARRANGED), key=len, reverse=True))})(\(.*)")
_VARIANT = re.compile(rf"({CHROMOSOME})[pq](?:h|s|ss|stk|stks|cenh)?[+-]?(?:mat|pat|c)?")
_BAND = re.compile(r"(?:[pq](?:\d{1,2}(?:\.\d+)?|ter|10)?|cen|\?|->|::|~)+")


@dataclass(frozen=True)
class _Change:
    """A change as it counts.

    Attributes
    ----------
    place : tuple
        Where it stands: sex chromosomes, autosomes by number, unidentified; numerical before structural.
    low, high : int
        What it adds to the total.
    """

    text: str
    place: tuple[int, int]
    low: int
    high: int


def check_iscn(text: str) -> list[str]:
    """Say what is wrong with a karyotype.

    Parameters
    ----------
    text : str
        Such as ``47,XY,+21`` or ``mos 45,X[4]/46,XX[16]``.

    Returns
    -------
    list of str
        One sentence per fault; nothing where none is found.

    Examples
    --------
    >>> check_iscn("47,XX,+21")
    []
    >>> check_iscn("46,XY,+21")
    ['46,XY,+21: the total is 46, but the sex chromosomes and changes make 47']
    """
    whole = text.strip()
    prefix = next((word for word in ("mos", "chi") if whole.startswith(word)), "")
    rest = whole.removeprefix(prefix)
    faults = []
    if prefix and not re.match(r" \S", rest):
        faults.append(f"one space stands between {prefix} and the karyotype")
    rest = rest.strip()
    if re.search(r"\s", rest.replace("psu dic", "psudic")):
        faults.append("no blank stands within a karyotype")
        rest = re.sub(r"\s+", "", rest)
    clones = rest.replace("psudic", "psu dic").split("/")
    if not rest or "" in clones:
        return [*faults, "a karyotype is missing beside a /" if rest else "there is no karyotype"]
    if prefix and len(clones) == 1:
        faults.append(f"{prefix} is written for two or more clones")
    faults += _check_cells(clones, mosaic=prefix == "mos")
    stem: tuple[int, int] | None = None
    for clone in clones:
        found, total = _check_clone(_CELLS.sub("", clone), stem)
        faults += [f"{clone}: {fault}" for fault in found]
        stem = stem or total
    return faults


def _check_cells(clones: list[str], *, mosaic: bool) -> Iterator[str]:
    """Check the brackets, and where the normal clone stands."""
    found = [_CELLS.search(clone) for clone in clones]
    counts = [int(one[2]) if one else None for one in found]
    if len(clones) > 1 and None in counts and (any(counts) or mosaic):
        yield "every clone has its number of cells in square brackets"
    for clone, count in zip(clones, counts, strict=True):
        if count == 0:
            yield f"{clone}: a clone has at least one cell"
        if ("[" in clone or "]" in clone) and count is None:
            yield f"{clone}: cells are written [n] at the end of the clone"
    bare = [_CELLS.sub("", clone) for clone in clones]
    for name in {name for name in bare if bare.count(name) > 1}:
        yield f"{name} is written twice"
    normal = [number for number, name in enumerate(bare) if name in ("46,XX", "46,XY")]
    if normal and normal[-1] != len(clones) - 1:
        yield "the normal clone stands last"
    abnormal = [count for number, count in enumerate(counts) if number not in normal and count is not None]
    if mosaic and any(later > earlier for earlier, later in pairwise(abnormal)):
        yield "clones of a mosaic stand by size, the largest first"


def _check_clone(clone: str, stem: tuple[int, int] | None) -> tuple[list[str], tuple[int, int] | None]:
    """Check one clone without its brackets; give its faults, and its total from and to."""
    words = _split(clone)
    if not (found := _TOTAL.fullmatch(words[0])):
        return [f"it begins with the number of chromosomes, not {words[0]!r}"], None
    low = int(found[1])
    total = (low, int(found[2] or low))
    faults = [] if total[0] <= total[1] else [f"{words[0]} runs from more to less"]
    if len(words) < 2:
        return [*faults, "the sex chromosomes are missing"], total
    sex, listed = words[1], words[2:]
    if re.match(r"[a-z]+\([XY]", sex) and "(" in sex:  # no normal one is left: 46,t(X;Y)(...)
        sex, listed = "", words[1:]
    related = RELATED.fullmatch(sex)
    if not related and not _SEX.fullmatch(sex):
        wrong = "X stands before Y" if re.fullmatch(r"[XY]+c?", sex) else f"{sex!r} are no sex chromosomes"
        return [*faults, wrong], total
    changes: list[_Change] = []
    for word in listed:
        change = _read_change(word)
        if isinstance(change, str):
            faults.append(change)
        else:
            changes.append(change)
    faults += _check_order(changes, listed)
    names = [word for word in listed if _NUMERICAL.fullmatch(word)]
    both = {word.strip("?+") for word in names if "+" in word} & {word.strip("?-") for word in names if "-" in word}
    faults += [f"{name} is both gained and lost" for name in sorted(both)]
    if re.fullmatch(r"Y+c?", sex) and not any("X" in word for word in listed):
        faults.append("there is no X")
    if faults or "inc" in listed or sex in ("?", "U"):
        return faults, total
    if related:
        if stem is None:
            return [f"{sex} needs a clone before it"], total
        base = stem if related[1] in ("idem", "sl") else None
        ploidy = 0
    else:
        ploidy = int(found[3] or _ploidy(low))
        base = (AUTOSOMES * ploidy + sex.count("X") + sex.count("Y"),) * 2
    if base is not None and not (related and sex != related[1]):
        made = base[0] + sum(one.low for one in changes), base[1] + sum(one.high for one in changes)
        if total[1] < made[0] or total[0] > made[1]:
            shown = str(made[0]) if made[0] == made[1] else f"{made[0]} to {made[1]}"
            of = f" at {ploidy}n" if ploidy not in (0, 2) else ""
            faults.append(f"the total is {words[0]}, but the sex chromosomes and changes make {shown}{of}")
    return faults, total


def _ploidy(total: int) -> int:
    """Give the ploidy that ISCN takes for a total: haploid to 34, diploid to 57, triploid to 80, tetraploid to 103."""
    return max(1, min(8, (total + 11) // 23))


def _split(clone: str) -> list[str]:
    """Split at the commas outside parentheses."""
    words, depth = [""], 0
    for letter in clone:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth <= 0:
            words.append("")
        else:
            words[-1] += letter
    return words


def _read_change(word: str) -> _Change | str:
    """Read one change; a text says what is wrong with it."""
    if word == "inc":
        return _Change(word, (99, 0), 0, 0)
    if found := _NUMERICAL.fullmatch(word):
        times = int(found[4] or 1)
        # a lost sex chromosome is no more among those that are written before the changes: 45,X,-Y
        counts = times if found[1] == "+" else 0 if found[2] in "XY" else -times
        return _Change(word, (_number(found[2]), 0), counts, counts)
    if found := _UNKNOWN.fullmatch(word):
        if found[3] == "dmin":
            return _Change(word, (98, 0), 0, 0)
        if not word.startswith("+"):
            return f"{word} is additional: +{word}"
        return _Change(word, (97, 0), int(found[1] or 1), int(found[2] or found[1] or 1))
    if found := _VARIANT.fullmatch(word):
        return _Change(word, (_number(found[1]), 1), 0, 0)
    if not (found := _STRUCTURAL.fullmatch(word)):
        if re.fullmatch(r"[+-]?\d+|[+-][^\d(]*", word):
            return f"{word} names no chromosome" if word[:1] in "+-" else f"{word} has no + or -"
        return f"{word!r} is not known"
    sign, kind, rest = found[1], found[2], found[3]
    copies = re.search(r"[x×](\d+)$", rest)
    if (fault := _check_parts(rest[: copies.start()] if copies else rest)) is not None:
        return f"{word}: {fault}"
    chromosomes = re.findall(rf"(?<![\w]){CHROMOSOME}(?![\w])", rest[1 : rest.index(")")])
    if kind in ("t", "rcp") and (fault := _check_first(chromosomes)) is not None:
        return f"{word}: {fault}"
    whole_arms = kind == "der" and len(chromosomes) > 1
    joined = -1 if kind in JOINING or whole_arms else 0
    # those of the sex chromosomes that are changed are not among the normal ones before them: 46,X,i(X)(q10)
    joined += sum(name in "XY" for name in chromosomes)
    counts = {"+": 1, "-": -1, "": joined}[sign] * (int(copies[1]) if copies else 1)
    return _Change(word, (_number(chromosomes[0]) if chromosomes else 96, 1), counts, counts)


def _check_parts(rest: str) -> str | None:
    """Check the parentheses of a rearrangement: chromosomes, then breakpoints, perhaps followed by another one."""
    if rest.count("(") != rest.count(")"):
        return "a parenthesis is not closed"
    parts = re.findall(r"\(([^()]*)\)", rest)
    if not parts or "" in parts:
        return "a parenthesis is empty"
    for name in re.split(r"[;]", parts[0]):
        if not re.fullmatch(rf"{CHROMOSOME}|\?|{CHROMOSOME}[pq]\S*", name):
            return f"{name!r} is no chromosome"
    if len(parts) > 1 and re.match(r"\([^()]*\)\(", rest):
        groups = parts[1].split(";")
        for band in groups:
            if not _BAND.fullmatch(band):
                return f"{band!r} is no breakpoint"
    return None


def _check_first(chromosomes: list[str]) -> str | None:
    """In a translocation a sex chromosome, else the lowest number, stands first; of two the other follows."""
    numbers = [_number(name) for name in chromosomes]
    if numbers and numbers[0] != min(numbers):
        return f"{chromosomes[numbers.index(min(numbers))]} stands first"
    return None


def _check_order(changes: list[_Change], listed: list[str]) -> Iterator[str]:
    """Check that changes stand in order: X, Y, 1 to 22, unidentified; of one chromosome numerical ones first."""
    for earlier, later in pairwise(changes):
        if later.place < earlier.place:
            yield f"{later.text} stands before {earlier.text}"
    if "inc" in listed[:-1]:
        yield "inc stands last"


def _number(name: str) -> int:
    return {"X": -2, "Y": -1}.get(name) or int(name)
