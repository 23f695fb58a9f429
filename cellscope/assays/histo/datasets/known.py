"""What is known of public data sets beyond their files: licence, laboratory, organ, groups, scale and merged types."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cellscope.assays.histo.classes import CLASSES, PIXEL_SIZE_UM
from cellscope.assays.histo.datasets.sources.tissue_record import CASE, Annotated, Record, Source

#: Organ by the tissue source site of The Cancer Genome Atlas, the second part of a case's name (GDC's code tables).
#: Lists of the KUMAR tiles call the lung's ones liver.
SITES: Mapping[str, str] = {
    **dict.fromkeys(("18", "21", "38", "49", "50"), "lung"),
    **dict.fromkeys(("A7", "AR", "E2"), "breast"),
    **dict.fromkeys(("B0", "HE"), "kidney"),
    **dict.fromkeys(("CH", "G9"), "prostate"),
    **dict.fromkeys(("DK", "G2"), "bladder"),
    **dict.fromkeys(("AY", "NH"), "colon"),
    **dict.fromkeys(("KB", "RD"), "stomach"),
}
#: PanNuke's types as the built-in model's.
PANNUKE: Mapping[str, str] = {
    "neoplastic": "epithelial",
    "epithelial": "epithelial",
    "inflammatory": "inflammatory",
    "connective": "spindle",
    "dead": "other",
}


@dataclass(frozen=True)
class Known:
    """Facts of one public data set.

    Attributes
    ----------
    licence : str
        With the citation.
    laboratory, scanner, organ : str
        Where they are one for the whole set.
    name : str
        Pattern of an image's name. Its part ``group`` is what a split keeps together, ``objective`` the magnification
        (40 is 0.25 um a pixel); further parts are facts.
    whole : bool
        True where all images are one group, since nothing tells which belong together.
    pixel_size_um : float or None
        What a pixel measures where the names do not tell; None where it is not known.
    types : mapping
        The set's type -> the built-in model's; empty leaves types as they are.
    """

    licence: str
    laboratory: str = ""
    scanner: str = ""
    organ: str = ""
    name: str = ".*"
    whole: bool = False
    pixel_size_um: float | None = PIXEL_SIZE_UM
    types: Mapping[str, str] = field(default_factory=dict)


_KUMAR = "Kumar et al., IEEE TMI 36 (2017) and 39 (2020), CC BY-NC-SA 4.0"
_PANNUKE = "PanNuke, Gamper et al. (2019, 2020), CC BY-NC-SA 4.0"

#: By the name of the data set's folder, lower case.
KNOWN: Mapping[str, Known] = {
    "consep": Known(
        "CoNSeP, Graham et al., Med. Image Anal. 58 (2019), research and non-commercial use",
        laboratory="coventry", scanner="omnyx vl120", organ="colon",
    ),
    "monuseg": Known(f"MoNuSeg, {_KUMAR}", laboratory="tcga"),
    "monuseg_train17": Known(f"MoNuSeg, {_KUMAR}", laboratory="tcga"),
    "kumar": Known("KUMAR, Kumar et al., IEEE TMI 36 (2017), CC BY-NC-SA 4.0", laboratory="tcga"),
    "cpm17": Known("CPM-17, Vu et al., Front. Bioeng. Biotechnol. 7 (2019)", pixel_size_um=None),
    "cpm15": Known(
        "CPM-15, Vu et al., Front. Bioeng. Biotechnol. 7 (2019); no licence stated",
        laboratory="tcga", name=r".*_(?P<objective>\d+)x",
    ),
    "pannuke": Known(_PANNUKE),
    "pannuke49": Known(_PANNUKE, name=r"(?P<group>image)_\d+|f2_\d+", types=PANNUKE),
    "nuinsseg": Known(
        "NuInsSeg, Mahbod et al., Sci. Data 11:295 (2024); licence not verified",
        laboratory="vienna", scanner="tissuefaxs", name=r"(?P<group>(?P<species>human|mouse)_(?P<organ>.+))_\d+",
    ),
    "tnbc": Known(
        "TNBC, Naylor et al., IEEE TMI 38 (2019); licence not verified",
        laboratory="curie", scanner="philips ufs", organ="breast", name=r"(?P<group>\d\d)_\d+",
    ),
    "gbm40": Known(
        "GBM40, Kong et al., ISBI 2016, Zhang et al., ISBI 2017; no licence stated",
        laboratory="emory", organ="brain", whole=True,
    ),
    "lgg_tcga28": Known(
        "TCGA lower-grade glioma, outlines of Zhang et al., ISBI 2017; no licence stated",
        laboratory="tcga", organ="brain",
    ),
    "dsb2018_brightfield": Known(
        "Data Science Bowl 2018 (BBBC038), Caicedo et al., Nat. Methods 16 (2019), CC0",
        whole=True, pixel_size_um=None,
    ),
}  # fmt: skip


def licence_of(name: str, layout: str) -> str:
    """Give a source's licence by its folder's name, else by its layout, which some sets have for themselves."""
    key = next((key for key in (name.lower(), layout) if key in KNOWN), None)
    return KNOWN[key].licence if key else "the user's own"


def with_facts(name: str, source: Source, *, merge: bool) -> Source:
    """Add what is known of a data set to what its reader found; a set that is not known is given back as it is.

    Parameters
    ----------
    name : str
        Of the source's folder.
    source : Source
    merge : bool
        Merge a set's own types to the built-in model's, where it is known how.
    """
    known = KNOWN.get(name.lower())
    if known is None:
        return source
    merged = known.types if merge and set(source.classes) <= known.types.keys() else {}
    records = [_described(record, known, merged, source.pixel_size_um is not None) for record in source.records]
    return replace(source, records=records, classes=CLASSES if merged and source.classes else source.classes)


def _described(record: Record, known: Known, merged: Mapping[str, str], scaled: bool) -> Record:
    found = re.fullmatch(known.name, record.name)
    parts = {key: value for key, value in (found.groupdict() if found else {}).items() if value}
    own_group, objective = parts.pop("group", record.group), parts.pop("objective", None)
    size = 10 / float(objective) if objective else known.pixel_size_um
    case = CASE.search(record.name)
    facts = {
        "laboratory": known.laboratory,
        "scanner": known.scanner,
        "organ": known.organ or (SITES.get(case[0].split("-")[1], "") if case else ""),
        **{key: value.replace("_", " ") for key, value in parts.items()},
    }
    return replace(
        record,
        group="all" if known.whole else own_group,
        facts={**record.facts, **{key: value for key, value in facts.items() if value}},
        load=_Loading(record.load, None if scaled else size, merged),
    )


@dataclass(frozen=True)
class _Loading:
    """Load a record, and put in what is known of it; a pixel size that the file states stays."""

    load: Callable[[], Annotated]
    pixel_size_um: float | None
    types: Mapping[str, str]

    def __call__(self) -> Annotated:
        found = self.load()
        types = found.types
        if types is not None and self.types:
            types = {number: self.types[type_] for number, type_ in types.items()}
        return replace(found, types=types, pixel_size_um=found.pixel_size_um or self.pixel_size_um)
