"""What the faults found, each as the kind that it is of."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import struct
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from contract_check import check
from drawn.karyotype import metaphase
from drawn.named_cells import named
from drawn.slides import draw_slide, write_pyramid
from fake_assay import ASSAY, spots, write_images
from scipy.io import savemat

from cellscope.assays.histo.datasets.sources.mat_file import check_matrices
from cellscope.assays.karyotype.cell.document import as_karyotype, read_karyotype
from cellscope.assays.karyotype.editing.edits import apply_edits
from cellscope.cli import groups
from cellscope.engine.predict import recorder
from cellscope.engine.predict.journal import Journal, peek
from cellscope.engine.predict.merge import merge
from cellscope.engine.predict.records import fault
from cellscope.errors import CellscopeError, DatasetError, InputError
from cellscope.imaging.regions import Regions
from cellscope.io.annotations import via
from cellscope.io.durable import fingerprint, is_whole
from cellscope.io.read import read
from cellscope.io.wsi import open_slide
from cellscope.models.foreign import read_checkpoint
from faults import annotated
from faults.runs import run_fake


def _overwrite(path: Path, page: int, tags: dict[int, int]) -> None:
    with tifffile.TiffFile(path, mode="r+") as tif:
        for code, value in tags.items():
            tif.pages[page].tags[code].overwrite(value)


def _circle(path: Path) -> None:
    with tifffile.TiffFile(path) as tif:
        first, last, count = tif.pages[0].offset, tif.pages[-1].offset, len(tif.pages[-1].tags)
    data = bytearray(path.read_bytes())
    data[last + 2 + 12 * count : last + 6 + 12 * count] = struct.pack("<I", first)
    path.write_bytes(data)


def _look(path: Path) -> None:
    slide = open_slide(path)
    if slide is None:
        read(path)
    else:
        slide.thumbnail(64)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_circle, "form a circle"),
        (lambda path: _overwrite(path, 0, {322: 0, 323: 0}), "no pixels"),
        (lambda path: _overwrite(path, 1, {322: 0}), "no pixels"),
        (lambda path: _overwrite(path, 0, {256: 10**6, 257: 10**6}), "no scanner makes"),
    ],
    ids=["circle", "tiles of no pixels", "a level's tiles of no pixels", "a million by a million"],
)
def test_damaged_slides_are_refused_in_one_line(tmp_path: Path, spoil: object, words: str) -> None:
    path = write_pyramid(tmp_path / "a.tif", draw_slide(1, 128, 10, 8), tile=32)
    assert open_slide(path) is not None
    spoil(path)  # type: ignore[operator]
    with pytest.raises(InputError, match=words) as caught:
        _look(path)
    assert "\n" not in str(caught.value)


def test_polygons_of_a_million_points_take_seconds() -> None:
    angle = np.linspace(0, 2 * np.pi, 10**6, endpoint=False)
    radius = 40_000 * (1 + 0.1 * np.sin(999 * angle))
    regions = Regions([(np.stack([50_000 + radius * np.cos(angle), 50_000 + radius * np.sin(angle)], 1),)])
    began = time.process_time()
    points = np.random.default_rng(0).uniform(0, 100_000, (2, 20_000))
    inside = regions.contains(*points)
    area = regions.area((100_000, 100_000))
    assert time.process_time() - began < 20
    assert area == pytest.approx(np.pi * 40_000**2 * 1.005, rel=1e-3)
    assert inside.mean() == pytest.approx(area / 1e10, abs=0.02)


@pytest.mark.parametrize("far", [2.0**15, 2.0**20, 2.0**24])
def test_far_coordinates_mask_what_they_enclose(far: float) -> None:
    regions = Regions([(np.array([[-far, -far], [far, -far], [far, 10], [20, 10], [20, far], [-far, far]]),)])
    rows, columns = np.mgrid[:40, :40]
    inside = regions.contains(rows.ravel(), columns.ravel()).reshape(40, 40)
    drawn = regions.mask((40, 40), 1.0)
    assert drawn[inside].all()
    assert not drawn[12:, 22:].any()


def test_no_table_holds_a_formula(tmp_path: Path, go) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("=1+1.tif", "@sum.tif", "-2+3.tif", "plain.tif"):
        tifffile.imwrite(folder / name, spots((32, 32), [(4, 4, 200)]))
    (folder / "+bad.tif").write_text("no image")
    assert go(folder) == 3
    assert check("fake", tmp_path / "out") == []
    for path in (tmp_path / "out").glob("*.csv"):
        for row in csv.reader(path.open(newline="")):
            assert not any(cell[:1] in ("=", "@", "+") or (cell[:1] == "-" and not cell[1:2].isdigit()) for cell in row)
    assert (tmp_path / "out" / "=1+1.labels.tif").is_file()
    assert go(folder, skip_existing=True) == 3
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert sorted(entry["status"] for entry in record["inputs"]) == ["failed", *["skipped"] * 4]


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: os.truncate(path, 40),
                                    lambda path: path.write_bytes(bytes(path.stat().st_size))])  # fmt: skip
def test_outputs_that_a_power_cut_spoilt_are_made_again(tmp_path: Path, go, models, damage) -> None:
    run_fake(tmp_path)
    damaged = tmp_path / "killed/a03.labels.tif"
    whole, written = damaged.read_bytes(), damaged.stat()
    damage(damaged)
    os.utime(damaged, ns=(written.st_atime_ns, written.st_mtime_ns))
    assert go(tmp_path / "in", "killed", use=[str(tmp_path / f"{p}.safetensors") for p in ("find", "classify")],
              skip_existing=True) == 0  # fmt: skip
    assert damaged.read_bytes() == whole
    record = json.loads((tmp_path / "killed/run.json").read_text())
    assert {entry["image"]: entry["status"] for entry in record["inputs"]} == {
        "a00.tif": "skipped", "a01.tif": "skipped", "a02.tif": "skipped", "a03.tif": "ok",
    }  # fmt: skip


def test_what_a_person_changed_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("made")
    known = fingerprint(path)
    assert is_whole(path, known)
    path.write_text("corrected")
    os.utime(path, ns=(known[1] + 10**9, known[1] + 10**9))
    assert is_whole(path, known)
    os.utime(path, ns=(known[1], known[1]))
    assert not is_whole(path, known)


def test_a_folder_that_goes_away_ends_the_run(tmp_path: Path, go, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is unmounted: an empty folder of that name appears, and nothing more is written into it."""
    images = write_images(tmp_path / "in", 6)
    write, out = recorder.write_artefacts, tmp_path / "out"

    def unmount(*about):
        written = write(*about)
        if (out / "a01.labels.tif").exists():
            shutil.move(out, tmp_path / "elsewhere")
            out.mkdir()
        return written

    monkeypatch.setattr(recorder, "write_artefacts", unmount)
    with pytest.raises(CellscopeError, match="no longer the folder"):
        go(images, batch_size=1)
    assert not (out / "run.json").exists()
    assert not list(out.glob("*.csv"))


@pytest.mark.parametrize(
    "line", [b"[]", b"7", b"{}", b'{"image":1}', b"[" * 10**5, b'{"image":"a","status":"done"}', b"\xff\xfe"]
)
def test_a_journal_is_believed_up_to_the_first_line_that_makes_no_sense(tmp_path: Path, line: bytes) -> None:
    run_fake(tmp_path)
    path = tmp_path / "killed/journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], line + b"\n", *lines[3:]]))
    assert list(peek(path)[1]) == ["a00.tif", "a01.tif"]
    journal = Journal(path, {})
    journal.close()
    assert list(journal.entries) == ["a00.tif", "a01.tif"]
    assert path.read_bytes() == b"".join(lines[:3])


def test_records_of_other_types_are_refused_by_field(tmp_path: Path) -> None:
    run_fake(tmp_path)
    record = json.loads((tmp_path / "whole/run.json").read_text())
    assert fault(record, "run") == ""
    record["inputs"][1]["outputs"] = [None]
    assert fault(record, "run").startswith("inputs.1.outputs.0: ")


@pytest.mark.parametrize(
    ("field", "value"), [("score", "x"), ("bbox", [0, 0, 2**70, 9]), ("label", [1]), ("probabilities", [1]),
                         ("confidence", 1e999), ("mask", "9" * 30), ("edited", 5), ("probability", "x")]
)  # fmt: skip
def test_a_karyotype_of_other_types_is_refused(field: str, value: object) -> None:
    document = as_karyotype(named(metaphase(1)), "a.png")
    document["chromosomes"][2][field] = value
    with pytest.raises(InputError) as caught:
        read_karyotype(apply_edits(document), review_below=0.9)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chromosomes", [[7], [[]], "x", {"a": 1}, None])
def test_chromosomes_that_are_none_are_refused(chromosomes: object) -> None:
    document = as_karyotype(named(metaphase(1)), "a.png") | {"chromosomes": chromosomes}
    with pytest.raises(InputError):
        apply_edits(document)


def test_too_little_address_space_is_said_before_anything_is_imported(monkeypatch, capsys) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * 10**9, 2 * 10**9))
    groups.check_limit(["histo", "predict", "--help"])
    with pytest.raises(SystemExit) as caught:
        groups.check_limit(["histo", "predict", "a.tif"])
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ulimit -v" in said


def test_a_cgroup_too_small_for_the_libraries_is_said_before_it_kills(capsys) -> None:
    for harmless in (["status", "out"], ["histo", "predict", "--help"], []):
        groups.check_limit(harmless, 300 * 2**20)
    with pytest.raises(SystemExit) as caught:
        groups.check_limit(["histo", "predict", "a.tif"], 300 * 2**20)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "300 MiB" in said
    assert "--mem" in said
    groups.check_limit(["histo", "predict", "a.tif"], 2**30)


def test_matlab_files_that_would_crash_the_reader_are_refused(tmp_path: Path) -> None:
    """What an element says it holds, and how much, must be so: SciPy's C code believes it."""
    values = np.arange(12.0).reshape(3, 4)
    for compressed in (False, True):
        path = tmp_path / "a.mat"
        savemat(path, {"inst_map": values, "inst_type": [[1.0]], "other": "text"}, do_compression=compressed)
        check_matrices(path, ("inst_map", "inst_type"))
        with pytest.raises(DatasetError, match="not a matrix of real numbers"):
            check_matrices(path, ("other",))
    savemat(path, {"inst_map": values})
    whole = path.read_bytes()
    at = whole.index(struct.pack("<II", 9, values.nbytes))
    for kind, size in ((200, values.nbytes), (9, 2**31), (9, 8), (14, values.nbytes)):
        path.write_bytes(whole[:at] + struct.pack("<II", kind, size) + whole[at + 8 :])
        with pytest.raises(DatasetError, match="MATLAB file"):
            check_matrices(path, ("inst_map",))


@pytest.mark.parametrize(("column", "cell"), [("seconds", "inf"), ("n_objects", "1e999"), ("n_objects", "-1"),
                                              ("status", "done")])  # fmt: skip
def test_rows_whose_counts_are_no_numbers_are_refused(tmp_path: Path, go, column: str, cell: str) -> None:
    assert go(write_images(tmp_path / "in", 2)) == 0
    path = tmp_path / "out/images.csv"
    rows = list(csv.reader(path.open(newline="")))
    rows[1][rows[0].index(column)] = cell
    path.write_text("".join(",".join(row) + "\n" for row in rows))
    with pytest.raises(CellscopeError, match=column):
        go(tmp_path / "in", skip_existing=True)


def test_tables_of_shards_without_a_column_are_refused(tmp_path: Path) -> None:
    run_fake(tmp_path)
    path = tmp_path / "parts/shards/1-of-2/objects.csv"
    path.write_text(path.read_text().replace("review", "reviewed", 1))
    with pytest.raises(CellscopeError, match="no column review"):
        merge(tmp_path / "parts", ASSAY)


@pytest.mark.parametrize("regions", [7, "x", True, 1.5])
def test_regions_of_via_that_are_no_list_are_refused(tmp_path: Path, regions: object) -> None:
    annotated.write("via", tmp_path)
    path = tmp_path / "via-b.json"
    content = json.loads(path.read_text())
    next(iter(content["_via_img_metadata"].values()))["regions"] = regions
    path.write_text(json.dumps(content))
    with pytest.raises(DatasetError, match="are no list"):
        via.read(tmp_path)


@pytest.mark.parametrize("pair", [[], [0], [0, 1, 2]])
def test_orders_of_columns_that_are_no_pairs_are_refused_by_field(tmp_path: Path, pair: list[int]) -> None:
    run_fake(tmp_path)
    path = tmp_path / "parts/shards/1-of-2/run.json"
    record = json.loads(path.read_text())
    table, order = next((name, order) for name, order in record["columns"].items() if order["first"])
    order["first"][next(iter(order["first"]))] = pair
    path.write_text(json.dumps(record))
    with pytest.raises(CellscopeError, match=rf"columns\.{table}\.first"):
        merge(tmp_path / "parts", ASSAY)


def test_what_a_broken_checkpoint_makes_torch_say_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("Couldn't parse the version " + "{" * 5000)

    monkeypatch.setattr(torch, "load", fail)
    (tmp_path / "a.pth").write_bytes(b"PK")
    with pytest.raises(CellscopeError, match="weights only") as caught:
        read_checkpoint(tmp_path / "a.pth")
    assert len(str(caught.value)) < 500
