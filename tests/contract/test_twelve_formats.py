"""The same field in twelve formats gives the same objects, to the last digit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.formats import write_czi, write_jpeg2000, write_lif, write_oif, write_stk, write_zarr
from drawn.micronucleus import draw_field
from typer.testing import CliRunner

from cellscope.cli.root import app
from cellscope.io.write import write_png


@pytest.mark.slow
def test_objects_are_the_same(tmp_path):
    grey = draw_field(2, size=300).grey.astype(np.uint16)
    one = grey[None, None, None]
    folder = tmp_path / "in"
    folder.mkdir()
    tifffile.imwrite(folder / "01.tif", grey)
    tifffile.imwrite(folder / "02.tif", grey, bigtiff=True, tile=(64, 64), compression="zstd", byteorder=">")
    tifffile.imwrite(folder / "03.ome.tif", grey, ome=True, metadata={"axes": "YX"})
    tifffile.imwrite(folder / "04.tif", grey, imagej=True)
    write_stk(folder / "05.stk", grey[None])
    write_png(folder / "06.png", grey)
    write_jpeg2000(folder / "07.jp2", grey)
    write_czi(folder / "08.czi", one)
    write_lif(folder / "09.lif", {"field": one})
    write_oif(folder / "10.oif", one)
    write_zarr(folder / "11.zarr", one)
    write_zarr(folder / "12.zarr", one, version=3)
    command = ["micronucleus", "predict", folder, "-o", tmp_path / "out", "--input", "field", "--device", "cpu"]
    result = CliRunner().invoke(app, [*map(str, command), "--num-workers", "0", "-q"])
    assert result.exit_code == 0, result.stderr
    images = pd.read_csv(tmp_path / "out/images.csv")
    assert len(images) == 12
    assert (images["read"] == "300 x 300 pixels").sum() >= 11  # the project of LIF has a name for its one image
    objects = pd.read_csv(tmp_path / "out/objects.csv")
    pixels = [name for name in objects.columns if name != "image" and not name.endswith(("_um", "_um2"))]
    [first, *others] = [rows[pixels].reset_index(drop=True) for _, rows in objects.groupby("image")]
    assert len(first) > 3
    assert len(others) == 11
    for rows in others:
        pd.testing.assert_frame_equal(rows, first, check_exact=True)
