"""How well a model tells images that it cannot judge: at 5 % false alarms, how many new and wrong ones are flagged.

usage: python benchmarks/familiarity.py --known OUT... --new OUT... [--wrong EXPRESSION] [--alarms 0.05]

OUT is a folder of `cellscope ASSAY eval`, or of `predict` where nothing is known of the images (an image of another
assay, a photograph), with a model that describes its training images. Known images are of sources that the
description was made from (its own images count too high: give those of the split `test`), new ones of sources that it
never saw. Wrong is what a person would not use, in columns of `per_image.csv`, such as

    histo          dice < 0.6
    nucleus-seg    dice < 0.85
    karyotype      abs(n_predicted - n_truth) > 3
    mitosis        predicted != class

Printed are, over each source and over all new images, how many there are, the share flagged (familiarity below the
level that `predict` uses), and the share below the level that 5 % of the known images fall below; the same of the
wrong ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cellscope.metrics.familiarity import UNFAMILIAR


def read(folder: Path) -> pd.DataFrame:
    """Read the images of a run: ``image``, ``source``, ``familiarity`` and what was measured."""
    path = folder / "per_image.csv"
    table = pd.read_csv(path if path.is_file() else folder / "images.csv", dtype={"image": str, "class": str})
    if "source" not in table:
        table["source"] = folder.name
    return table.dropna(subset="familiarity")


def line(name: str, table: pd.DataFrame, level: float) -> str:
    """Say how many images there are, and the share of them below both levels."""
    if table.empty:
        return f"{name:32} {0:5}"
    shares = [(table["familiarity"] < limit).mean() for limit in (UNFAMILIAR, level)]
    return f"{name:32} {len(table):5}" + "".join(f" {share:8.3f}" for share in shares)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--known", type=Path, nargs="+", required=True)
    parser.add_argument("--new", type=Path, nargs="+", required=True)
    parser.add_argument("--wrong")
    parser.add_argument("--alarms", type=float, default=0.05)
    given = parser.parse_args()
    known = pd.concat([read(folder) for folder in given.known], ignore_index=True)
    new = pd.concat([read(folder) for folder in given.new], ignore_index=True)
    level = float(np.quantile(known["familiarity"], given.alarms))
    print(f"{'':32} {'n':>5} {'flagged':>8} {f'at {given.alarms:.0%}':>8}")
    for name, table in (("known", known), ("new", new)):
        print(line(name, table, level))
        for source, rows in table.groupby("source"):
            print(line(f"  {source}", rows, level))
    if given.wrong:
        everything = pd.concat([known, new], ignore_index=True)
        for name, table in (("wrong, of all", everything), ("wrong, of the new", new)):
            print(line(name, table.query(given.wrong, engine="python"), level))


if __name__ == "__main__":
    main()
