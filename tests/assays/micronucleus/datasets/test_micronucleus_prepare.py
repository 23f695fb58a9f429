"""Prepared datasets: layouts, splits, the paper's recipe, the same bytes again, and what is refused."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn.micronucleus import colours, draw_field, write_mnfinder

from cellscope.assays.micronucleus.classes import parse_class
from cellscope.assays.micronucleus.datasets.fields import FieldCrops, load_fields
from cellscope.assays.micronucleus.datasets.prepare import prepare
from cellscope.assays.micronucleus.datasets.sources.mnfinder import field_of
from cellscope.assays.micronucleus.options import MicronucleusPrepareOptions as Options
from cellscope.assays.micronucleus.training.classifier_data import CropViews, load_crops
from cellscope.errors import DatasetError, UsageError
from cellscope.io.prepared import PreparedDataset

SETS = {"2024-01-01_RPE1": 4, "2024-01-02_HeLa": 3}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_mnfinder(tmp_path_factory.mktemp("source") / "mnfinder", SETS)


def items_of(folder):
    return pd.read_csv(folder / "items.csv", dtype=str, keep_default_na=False)


def test_fields_become_fields_and_crops(source, tmp_path):
    prepare([source], tmp_path / "a", Options(splits=(0.4, 0.3, 0.3)))
    items = items_of(tmp_path / "a")
    fields, crops = items[items["class"] == ""], items[items["class"] != ""]
    assert (fields["target"] != "").all()
    assert (len(fields), len(crops)) == (7, 28)
    assert set(fields["id"].str.split("/").str[0]) == {"RPE1", "HeLa"}
    assert (items.groupby("group")["split"].nunique() == 1).all()
    assert set(crops.groupby("group").size()) == {4}
    assert cv2.imread(str(tmp_path / "a" / crops["image"].iloc[0]), cv2.IMREAD_UNCHANGED).shape == (224, 224)
    assert "MIT" in json.loads((tmp_path / "a" / "dataset.json").read_text())["sources"][0]["licence"]
    dataset = PreparedDataset.open(tmp_path / "a", assay="micronucleus")
    loaded = load_fields(dataset, "all")
    carriers = {field.id: field.positive() for field in loaded}
    for row in crops.itertuples():
        label = int(row.id.rsplit("/", 1)[1])
        assert (row._7 == "micronucleus") == (label in carriers[row.group])
    assert sum(map(len, carriers.values())) == sum(len(((1, 3), (2,), (1, 2, 4))[seed % 3]) for seed in range(1, 8))


def test_the_same_source_gives_the_same_bytes(source, tmp_path):
    for name in ("a", "b"):
        prepare([source], tmp_path / name, Options(splits=(0.4, 0.3, 0.3), folds=3, seed=4))
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    with pytest.raises(UsageError, match="already holds"):
        prepare([source], tmp_path / "a", Options())
    prepare([source], tmp_path / "a", Options(overwrite=True))


def test_a_cell_line_can_be_held_out(source, tmp_path):
    prepare([source], tmp_path / "a", Options(hold_out="HeLa", splits=(0.7, 0.3, 0.0)))
    items = items_of(tmp_path / "a")
    assert set(items.loc[items["id"].str.startswith("HeLa/"), "split"]) == {"test"}
    assert "test" not in set(items.loc[items["id"].str.startswith("RPE1/"), "split"])
    with pytest.raises(UsageError, match="no cell line U2OS; there are HeLa, RPE1"):
        prepare([source], tmp_path / "b", Options(hold_out="U2OS"))


def test_the_papers_recipe(source, tmp_path):
    plain, paper = tmp_path / "a", tmp_path / "b"
    prepare([source], plain, Options(splits=(0.4, 0.3, 0.3)))
    prepare([source], paper, Options(splits=(0.4, 0.3, 0.3), recipe="paper"))
    before, after = (items_of(folder).query("`class` != ''") for folder in (plain, paper))
    had, has = (table[table["split"] == "train"]["class"].value_counts() for table in (before, after))
    rare, common = had.idxmin(), had.idxmax()
    assert has[rare] == 5 * had[rare]
    assert has[common] == min(had[common], has[rare])
    untouched = [set(table.loc[table["split"] == "test", "id"]) for table in (before, after)]
    assert untouched[0] == untouched[1]
    assert (after["split"] == "val").sum() == 5 * (before["split"] == "val").sum()
    assert all((paper / image).is_file() for image in after["image"])


def test_crops_in_class_folders(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("Normal cells/donor1", "Normal cells/donor2", "MN"):
        (tmp_path / "crops" / folder).mkdir(parents=True)
        for number in range(2):
            cv2.imwrite(str(tmp_path / "crops" / folder / f"{number}.png"), rng.integers(0, 255, (60, 70), np.uint8))
    prepare([tmp_path / "crops"], tmp_path / "out", Options())
    items = items_of(tmp_path / "out")
    assert items["class"].value_counts().to_dict() == {"normal": 4, "micronucleus": 2}
    assert items["group"].nunique() == 4  # two donors, two crops on their own
    cv2.imwrite(str(tmp_path / "crops/MN/small.png"), np.zeros((20, 90), np.uint8))
    with pytest.raises(DatasetError, match="small: the crop is 90 x 20 pixels, too small"):
        prepare([tmp_path / "crops"], tmp_path / "out", Options(overwrite=True))


def test_a_table_of_cells_such_as_corrections(tmp_path):
    field = draw_field()
    cv2.imwrite(str(tmp_path / "f.tif"), field.grey)
    table = tmp_path / "corrections.csv"
    table.write_text(
        "image,label,centroid-0,centroid-1,class,decision,probability\n"
        "f.tif,9,40.2,39.8,micronucleus,accept,0.9\nf.tif,3,110,110,normal,reject,0.7\n"
    )
    prepare([table], tmp_path / "a", Options())
    assert sorted(items_of(tmp_path / "a")["class"]) == ["micronucleus", "normal"]
    table.write_text("image,y,x,class\nf.tif,75,75,normal\n")
    with pytest.raises(DatasetError, match="no nucleus near row 75"):
        prepare([table], tmp_path / "b", Options())
    table.write_text("image,y,x,class\nf.tif,40,40,mitosis\n")
    with pytest.raises(UsageError, match="'mitosis' is not a class"):
        prepare([table], tmp_path / "b", Options())
    table.write_text("image,class\nf.tif,normal\n")
    with pytest.raises(UsageError, match="centroid-0"):
        prepare([table], tmp_path / "b", Options())


def test_colours_shared_by_several_nuclei_are_separated(capsys):
    field = draw_field()
    codes = np.where(field.nuclei == 4, 1, field.nuclei)  # the far corner has the colour of the first nucleus
    owner = np.zeros_like(field.micronuclei)
    owner[field.micronuclei == 1], owner[field.micronuclei == 2] = 1, 3
    record = field_of("x", "RPE1", field.grey, codes, owner)
    assert record.nuclei.max() == 4
    assert "1 mask colours are shared" in capsys.readouterr().err
    place = tuple(np.argwhere(field.nuclei == 1)[0])
    assert record.parents[1] == record.nuclei[place]  # the nearer of the two


def test_masks_that_do_not_fit_are_named(source, tmp_path):
    broken = write_mnfinder(tmp_path / "broken", {"a_RPE1": 1})
    cv2.imwrite(str(broken / "a_RPE1/mn_masks/1.png"), colours(np.ones((5, 5), int)))
    with pytest.raises(DatasetError, match=r"mn_masks.1.png: the mask is 5 x 5, its image 150 x 150"):
        prepare([broken], tmp_path / "out", Options())
    (broken / "a_RPE1/mn_masks/1.png").unlink()
    with pytest.raises(DatasetError, match="there is no mask of that name"):
        prepare([broken], tmp_path / "out", Options())
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DatasetError, match="no known layout"):
        prepare([tmp_path / "nothing"], tmp_path / "out", Options())


def test_draws_can_be_repeated(source, tmp_path):
    prepare([source], tmp_path / "a", Options(splits=(0.4, 0.3, 0.3)))
    dataset = PreparedDataset.open(tmp_path / "a", assay="micronucleus")
    crops = FieldCrops(load_fields(dataset, "train"), 64, 0.2, seed=3)
    first, again, other = crops[0, 5], crops[0, 5], crops[0, 6]
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert not (first[0] == other[0]).all()
    inputs, targets, weights = first
    assert inputs.shape == (2, 64, 64)
    assert targets.shape == weights.shape == (3, 64, 64)
    assert targets.min() >= 0
    assert targets.max() <= 1
    cells = load_crops(dataset, "train")
    synthetic = CropViews(cells, 32, seed=0, pretrain=40)
    labels = [synthetic[0, draw][1] for draw in range(40)]
    assert 8 < sum(labels) < 32  # half of the pretraining draws get a painted micronucleus
    view, _, marks = synthetic[0, 3]
    assert marks.shape == view.shape
    assert view.shape == (1, 32, 32)
    assert (synthetic[0, 3][0] == view).all()


@pytest.mark.parametrize(("text", "wanted"), [("MN", "micronucleus"), ("Normal cells", "normal"), ("mitosis", None)])
def test_classes_as_people_write_them(text, wanted):
    assert parse_class(text) == wanted


def outlined(folder, names, *, carriers=()):
    """A field as COCO: nuclei of the first class or, `carriers`, of the second; micronuclei where three are named."""
    field = draw_field()
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images/f.tif"), field.grey)
    masks = [(field.nuclei == n, 2 if n in carriers else 1) for n in range(1, field.nuclei.max() + 1)]
    if len(names) == 3:
        masks += [(field.micronuclei == n, 3) for n in range(1, field.micronuclei.max() + 1)]
    annotations = []
    for number, (mask, category) in enumerate(masks, 1):
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        segmentation = [contour.ravel().tolist() for contour in contours]
        annotations.append({"id": number, "image_id": 1, "category_id": category, "segmentation": segmentation})
    content = {
        "images": [{"id": 1, "file_name": "f.tif"}],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(names, 1)],
    }
    (folder / "coco.json").write_text(json.dumps(content))
    return field


def test_outlines_of_nuclei_and_micronuclei(tmp_path, capsys):
    field = outlined(tmp_path / "a", ("nucleus", "debris", "micronucleus"), carriers=(2,))
    prepare([tmp_path / "a"], tmp_path / "out", Options())
    assert "1 dropped: objects of the class debris" in capsys.readouterr().err
    items = items_of(tmp_path / "out")
    assert items["class"].value_counts().to_dict() == {"normal": 1, "micronucleus": 2, "": 1}
    dataset = PreparedDataset.open(tmp_path / "out", assay="micronucleus")
    (loaded,) = load_fields(dataset, "all")
    assert len(loaded.positive()) == 2
    assert abs((loaded.nuclei > 0).sum() / (np.isin(field.nuclei, (1, 3, 4))).sum() - 1) < 0.1


def test_outlines_of_cells_with_a_class_each(tmp_path):
    outlined(tmp_path / "a", ("normal", "micronucleus"), carriers=(1, 3))
    prepare([tmp_path / "a"], tmp_path / "out", Options())
    items = items_of(tmp_path / "out")
    assert items["class"].value_counts().to_dict() == {"normal": 2, "micronucleus": 2}
    outlined(tmp_path / "b", ("nucleus", "nucleus"))
    with pytest.raises(DatasetError, match="no class tells which cells carry micronuclei"):
        prepare([tmp_path / "b"], tmp_path / "bad", Options())
