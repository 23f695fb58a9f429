"""Chromosomes cut out of boxes, and kept between trainings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawn.networks import save_detector

from cellscope.assays.karyotype.training import chromosome_cache
from cellscope.assays.karyotype.training.box_cutouts import BoxCutouts
from cellscope.assays.karyotype.training.chromosome_cache import kept_chromosomes
from cellscope.assays.karyotype.training.classifier_data import Chromosome, collect_chromosomes
from cellscope.io.arrays import read_arrays, write_arrays
from cellscope.io.prepared import PreparedDataset


def picture(*strokes: tuple[tuple[int, int], tuple[int, int]]) -> np.ndarray:
    """Draw thick lines, each a chromosome: (120, 120) bool."""
    import cv2

    image = np.zeros((120, 120), np.uint8)
    for start, end in strokes:
        cv2.line(image, start, end, 1, 7)
    return image.astype(bool)


def test_a_component_that_fits_its_box_is_taken_whole_however_boxes_overlap() -> None:
    # Two that lie aslant side by side: each box is half covered by the other, and nothing touches.
    first, second = picture(((20, 20), (80, 80))), picture(((44, 20), (104, 80)))
    cutouts = BoxCutouts(first | second, np.array([[16, 16, 85, 85], [40, 16, 109, 85]], float))
    for index, (mask, left) in enumerate(((first, 16), (second, 40))):
        np.testing.assert_array_equal(cutouts.mask(index), mask[16:85, left : left + 69])


def test_crossing_chromosomes_are_not_taken_for_one() -> None:
    cross = picture(((20, 20), (80, 80)), ((20, 80), (80, 20)))
    cutouts = BoxCutouts(cross, np.array([[16, 16, 85, 85], [15, 15, 86, 86]], float))
    assert cutouts.mask(0) is None
    assert cutouts.mask(1) is None


def test_touching_chromosomes_give_what_no_other_box_shares() -> None:
    both = picture(((30, 20), (30, 90)), ((30, 60), (90, 60)))
    cutouts = BoxCutouts(both, np.array([[26, 16, 35, 94], [28, 56, 94, 65]], float))
    upright, across = cutouts.mask(0), cutouts.mask(1)
    assert upright is not None
    assert across is not None
    assert upright.shape == (78, 9)
    assert not upright[56 - 16 : 65 - 16, 3:].any()  # where the other one's box lies
    assert across[:, 10:].sum() > 0.9 * picture(((30, 60), (90, 60)))[56:65, 38:94].sum()


def test_a_box_at_the_image_border_and_one_of_nothing() -> None:
    line = picture(((0, 40), (0, 100)))
    cutouts = BoxCutouts(line, np.array([[-3, 34, 6, 106], [60, 60, 90, 90]], float))
    mask = cutouts.mask(0)
    assert mask is not None
    np.testing.assert_array_equal(mask, line[34:106, 0:6])
    assert cutouts.mask(1) is None


def same(first: list[Chromosome], second: list[Chromosome]) -> None:
    assert len(first) == len(second) > 0
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.image.dtype == other.image.dtype
        facts = [(x.label, x.short_arm_up, x.source, x.group) for x in (one, other)]
        assert facts[0] == facts[1]


def test_kept_chromosomes_are_those_that_were_cut(
    karyotype_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = PreparedDataset.open(karyotype_dataset, assay="karyotype")
    cut = collect_chromosomes(dataset, "train")
    same(cut, kept_chromosomes(None, dataset, "train", limit=None))
    assert not list(tmp_path.iterdir())
    same(cut, kept_chromosomes(tmp_path / "kept", dataset, "train", limit=None))
    monkeypatch.setattr(chromosome_cache, "collect_chromosomes", None)  # what is kept is not cut again
    same(cut, kept_chromosomes(tmp_path / "kept", dataset, "train", limit=None))


def test_what_was_kept_for_something_else_is_not_taken(karyotype_dataset: Path, tmp_path: Path) -> None:
    dataset = PreparedDataset.open(karyotype_dataset, assay="karyotype")
    for split, limit in (("train", None), ("val", None), ("train", 5)):
        same(
            collect_chromosomes(dataset, split, limit=limit),
            kept_chromosomes(tmp_path, dataset, split, limit=limit),
        )
    other = PreparedDataset(dataset.root, dataset.info | {"hash": "other"}, dataset.items)
    kept_chromosomes(tmp_path, other, "val", limit=None)
    assert len(list(tmp_path.iterdir())) == 4
    models = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for seed, path in enumerate(models):
        save_detector(path, seed=seed)
        kept_chromosomes(tmp_path / "drawn", dataset, "val", limit=None, box_masks=str(path))
    assert len(list((tmp_path / "drawn").iterdir())) == 2


def test_a_damaged_file_is_made_anew(karyotype_dataset: Path, tmp_path: Path) -> None:
    dataset = PreparedDataset.open(karyotype_dataset, assay="karyotype")
    cut = kept_chromosomes(tmp_path, dataset, "val", limit=None)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:1000])
    same(cut, kept_chromosomes(tmp_path, dataset, "val", limit=None))
    assert read_arrays(path) is not None


def test_arrays_are_written_whole_and_never_unpickled(tmp_path: Path) -> None:
    write_arrays(tmp_path / "deep" / "a.npz", {"x": np.arange(5), "name": np.array(["ab", "c"])})
    found = read_arrays(tmp_path / "deep" / "a.npz")
    assert found is not None
    np.testing.assert_array_equal(found["x"], np.arange(5))
    assert found["name"].tolist() == ["ab", "c"]
    assert read_arrays(tmp_path / "none.npz") is None
    np.savez(tmp_path / "objects.npz", x=np.array([{"a": 1}], object))
    assert read_arrays(tmp_path / "objects.npz") is None
    with pytest.raises(ValueError, match="Object arrays"):
        write_arrays(tmp_path / "b.npz", {"x": np.array([{"a": 1}], object)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "objects.npz"]
