"""The bands of the 24 chromosomes at the 850 level, for ideograms.

Derived from UCSC's ``cytoBand`` table for GRCh38/hg38 (public facts, https://genome.ucsc.edu): the lengths of the bands
from the tip of the short arm down, in units of 0.1 Mb, each followed by its stain.
"""

from __future__ import annotations

import re

#: Letter -> stain: negative, four positives, variable, stalk, centromere.
STAINS = {
    "a": "gneg",
    "b": "gpos25",
    "c": "gpos50",
    "d": "gpos75",
    "e": "gpos100",
    "v": "gvar",
    "s": "stalk",
    "x": "acen",
}

_BANDS = {
    "1": (
        "23a30b18a20s34a34c42a35b40a23b24a20b53a41b26a39d54a29c23a77c8a151e35a36d28a50d25a49e45a43c17a32c13a"
        "17x17x181v43a31c45a15c25a14c50a17c37a21d31a42c55a50e30a49e84a42b31a95e5a24b37a41c18a71d55a"
    ),
    "2": (
        "44a25c51a45d25a48d39a21b20a45d20a32c60a51e21a63e29a45c29a20c15a83e87a21x21x61a32c14a20b35a59c35a75c"
        "26a26b18a54e19a45e11a6b44a49d40a60d82a26c24a64d26a55d59a16c41a63e62a36d9a49e46a17c58a"
    ),
    "3": (
        "28c12a41c35a16b31a75e25a45d12a44c29a43d5a1c64a17b21a42c52a59c44a57d37a36d7a31x31x46v17a9b19a34d17a"
        "34c21a39d17a29d19a20b34a45b20a30b41a61e31a30c20a20c17a69e33a48d33a37d18a15b19a44d57a"
    ),
    "4": (
        "45a15b53a37c27a36d64a81e54a34c36a18x18x67a70e39a59d27a35c17a28b11a57d14a37d22a66c65a67d29a51c22a84e"
        "21a53b16a27b44a62e28a56e18a44d12a57e39a40b"
    ),
    "5": (
        "44a19b36a51c34a49e13a43e49a46b41a36c27x26x82a40d3a35d17a49c36a45c14a95e59a45e17a51e20a16c21a62e58a"
        "33e57a32b50a53d29a30c42a85e43a38b44a"
    ),
    "6": (
        "23a19b29a35c10a18b18a100d19a34c16a14b31a39b57a56e12a42e13a13x28x1a65e60a80c10a31c52a64e11a50e92a37d"
        "2a77e10a32d9a38c36a39d29a34d36a31c54a35c67a"
    ),
    "7": (
        "28a17b27a65e28a44e46a24c9a61d22a62d21a36d15a34d42a20x20x54a52c52a88e18a30d18a51d58a7c29a72d27a37d27a"
        "34d21a12b21a56c49a48d46a24b41a"
    ),
    "8": (
        "23a40d65a64e43a40c15a77d18a14b33a20x20x41a4d29a60c7a38c20a25c24a26e1a88d24a64e56a26b46a44d16a56e16a"
        "32c48a41c50a35d62a"
    ),
    "9": (
        "22a24b44a52d24a19b14a57e24a52e31a16b11a10c22a8x25x160v35a43b20a53c19a30c28a35c14a20b27a26b33a56e31a"
        "36b28a49d33a44b31a5b20a14b39a"
    ),
    "10": (
        "30a8b28a56d51a10d1a39d20a50c18a31b38a18x18x39a31b25a83e34a60e43a28c44a58e16a34d12a30c22a26c11a19b9a"
        "61e30a42d26a15c43a31c50a"
    ),
    "11": (
        "28a89c21a31c51a42e10a38d54a70e54a22d24x24x43d18a17b25a26b18a50c19a85e27a44e44a49e7a76e21a19c67a27c39a30c42a"
    ),
    "12": (
        "32a21b47a26d20a52e13a52e13a29c27a23x23x82e27a24b34a17b15a50d20a26c38a42d46a64e23a36e36a54d23a51c27a"
        "6b20a25c13a26c51a33c46a"
    ),
    "13": (
        "46v55s64v12x12x37a23b23a11b33a18c15a46d51a6b15a36c44a43e28a34d29a47e21a18c18a86e23a50e31a12b24a31e22a32e48a"
    ),
    "14": "36v44s81v11x10x59a88e19a13c13a56e37a37e32a14b26a40d27a31c24a35c55a43e13a49e21a28b16a51c18a8c35a",
    "15": "42v55s78v15x15x50a23c22a9c25a64d27a8b12a47d34a62d2a44b35a1b2a52b25a14b17a34c33a38c53a42c40a",
    "16": "78a26c21a22c20a45c30a43c68a15x16x86v56a34c13a93e42a20c13a51d24a25c29a17b16a",
    "17": "34a31c43a53d66a24x23x61a63c4a26b40a25b28a74d7a29d15a16c29a38d39a4b61a",
    "18": "29a43c13a24b45a31x30x60a76e44a64d48a55d24a27c26a52e19a44b50a",
    "19": "69a57b12a23b38a43v20x19x38v32a27b4a47b18a28b34a22b27a28b",
    "20": "51a41d28a59d34a10b34a24x23x31a23b32a41d4a43b34a52d14a19c47a",
    "21": "31v39s39v11x10x20a76e29a47d42a20c19a29c55a",
    "22": "43v51s43v13x24x43a14b24a37c26a54c34a32c43a10c17a",
    "X": (
        "44a17c35a78c18a27c30a44e22a63e47a51d25a47b33a29x28x16a31c45a17c21a86e16a57e16a48d42a12c49a80d44a77e"
        "18a32b44a23d18a50e80a"
    ),
    "Y": "3a3c97a1x2x18a47c25a42c28a306v",
}


def bands(name: str) -> list[tuple[float, str]]:
    """Give a chromosome's bands from the short arm's tip down.

    Parameters
    ----------
    name : str
        ``1`` to ``22``, ``X`` or ``Y``.

    Returns
    -------
    list of (length, stain)
        Lengths in Mb; stains as UCSC names them. Two neighbours called ``acen`` meet at the centromere.

    Examples
    --------
    >>> bands("1")[0]
    (2.3, 'gneg')
    """
    return [(int(length) / 10, STAINS[letter]) for length, letter in re.findall(r"(\d+)([a-z])", _BANDS[name])]
