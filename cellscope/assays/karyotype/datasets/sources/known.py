"""What is known of public data sets beyond their files: licence, laboratory, stain, and what may be done with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Known:
    """Facts of one public data set.

    Attributes
    ----------
    licence : str
        With the citation.
    laboratory : str
        A name shared by the data sets of one laboratory, for leaving it out.
    stain : str
        ``G``, ``Q`` or ``R`` banding, or ``DAPI``.
    part_of : str
        The data set whose groups (cases, slides) these are too; empty for its own.
    short_arm_up : bool
        True where single chromosomes lie with the short arm up, so that they can teach the polarity.
    test_only : bool
        True for a set kept whole for measuring.
    test_cells : int
        Normal cells kept for measuring, beside all cells of the cases that have an abnormal one; 0 leaves everything
        to the splits asked for.
    """

    licence: str
    laboratory: str
    stain: str
    part_of: str = ""
    short_arm_up: bool = False
    test_only: bool = False
    test_cells: int = 0

    @property
    def facts(self) -> dict[str, str]:
        """The columns of `items.csv` that hold for every item."""
        return {"laboratory": self.laboratory, "stain": self.stain}


_TSENG = "Tseng et al., Sci. Data 10:104 (2023), G-band; licence not verified"
_ADIR = "PSI/ADIR M-FISH set, Schwartzkopf 2000; redistribution allowed with its notice"

#: By the name of the data set's folder.
KNOWN: Mapping[str, Known] = {
    "bioimlab": Known(
        "BioImLab Q-band, University of Padova (Poletti, Grisan, Ruggeri 2008, 2012), research use; "
        "masks Wang et al. 2023 (MPL-2.0)",
        "padova",
        "Q",
    ),
    "tseng2023_gband": Known(_TSENG, "tseng2023", "G"),
    "tseng2023_gband_more": Known(_TSENG, "tseng2023", "G", part_of="tseng2023_gband", test_cells=150),
    "adir_mfish": Known(_ADIR, "adir", "DAPI"),
    "adir_mfish_more": Known(_ADIR, "adir", "DAPI", part_of="adir_mfish"),
    "pki3_single": Known("Pki-3-like G-band single chromosomes; no licence stated", "pki3", "G", short_arm_up=True),
    "chromosome_clusters_lin2020": Known(
        "Lin et al., IEEE BIBM 2020:2357-2363, G-band segments; no licence stated", "lin2020", "G"
    ),
    "karyonet_sample_singles": Known(
        "Xia et al., KaryoNet, IEEE TMI 2023, a sample; no licence stated", "karyonet", "", test_only=True
    ),
}
