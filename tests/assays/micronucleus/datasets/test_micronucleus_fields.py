"""Fields with label images and judged small bodies: what is a nucleus, a micronucleus, surely a normal cell."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn.micronucleus import PLACES, draw_field, write_mnfinder

from cellscope.assays.micronucleus.datasets.fields import FieldCrops, load_fields
from cellscope.assays.micronucleus.datasets.prepare import prepare
from cellscope.assays.micronucleus.datasets.sources import FORMATS, instances
from cellscope.assays.micronucleus.options import MicronucleusPrepareOptions as Options
from cellscope.errors import DatasetError
from cellscope.io.prepared import PreparedDataset
from cellscope.io.sources import choose_format

#: Label of the first small body in what `write_field` draws.
BODY = len(PLACES) + 1
SIZE = 150


def field(carriers: tuple[int, ...], seed: int = 0, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """Draw grey (H, W) uint8 and labels: nuclei 1 to 4, then the small bodies beside the carriers."""
    drawn = draw_field(seed, carriers, size)
    labels = drawn.nuclei + np.where(drawn.micronuclei > 0, drawn.micronuclei + len(PLACES), 0)
    return np.clip(drawn.grey / 5, 0, 255).astype(np.uint8), labels.astype(np.uint16)


def write_field(
    folder: Path, name: str, carriers: tuple[int, ...], verdicts: tuple[str, ...], *, size: int = SIZE
) -> None:
    grey, labels = field(carriers, size=size)
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.png"), grey)
    cv2.imwrite(str(folder / "labels" / f"{name}.png"), labels)
    table = folder / instances.TABLE
    rows = [f"{name},{BODY + number},{verdict}\n" for number, verdict in enumerate(verdicts)]
    table.write_text((table.read_text() if table.exists() else "image,label,visual\n") + "".join(rows))


def read_all(folder: Path) -> list[instances.FieldRecord]:
    return list(instances.read_source(folder, Options()))


def test_judged_bodies_are_no_nuclei_and_only_micronuclei_make_a_carrier(tmp_path: Path) -> None:
    write_field(tmp_path, "a", (1, 3, 4), ("mn", "unclear", "debris"))
    assert choose_format(tmp_path, None, FORMATS) == "instances"
    (record,) = read_all(tmp_path)
    drawn = draw_field(0, (1, 3, 4))
    np.testing.assert_array_equal(record.nuclei, drawn.nuclei)
    np.testing.assert_array_equal(record.micronuclei, drawn.micronuclei == 1)
    assert record.parents == {1: 1}
    # beside 3 and 4 something lies that may be one: they are neither
    assert record.classes == {1: "micronucleus", 2: "normal"}
    assert not record.complete


def test_a_body_that_nobody_labelled_keeps_a_cell_from_counting_as_normal(tmp_path: Path) -> None:
    grey, labels = field((2,))
    unlabelled = np.where(labels == BODY, 0, labels)
    record = instances.field_of("a", "set", grey, unlabelled.astype(np.int32), {})
    assert record.classes == dict.fromkeys((1, 3, 4), "normal")
    clean = instances.field_of("a", "set", field(())[0], field(())[1].astype(np.int32), {})
    assert clean.classes == dict.fromkeys((1, 2, 3, 4), "normal")


def test_a_small_label_that_nobody_judged_is_neither(tmp_path: Path) -> None:
    write_field(tmp_path, "a", (2,), ())
    (record,) = read_all(tmp_path)
    assert record.nuclei.max() == 4
    assert not record.micronuclei.any()
    assert record.classes == dict.fromkeys((1, 3, 4), "normal")


def test_noise_hides_micronuclei_and_then_no_cell_is_surely_normal() -> None:
    grey, labels = field(())
    noisy = np.clip(grey + np.random.default_rng(0).normal(0, 60, grey.shape), 0, 255).astype(np.uint8)
    assert instances.field_of("a", "set", noisy, labels.astype(np.int32), {}).classes == {}


def test_nuclei_that_are_small_cut_off_or_odd_are_not_normal() -> None:
    grey, labels = (array[:, : SIZE - 37] for array in field(()))  # cuts the two on the right
    cut = instances.field_of("a", "set", grey, labels.astype(np.int32), {})
    assert cut.classes == dict.fromkeys((1, 3), "normal")
    half = cv2.resize(grey, None, fx=0.5, fy=0.5), cv2.resize(labels, None, fx=0.5, fy=0.5, interpolation=0)
    assert instances.field_of("a", "set", half[0], half[1].astype(np.int32), {}).classes == {}
    joined = np.where(labels == 3, 1, labels)  # one number for two
    grey, labels = field(())
    joined = np.where(labels == 3, 1, labels)
    found = instances.field_of("a", "set", grey, joined.astype(np.int32), {})
    assert sorted(found.classes) == [2, 3]  # numbered anew: 2 and 4


def test_few_normal_cells_of_a_field_are_taken_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "PER_FIELD", 2)
    grey, labels = field(())
    found = [set(instances.field_of(name, "set", grey, labels.astype(np.int32), {}).classes) for name in "aaabcdef"]
    assert {len(one) for one in found} == {2}
    assert found[0] == found[1] == found[2]
    assert len({frozenset(one) for one in found}) > 1


def test_prepared_fields_are_grouped_by_size_and_marked(tmp_path: Path) -> None:
    source = tmp_path / "dsb2018_fluorescence"
    write_field(source, "a", (1, 3), ("mn", "mn"))
    write_field(source, "b", (2,), ("mn",))
    write_field(source, "c", (2,), ("mn",), size=160)
    write_field(source, "d", (2,), ("debris",), size=170)
    prepare([source], tmp_path / "out", Options(crop_size=64))
    dataset = PreparedDataset.open(tmp_path / "out", assay="micronucleus")
    table = dataset.items.set_index("id")
    assert dataset.info["sources"][0]["licence"].endswith("judged by eye")
    fields = table[table["class"] == ""]
    assert fields["group"].str.split("/").str[1].tolist() == ["150x150", "150x150", "160x160", "170x170"]
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert set(fields["micronuclei"]) == {"some"}
    assert set(table.loc[table["class"] != "", "micronuclei"]) == {""}
    crop = table[table["class"] == "micronucleus"].iloc[0]
    mask = cv2.imread(str(tmp_path / "out" / crop["target"]), cv2.IMREAD_UNCHANGED)
    assert mask.any()


@pytest.mark.parametrize(("splits", "expected"), [((0.6, 0.2, 0.2), "train"), ((0.0, 1.0, 0.0), "val")])
def test_a_group_that_is_most_of_a_set_goes_to_training_where_most_goes(
    tmp_path: Path, splits: tuple[float, float, float], expected: str
) -> None:
    source = tmp_path / "set"
    for name in "abc":
        write_field(source, name, (1,), ("mn",))
    for number, name in enumerate("de"):
        write_field(source, name, (1,), ("mn",), size=160 + 10 * number)
    for seed in range(4):
        prepare([source], tmp_path / f"out{seed}", Options(crop_size=64, seed=seed, splits=splits))
        table = PreparedDataset.open(tmp_path / f"out{seed}", assay="micronucleus").items
        assert set(table.loc[table["group"] == "set/150x150", "split"]) == {expected}


def test_what_is_not_outlined_does_not_teach_that_there_is_none(tmp_path: Path) -> None:
    source = write_mnfinder(tmp_path / "mnfinder", {"2024-01-01_RPE1": 1})
    write_field(tmp_path / "set", "a", (1, 3), ("mn", "unclear"))
    prepare([source, tmp_path / "set"], tmp_path / "out", Options(crop_size=64, splits=(1, 0, 0)))
    fields = {
        one.source: one for one in load_fields(PreparedDataset.open(tmp_path / "out", assay="micronucleus"), "all")
    }
    assert (fields["RPE1"].complete, fields["set"].complete) == (True, False)
    outside = (fields["set"].nuclei == 0) & (fields["set"].micronuclei == 0)
    fields["set"].normalised[outside] = 0.5  # something that nobody outlined
    fields["set"].normalised[outside & (np.arange(outside.shape[1]) // 25 % 2 == 0)] = 0.0
    for name, least, most in (("RPE1", 0.9, 1.0), ("set", 0.1, 0.9)):
        crops = FieldCrops([fields[name]], 96, 0.0, seed=0)
        _, targets, weights = (plane.numpy() for plane in crops[0, 3])
        background = (targets[0] < 0.01) & (targets[2] < 0.01) & (weights[0] > 0)
        assert least <= (weights[2][background] > 0).mean() <= most
        assert weights[2][targets[0] > 0.9].all()
        assert weights[0][background].all()  # of nuclei all is known


def test_day_and_cell_line_are_in_mnfinders_folder_names(tmp_path: Path) -> None:
    source = write_mnfinder(tmp_path / "mnfinder", {"2024-01-01_RPE1": 1, "plate_HeLa": 1})
    prepare([source], tmp_path / "out", Options(crop_size=64))
    table = PreparedDataset.open(tmp_path / "out", assay="micronucleus").items
    assert set(zip(table["line"], table["day"], table["laboratory"], strict=True)) == {
        ("RPE1", "2024-01-01", "hatch"),
        ("HeLa", "", "hatch"),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "labels" / "a.png").unlink(), "no mask of that name"),
        (lambda folder: (folder / instances.TABLE).write_text("image,label,visual\na,77,mn\n"), "a has no label 77"),
        (lambda folder: (folder / instances.TABLE).write_text("image,label,visual\na,5,odd\n"), "'odd' is none of"),
        (lambda folder: (folder / instances.TABLE).write_text("image,label,visual\nz,5,mn\n"), "names z, which is not"),
        (lambda folder: cv2.imwrite(str(folder / "labels" / "a.png"), np.ones((9, 9), np.uint8)), "mask is 9 x 9"),
        (lambda folder: (folder / "images" / "a.png").write_bytes(b"no picture"), r"a\.png"),
    ],
)
def test_sources_that_do_not_fit(tmp_path: Path, change, message: str) -> None:
    write_field(tmp_path, "a", (1,), ("mn",))
    change(tmp_path)
    with pytest.raises(DatasetError, match=message):
        read_all(tmp_path)


@pytest.mark.realdata
def test_the_real_set(real_data: Path) -> None:
    source = real_data / "micronucleus" / "dsb2018_fluorescence"
    if not instances.detect(source):
        pytest.skip("no fluorescence fields of the Data Science Bowl")
    listed = pd.read_csv(source / "images.csv").set_index("image")
    judged = pd.read_csv(source / instances.TABLE)
    count, micronuclei = 0, 0
    for number, record in enumerate(instances.read_source(source, Options())):
        assert record.nuclei.max() <= listed.loc[record.name, "n_nuclei"]
        assert record.nuclei.max() >= 0.6 * listed.loc[record.name, "n_nuclei"] or record.nuclei.max() >= 5
        assert record.micronuclei.max() == ((judged["image"] == record.name) & (judged["visual"] == "mn")).sum()
        count, micronuclei = number + 1, micronuclei + int(record.micronuclei.max())
    assert (count, micronuclei) == (541, 115)
