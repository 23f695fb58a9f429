"""Sets of the same laboratory: their cases joined, some cells kept for measuring, what is known written down."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn.karyotype import metaphase, single, write_adir, write_clusters, write_coco, write_karyonet

from cellscope.assays.karyotype.datasets.grouping import Origin, dealt, kept_groups
from cellscope.assays.karyotype.datasets.prepare import prepare
from cellscope.assays.karyotype.datasets.sources import FORMATS, clusters, karyonet
from cellscope.assays.karyotype.datasets.sources.known import KNOWN
from cellscope.errors import DatasetError
from cellscope.io.prepared import PreparedDataset
from cellscope.io.sources import choose_format
from cellscope.io.splits import Item
from cellscope.options.common import PrepareOptions

MORE, FIRST = "tseng2023_gband_more", "tseng2023_gband"


def write_tseng(folder: Path, cells: dict[str, dict[str, object]], *, zipped: bool) -> None:
    """Write boxes as Tseng's set has them; `cells` is file stem -> more facts of the image."""
    write_coco(folder, [metaphase(seed) for seed in range(len(cells))], style="boxes")
    (path,) = folder.glob("*.json")
    content = json.loads(path.read_text())
    for image, (stem, facts) in zip(content["images"], cells.items(), strict=True):
        pixels = cv2.imread(str(folder / "images" / image["file_name"]))
        (folder / "images" / image["file_name"]).unlink()
        image["file_name"] = f"{stem}.webp" if zipped else f"{stem}.jpg"
        cv2.imwrite(str(folder / "images" / image["file_name"]), pixels)
        image |= facts
    path.unlink()
    text = json.dumps(content).encode()
    (folder / ("boxes.json.gz" if zipped else "boxes.json")).write_bytes(gzip.compress(text) if zipped else text)


def table_of(folder: Path) -> pd.DataFrame:
    return PreparedDataset.open(folder, assay="karyotype").items.set_index("id")


# ---- Tseng: WebP, gzipped boxes, cases over two sets


def test_gzipped_boxes_and_webp(tmp_path: Path) -> None:
    write_tseng(
        tmp_path / MORE, {"1050013": {"case": "105001", "group": "105001", "abnormal": "structural"}}, zipped=True
    )
    assert choose_format(tmp_path / MORE, None, FORMATS) == "coco"
    (record,) = FORMATS["coco"].read(tmp_path / MORE)
    assert (record.group, record.case, record.abnormal) == ("105001", "105001", True)
    assert len(record.instances) == 46
    prepare([tmp_path / MORE], tmp_path / "out", PrepareOptions())
    row = table_of(tmp_path / "out").loc[f"{MORE}/1050013"]
    stored = cv2.imread(str(tmp_path / "out" / row["image"]), cv2.IMREAD_UNCHANGED)
    assert stored.ndim == 2
    assert np.abs(stored.astype(int) - metaphase(0).pixels).mean() < 6  # lossy
    assert (row["laboratory"], row["stain"], row["abnormal"], row["split"]) == ("tseng2023", "G", "structural", "test")


@pytest.mark.parametrize(
    "content",
    [b"\x1f\x8b\x08broken", b"", gzip.compress(b"{broken"), gzip.compress(b"[1]")],
    ids=["broken gzip", "empty", "broken JSON", "a list"],
)
def test_a_gz_that_holds_no_annotation_is_no_coco_folder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "boxes.json.gz").write_bytes(content)
    assert not FORMATS["coco"].detect(tmp_path)


def test_cases_of_both_sets_are_one_group(tmp_path: Path) -> None:
    write_tseng(
        tmp_path / FIRST, {stem: {"case": stem[:-1]} for stem in ("1050012", "1053442", "1099991")}, zipped=False
    )
    more = {"1050013": ("105001", "105001"), "1053443": ("105344", "105348"), "1053484": ("105348", "105348")}
    write_tseng(
        tmp_path / MORE, {stem: {"case": case, "group": group} for stem, (case, group) in more.items()}, zipped=True
    )
    prepare([tmp_path / FIRST, tmp_path / MORE], tmp_path / "out", PrepareOptions())
    table = table_of(tmp_path / "out")
    groups = {name.rsplit("/", 1)[1]: set(rows.index) for name, rows in table.groupby("group")}
    assert groups == {
        "105001": {f"{FIRST}/1050012", f"{MORE}/1050013"},
        "105344": {f"{FIRST}/1053442", f"{MORE}/1053443", f"{MORE}/1053484"},
        "109999": {f"{FIRST}/1099991"},
    }
    assert (table.groupby("group")["split"].nunique() == 1).all()


def test_slides_of_both_adir_sets_are_one_group(tmp_path: Path) -> None:
    write_adir(tmp_path / "adir_mfish", [metaphase(0), metaphase(1)])
    write_adir(tmp_path / "adir_mfish_more", [metaphase(2)])
    prepare([tmp_path / "adir_mfish", tmp_path / "adir_mfish_more"], tmp_path / "out", PrepareOptions())
    table = table_of(tmp_path / "out")
    assert set(table["group"]) == {"adir_mfish/V00", "adir_mfish/V01"}
    assert (table["group"] == "adir_mfish/V00").sum() == 2


def test_sets_of_strangers_never_share_a_group() -> None:
    items = [Item("one/a", "one/7", "a"), Item("two/a", "two/7", "b")]
    assert [item.group for item in dealt(items, [Origin("7", "7"), Origin("7", "7")], (0.6, 0.2, 0.2), 0)] == [
        "one/7",
        "two/7",
    ]


# ---- cells kept for measuring


def cases(count: int) -> tuple[list[Item], list[Origin]]:
    """Cases of one to three cells, every tenth abnormal, and one further cell of every fifth in the first set."""
    items, origins = [], []
    for case in range(count):
        for number in range(1 + case % 3):
            items.append(Item(f"{MORE}/{case}-{number}", "", ""))
            origins.append(Origin(str(case), str(case), abnormal=case % 10 == 0 and number == 0))
        if case % 5 == 0:
            items.append(Item(f"{FIRST}/{case}-9", "", ""))
            origins.append(Origin(str(case)))
    return items, origins


@pytest.mark.parametrize("seed", [0, 4])
@pytest.mark.parametrize("splits", [(0.6, 0.2, 0.2), (0.9, 0.1, 0.0)])
def test_the_kept_cells_do_not_hang_on_seed_or_splits(seed: int, splits: tuple[float, float, float]) -> None:
    items, origins = cases(300)
    got = dealt(items, origins, splits, seed)
    split_of = {item.group: item.fixed_split for item in got}
    assert all(split_of[item.group] == item.fixed_split for item in got)
    assert set(split_of.values()) == {"train", "val", "test"}  # nothing is left to be dealt to the test split
    test = {item.group for item in got if item.fixed_split == "test"}
    assert {f"{FIRST}/{case}" for case in range(0, 300, 10)} <= test
    abnormal = {f"{FIRST}/{case}" for case in range(0, 300, 10)}
    normal = [item for item in got if item.group in test - abnormal and item.source == MORE]
    assert len(normal) == KNOWN[MORE].test_cells == 150
    reference = {item.group for item in dealt(items, origins, (0.6, 0.2, 0.2), 0) if item.fixed_split == "test"}
    assert test == reference
    train = sum(item.fixed_split == "train" for item in got)
    val = sum(item.fixed_split == "val" for item in got)
    assert train / (train + val) == pytest.approx(splits[0] / (splits[0] + splits[1]), abs=0.02)


def test_the_first_set_alone_keeps_nothing() -> None:
    items, origins = cases(60)
    own = [(item, origin) for item, origin in zip(items, origins, strict=True) if item.source == FIRST]
    assert not any(item.fixed_split for item in dealt(*map(list, zip(*own, strict=True)), (0.6, 0.2, 0.2), 0))


def test_kept_groups_are_whole_and_never_more_than_asked() -> None:
    cells = [(str(case), False) for case in range(40) for _ in range(3)]
    kept = kept_groups(cells, 10)
    assert len(kept) == 3  # of three cells each: a fourth would be twelve
    assert kept_groups(cells[::-1], 10) == kept


# ---- KaryoNet, Lin 2020


def test_karyonet(tmp_path: Path) -> None:
    source = tmp_path / "karyonet_sample_singles"
    write_karyonet(source)
    assert choose_format(source, None, FORMATS) == "karyonet"
    records = list(karyonet.read(source))
    assert [(record.group, record.class_, record.facts["stain"]) for record in records] == [
        ("001_A1_slide0_cel", "X", "G"),
        ("001_A1_slide0_cel", "7", "G"),
        ("001_A1_slide0_cel5", "Y", "G"),
        ("18-1473.0013", "X", "R"),
        ("18-1473.0013", "7", "R"),
        ("18-1473.00135", "Y", "R"),
    ]
    prepare([source], tmp_path / "out", PrepareOptions(splits=(1, 0, 0)))
    assert set(table_of(tmp_path / "out")["split"]) == {"test"}  # a laboratory left out whole
    cv2.imwrite(str(source / "singles" / "Gband" / "val" / "odd.jpg"), single("7"))
    with pytest.raises(DatasetError, match=r"odd\.jpg"):
        list(karyonet.read(source))


def test_clusters(tmp_path: Path) -> None:
    source = tmp_path / "chromosome_clusters_lin2020"
    write_clusters(source)
    assert choose_format(source, None, FORMATS) == "clusters"
    records = list(clusters.read(source))
    assert [(record.group, record.facts["kind"]) for record in records] == [
        ("case1", "chromosome"),
        ("case1", "cluster"),
        ("case2", "chromosome"),
    ]
    prepare([source], tmp_path / "out", PrepareOptions())
    table = table_of(tmp_path / "out")
    assert set(table["class"]) == {""}
    assert sorted(table["kind"]) == ["chromosome", "chromosome", "cluster"]


# ---- the real ones


@pytest.mark.realdata
def test_the_real_sets(real_data: Path, tmp_path: Path) -> None:
    names = ["adir_mfish", "adir_mfish_more", "chromosome_clusters_lin2020", "karyonet_sample_singles"]
    sources = [real_data / "karyotype" / name for name in names]
    if not all(source.is_dir() for source in sources):
        pytest.skip("not all of the sets are there")
    prepare(sources, tmp_path / "out", PrepareOptions())
    table = table_of(tmp_path / "out")
    assert table["source"].value_counts().to_dict() == dict(zip(names, (84, 64, 642, 460), strict=True))
    assert (table.groupby("group")["split"].nunique() == 1).all()
    kinds = table["kind"].value_counts()
    assert (kinds["chromosome"], kinds["cluster"]) == (531, 111)
    singles = table[table["source"] == "karyonet_sample_singles"]
    assert set(singles["split"]) == {"test"}
    assert singles["stain"].value_counts().to_dict() == {"G": 230, "R": 230}
    assert singles["class"].nunique() == 24


@pytest.mark.realdata
def test_the_real_boxes_of_tseng(real_data: Path) -> None:
    folders = [real_data / "karyotype" / name for name in (FIRST, MORE)]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("no Tseng sets")
    items, origins = [], []
    boxes = 0
    for folder in folders:
        for record in FORMATS["coco"].read(folder):
            items.append(Item(f"{folder.name}/{record.name}", f"{folder.name}/{record.group}", record.path.name))
            origins.append(Origin(record.group, record.case, record.abnormal))
            boxes += len(record.instances) if folder.name == MORE else 0
    assert boxes == 85083
    got = dealt(items, origins, (0.6, 0.2, 0.2), 0)
    shared = {item.group for item in got if item.source == FIRST} & {item.group for item in got if item.source == MORE}
    assert sum(item.group in shared for item in got if item.source == FIRST) == 146
    kept = [item for item in got if item.source == MORE and item.fixed_split == "test"]
    abnormal = {item.id for item, origin in zip(items, origins, strict=True) if origin.abnormal}
    assert len(abnormal) == 45
    assert abnormal <= {item.id for item in kept}
    with_abnormal = {item.group for item in got if item.id in abnormal}
    assert sum(item.group not in with_abnormal for item in kept) == 150
