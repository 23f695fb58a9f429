"""Every format's writer is where the table of formats says."""

from __future__ import annotations

import importlib

import pytest

from cellscope.exports.formats import FORMATS


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_format_names_its_writer(name: str) -> None:
    wanted = FORMATS[name]
    for package in wanted.needs:
        pytest.importorskip(package)
    from cellscope.exports.labkit import write_labkit
    from cellscope.exports.ome_zarr_images import write_ome_zarr
    from cellscope.exports.rois import write_rois
    from cellscope.exports.spatial import write_spatialdata
    from cellscope.exports.tables import write_anndata, write_parquet

    known = (write_labkit, write_ome_zarr, write_rois, write_spatialdata, write_anndata, write_parquet)
    module, writer = wanted.writer.split(":")
    assert getattr(importlib.import_module(f"cellscope.exports.{module}"), writer) in known
