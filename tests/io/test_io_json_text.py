"""Indented JSON is what the json module writes."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cellscope.io.json_text import indented, plain

VALUES: list[Any] = [
    None, True, 3, -0.0, 1e-5, 1e16, 1e22, 0.1 + 0.2, 10**30, "", "a\"b\\c\n\té\x7f\x01\u2028",
    [], {}, [[]], [{}], (1, 2.5),
    [1, True, None], [1.5, "n"], {"a": [], "b": {}, "c": [[1, 2], [3.25, 4]]}, {3: 2, 2.5: 3, True: 4, None: 5},
    OrderedDict(b=1, a=[OrderedDict()]), [[[0.5, 1.0], [2.0, 1e300]], "nan"],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_as_the_json_module_writes_it(value: Any) -> None:
    assert indented(value) == json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


def test_numpy_and_paths() -> None:
    value = {
        np.int64(3): np.float64(0.1), "f": np.float32(0.1), "i": [np.int8(1), 2], "a": np.arange(4.0).reshape(2, 2),
        "b": np.bool_(True), "s": np.str_("é"), "p": Path("a") / "b", "e": np.zeros(0), np.float64(0.5): (np.uint8(7),),
    }  # fmt: skip
    assert indented(value) == json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    assert json.loads(indented(value))["f"] == float(np.float32(0.1))


@pytest.mark.parametrize(
    "value", [float("nan"), [1.0, float("inf")], {"a": [[-float("inf")]]}, np.float32("nan"), {float("nan"): 1}]
)
def test_what_is_not_a_number_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        indented(value)


@pytest.mark.parametrize("value", [object(), [1, {2}], {(1, 2): 3}, {"a": 1j}, b"a"])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        indented(value)
