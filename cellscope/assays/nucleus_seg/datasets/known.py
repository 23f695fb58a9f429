"""What is known of public data sets beyond their files: licence, laboratory, pictures that show the same cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_BCCD = "BCCD smears (MIT) with masks of Banik et al. 2020 (MIT)"

#: By the name of the data set's folder.
LICENCES: Mapping[str, str] = {
    "wbc_zheng2018": "white blood cells of Zheng et al., Micron 107 (2018), GPL-3.0 repository",
    "bccd": _BCCD,
    "bccd247": _BCCD,
    "lisc10": "LISC, Rezatofighi and Soltanian-Zadeh, Comput. Med. Imaging Graph. 35 (2011), research use; masks of a "
    "GPL-3.0 repository",
}
#: By what an item's id begins with: folder and, where it holds several sets, the set.
LABORATORIES: Mapping[str, str] = {
    "wbc_zheng2018-dataset1": "tecom",
    "wbc_zheng2018-dataset2": "cellavision",
    "bccd": "bccd",
    "bccd247": "bccd",
    "lisc10": "lisc",
}
#: Groups of which one picture is almost one of the other's, found by looking.
ALIKE = (("bccd/BloodImage_00038", "bccd247/BloodImage_00037"), ("lisc10/eosi_13", "lisc10/eosi_14"))


def alike(groups: Iterable[str]) -> list[tuple[str, str]]:
    """List the pairs of `ALIKE` that are both among `groups`."""
    there = set(groups)
    return [pair for pair in ALIKE if there.issuperset(pair)]
