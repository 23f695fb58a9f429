"""What says how a run was made is checked field by field, and a wrong value does not fill the screen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cellscope.cli.groups import fail
from cellscope.engine.predict.records import fault
from cellscope.errors import LONGEST, DatasetError, ModelError, error_line
from cellscope.models.card import ModelCard
from faults.runs import run_fake


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("run")
    return run_fake(folder)[0].read_text()


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("options", "run", "group_by"), {}),
        (("options", "run"), []),
        (("options", "fake"), "x"),
        (("editors",), ["a"]),
        (("editors", "field"), {"suffix": 1}),
        (("summary",), {"files": "a"}),
        (("models",), [{"part": "find"}]),
        (("threads",), None),
        (("command",), None),
        (("shard",), 1),
    ],
)
def test_fields_of_a_run_of_other_types_are_refused_by_name(text: str, place: tuple[str, ...], value: Any) -> None:
    record = json.loads(text)
    assert fault(record, "run") == ""
    inside = record
    for name in place[:-1]:
        inside = inside[name]
    inside[place[-1]] = value
    assert fault(record, "run").startswith(".".join(place))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arch", ["x" * 9000]),
        ("channels", "0" * 9000),
        ("classes", ["x" * 9000] * 2),
        ("thresholds", {"x" * 9000: "y"}),
        ("metrics", "0" * 9000),
        ("pixel_size_um", "0" * 9000),
        ("format", "0" * 9000),
    ],
)
def test_a_wrong_value_of_a_model_card_is_cut_short(field: str, value: Any) -> None:
    known = vars(ModelCard.weightless("fake", "find", "conv", ("dim", "bright")))
    with pytest.raises(ModelError, match=f"'{field}'") as caught:
        ModelCard(**{**known, field: value})
    assert len(str(caught.value)) < 400


def test_what_a_damaged_table_holds_does_not_fill_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    error = DatasetError(f"table.csv: 'tra{'00' * 5000}' is no part\nof a dataset; use train, val or test")
    assert len(line := error_line(error)) <= LONGEST
    assert line.startswith("table.csv: 'tra")
    assert line.endswith("use train, val or test")
    assert "\n" not in line
    with pytest.raises(SystemExit):
        fail(error, 1)
    assert capsys.readouterr().err == f"error: {line}\n"
