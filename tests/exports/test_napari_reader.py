"""The reader for napari: found by its manifest, and what it opens becomes layers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import tifffile
from drawn.finished import IMAGES, PIXEL_UM, write_run

from cellscope.exports.napari import get_reader


def test_what_is_no_run_is_left_to_others(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(tmp_path), str(tmp_path)]) is None
    (tmp_path / "run.json").write_text("{}")
    assert get_reader(str(tmp_path / "run.json")) is None


@pytest.mark.parametrize("assay", ["karyotype", "nucleus-seg"])
def test_layers(assay: str, tmp_path: Path) -> None:
    run = write_run(tmp_path, assay)
    read = get_reader(str(run.out))
    assert read is not None
    (pixels, about, kind), (outlined, settings, sort), *others = read(str(run.out))
    assert (kind, about["name"], about["scale"]) == ("image", IMAGES[0], (PIXEL_UM, PIXEL_UM))
    np.testing.assert_array_equal(pixels, run.pixels.squeeze())
    assert about["metadata"]["cellscope"]["path"] == str(run.images / IMAGES[0])
    features = settings["features"]
    assert features["class"].tolist() == list(run.classes.values())
    if assay == "karyotype":
        assert sort == "shapes"
        low, high = outlined[1].min(0), outlined[1].max(0)
        np.testing.assert_array_equal([low, high], [[37.5, 39.5], [41.5, 69.5]])  # row and column
    else:
        assert (sort, features["index"].tolist()) == ("labels", [1, 2, 3])
        np.testing.assert_array_equal(outlined, tifffile.imread(run.out / "day 1/a.b.labels.tif"))
    assert [one[1]["visible"] for one in others] == [False, False]


def test_the_manifest_is_valid_and_opens_a_run(tmp_path: Path) -> None:
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(files("cellscope") / "napari.yaml")
    manifest.validate_imports()
    manager = npe2.PluginManager.instance()
    if "cellscope" in manager:  # the installed package's own
        manager.unregister("cellscope")
    manager.register(manifest)
    run = write_run(tmp_path, "nucleus-seg")
    for path in (run.out, run.out / "run.json"):
        layers, reader = npe2.read_get_reader([str(path)], plugin_name="cellscope", stack=False)
        assert reader.plugin_name == "cellscope"
        assert [layer[2] for layer in layers] == ["image", "labels"] * 2
    with pytest.raises(ValueError, match=r"refused the file|No readers|returned no data"):
        npe2.read_get_reader([str(run.images)], plugin_name="cellscope", stack=False)


@pytest.mark.slow
@pytest.mark.parametrize("assay", ["karyotype", "nucleus-seg"])
def test_napari_takes_the_layers(assay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    monkeypatch.setenv("NAPARI_CONFIG", "")
    pytest.importorskip("napari")
    from napari.components import ViewerModel

    run = write_run(tmp_path, assay)
    viewer = ViewerModel()
    for data, settings, kind in get_reader(str(run.out))(str(run.out)):
        getattr(viewer, f"add_{kind}")(data, **settings)
    assert len(viewer.layers) == 4
    objects = viewer.layers[1]
    assert objects.features["class"].tolist() == list(run.classes.values())
    if assay == "karyotype":
        assert objects.nshapes == 3
    else:
        assert objects.get_status(position=(7 * PIXEL_UM, 7 * PIXEL_UM), world=True)["value"].startswith("1")
