"""Results written as they are made."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cellscope.io.stream import Bands, Features, write_bands, write_features


@pytest.mark.parametrize("heights", [[1100], [1, 511, 3, 500, 85], [100] * 11])
def test_bands_make_a_tiled_image(tmp_path: Path, heights: list[int]) -> None:
    image = np.random.default_rng(0).integers(0, 70000, (1100, 700)).astype(np.uint32)
    edges = np.cumsum([0, *heights])
    bands = Bands(image.shape, image.dtype, lambda: (image[a:b] for a, b in itertools.pairwise(edges)))
    write_bands(tmp_path / "a.tif", bands)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), image)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        assert (tif.pages[0].is_tiled, int(tif.pages[0].compression), tif.pages[0].dtype) == (True, 8, np.uint32)


@pytest.mark.parametrize("heights", [[5, 4], [5, 6]])
def test_bands_that_do_not_fit_leave_no_file(tmp_path: Path, heights: list[int]) -> None:
    bands = Bands((10, 7), np.dtype(np.uint16), lambda: (np.zeros((h, 7), np.uint16) for h in heights))
    with pytest.raises(ValueError, match="rows"):
        write_bands(tmp_path / "a.tif", bands)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_features_are_geojson(tmp_path: Path, count: int) -> None:
    source = Features(lambda: ({"type": "Feature", "id": str(number)} for number in range(count)))
    write_features(tmp_path / "a.geojson", source)
    write_features(tmp_path / "a.geojson.gz", source)
    found = json.loads((tmp_path / "a.geojson").read_text())
    assert found["type"] == "FeatureCollection"
    assert [feature["id"] for feature in found["features"]] == [str(number) for number in range(count)]
    packed = (tmp_path / "a.geojson.gz").read_bytes()
    assert json.loads(gzip.decompress(packed)) == found
    write_features(tmp_path / "b.geojson.gz", source)
    assert (tmp_path / "b.geojson.gz").read_bytes() == packed
