"""Arrays beyond a share of memory lie in a file that has no name, and are the same."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cellscope.errors import CellscopeError
from cellscope.io import pages
from cellscope.io.pages import Pages
from cellscope.io.prepared import PreparedDataset


@dataclass
class Item:
    name: str
    image: np.ndarray
    masks: list[np.ndarray | None]


def item(seed: int) -> Item:
    rng = np.random.default_rng(seed)
    return Item(f"{seed}", rng.normal(size=(40, 50)).astype(np.float32), [rng.random((64, 30)) > 0.5, None])


def lies_in_memory(array: np.ndarray) -> bool:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array.base is None


def test_what_does_not_fit_lies_in_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "BLOCK", 16 * 4096)
    own = [item(seed) for seed in range(20)]
    store = Pages(20_000, tmp_path / "not" / "there" / "yet")
    kept = [store.keep(one) for one in own]
    for one, other in zip(own, kept, strict=True):
        assert (one.name, other.masks[1]) == (other.name, None)
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.masks[0], other.masks[0])
        assert (one.image.dtype, one.image.shape) == (other.image.dtype, other.image.shape)
    assert [lies_in_memory(one.image) for one in kept] == [True, True, *[False] * 18]
    assert store.held <= 20_000
    assert store.held + store.stored == 20 * (40 * 50 * 4 + 64 * 30)
    assert list(tmp_path.iterdir()) == []
    kept[7].image[:] = 3
    np.testing.assert_array_equal(kept[8].image, own[8].image)


def test_what_fits_is_the_array_itself(tmp_path: Path) -> None:
    one = np.zeros((100, 100))
    assert Pages(10**6, tmp_path).keep(one) is one
    small = np.zeros(3)
    assert Pages(0, tmp_path).keep({"a": (small, [4, "x"])})["a"][0] is small


def test_one_larger_than_a_block_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "BLOCK", 4096)
    store = Pages(0, tmp_path)
    large, small = np.arange(5000.0), np.arange(200.0)
    first, second, third = store.keep(large), store.keep(small), store.keep(large)
    for kept, own in ((first, large), (second, small), (third, large)):
        np.testing.assert_array_equal(kept, own)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no room is taken beforehand here")
def test_a_full_disk_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(CellscopeError, match=r"No space left on device.*memory_share"):
        Pages(0, tmp_path).keep(np.zeros(5000))


def test_a_dataset_keeps_where_it_is_told(tmp_path: Path) -> None:
    plain = PreparedDataset(tmp_path, {}, pd.DataFrame({"split": ["train"]}))
    array = np.arange(5000)
    assert plain.keep(array) is array
    paged = PreparedDataset(tmp_path, {}, plain.items, Pages(0, tmp_path))
    without = paged.leaving_out(paged.items["split"] == "train")
    assert not lies_in_memory(without.keep(array))
    assert paged.pages is not None
    assert paged.pages.stored == array.nbytes
