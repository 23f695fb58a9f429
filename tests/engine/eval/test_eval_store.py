"""Items of an evaluation on disk: what goes in comes out, without pickle; what is damaged or foreign is named."""

import sys
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cellscope.engine.eval.store import Kept, keep, kept, pack, path_of, unpack
from cellscope.errors import CellscopeError


class Pair(NamedTuple):
    left: int
    right: object


@dataclass(frozen=True)
class Cell:
    name: str
    mask: np.ndarray
    more: object = None


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
PLAIN |= st.text(max_size=5) | st.binary(max_size=4)
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.builds(Pair, st.integers(), inner)
    ),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(NESTED)
def test_containers_come_back(value):
    found = unpack(pack(value))
    assert found == value
    assert type(found) is type(value)


def test_arrays_tables_and_classes_come_back():
    table = pd.DataFrame(
        {"image": ["a", "b"], "score": [0.5, np.nan], "n": [1, 2], "right": [True, False], "odd": [None, "x"]},
        index=[3, 5],
    )
    mask = np.eye(3, dtype=np.uint16)
    found = unpack(pack(Cell("é", mask, [np.float32(2.5), table, {"set": {1, 2}}, np.array([None, mask], object)])))
    assert isinstance(found, Cell)
    assert found.name == "é"
    assert found.mask.dtype == np.uint16
    np.testing.assert_array_equal(found.mask, mask)
    number, frame, group, objects = found.more
    assert (number, number.dtype, group) == (2.5, np.float32, {"set": {1, 2}})
    pd.testing.assert_frame_equal(frame, table)
    assert objects[0] is None
    np.testing.assert_array_equal(objects[1], mask)


def test_what_cannot_be_kept_is_said():
    with pytest.raises(TypeError, match="function cannot be kept"):
        pack({"a": lambda: 0})


def test_no_class_is_imported_or_called(monkeypatch):
    data = pack(Cell("a", np.zeros(2)))
    monkeypatch.setattr(Cell, "__init__", lambda *_: pytest.fail("called"))
    assert unpack(data).name == "a"
    monkeypatch.delattr(sys.modules[__name__], "Cell")
    with pytest.raises(ValueError, match="not known"):
        unpack(data)


def test_damaged_and_foreign_files_are_named(tmp_path):
    assert kept(tmp_path, 0, "a") is None
    keep(tmp_path, 0, Kept("a", result=[1]))
    assert kept(tmp_path, 0, "a").result == [1]
    assert kept(tmp_path, 1, "a") is None  # of another fold
    path_of(tmp_path, 0, "a").rename(path_of(tmp_path, 0, "b"))
    with pytest.raises(CellscopeError, match="another item"):
        kept(tmp_path, 0, "b")
    path_of(tmp_path, 0, "b").write_bytes(b"PK nothing")
    with pytest.raises(CellscopeError, match=r"cannot be read.*--overwrite"):
        kept(tmp_path, 0, "b")
