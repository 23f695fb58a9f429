"""Where an option's value comes from, and what is said when it is wrong."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellscope.errors import UsageError
from cellscope.options.resolve import (
    Settings,
    check,
    describe,
    nearest,
    option,
    parse_set,
    read_config,
    resolve,
    resolve_all,
    to_toml,
    with_thresholds,
)


@dataclass(frozen=True)
class Optimiser:
    rate: float = option(1e-3, "Learning rate.", low=0, high=1)
    name: str = option("adamw", "Update rule.", choices=("adamw", "sgd"))

    def __post_init__(self):
        check(self)


@dataclass(frozen=True)
class Options:
    epochs: int = option(10, "Epochs.", low=1, high=1000, short="-e")
    patience: int | None = option(5, "Patience.", low=0)
    title: str | None = option(None, "Title.")
    mode: Literal["fast", "slow"] = option("fast", "Mode.")
    shares: tuple[float, float, float] = option((0.6, 0.2, 0.2), "Shares.", low=0, high=1)
    sizes: tuple[int, ...] = option((1,), "Sizes.")
    names: list[str] = option(["a"], "Names.")
    folder: Path = option(Path("runs"), "Folder.")
    deterministic: bool = option(False, "Deterministic.")
    half: bool = option(True, "Half.", cli=False)
    optimiser: Optimiser = field(default_factory=lambda: Optimiser(rate=0.5))

    def __post_init__(self):
        check(self)


@dataclass(frozen=True)
class Other:
    epochs: int = option(10, "Epochs.", low=1, high=1000)
    device: str = option("auto", "Device.")


def make(**sources):
    return resolve(Options, **{"flags": {}, "env": {}, **sources})


def test_defaults():
    assert make() == Options()
    assert make().optimiser.rate == 0.5


def test_each_source_wins_over_the_next():
    sources = {
        "flags": {"epochs": "1"},
        "env": {"CELLSCOPE_EPOCHS": "2"},
        "config": {"epochs": 3},
    }
    for expected, name in enumerate(list(sources), start=1):
        assert make(**sources).epochs == expected
        sources.pop(name)
    assert make(**sources).epochs == 10


def test_set_ranks_as_a_flag_and_not_beside_it():
    [made] = resolve_all([Options], flags={}, sets=parse_set(["epochs=7"]), env={"CELLSCOPE_EPOCHS": "2"})
    assert made.epochs == 7
    with pytest.raises(UsageError, match=r"'epochs'.*both"):
        resolve_all([Options], flags={"epochs": "3"}, sets=parse_set(["epochs=7"]), env={})


def test_groups_by_dotted_name_table_and_variable():
    assert make(flags={"optimiser.rate": "0.1"}).optimiser == Optimiser(0.1, "adamw")
    assert make(config={"optimiser": {"name": "sgd"}}).optimiser == Optimiser(0.5, "sgd")
    assert make(env={"CELLSCOPE_OPTIMISER_RATE": "0.2"}).optimiser.rate == 0.2
    with pytest.raises(UsageError, match=r"is a group; set optimiser\.rate, optimiser\.name"):
        make(config={"optimiser": 3})


def test_a_shared_name_goes_to_every_class_and_its_own_to_one():
    first, second = resolve_all([Options, Other], flags={}, env={}, config={"epochs": 3, "device": "cpu"})
    assert (first.epochs, second.epochs, second.device) == (3, 3, "cpu")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("epochs", " 12 ", 12),
        ("patience", "none", None),
        ("patience", "0", 0),
        ("title", "3", "3"),
        ("title", "None", None),
        ("mode", "slow", "slow"),
        ("shares", "0.5, 0.5,0", (0.5, 0.5, 0.0)),
        ("sizes", "1,2,3", (1, 2, 3)),
        ("sizes", "", ()),
        ("names", "x,y", ["x", "y"]),
        ("folder", "a/b", Path("a/b")),
        ("deterministic", "yes", True),
        ("deterministic", "0", False),
        ("half", "off", False),
        ("optimiser.rate", "1e-4", 1e-4),
    ],
)
def test_text_becomes_the_type(key, text, value):
    made = make(flags={key: text})
    for part in key.split("."):
        made = getattr(made, part)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("epochs", "0", r"0 is out of range \(1 to 1000\)"),
        ("epochs", "ten", "'ten' is not a whole number"),
        ("epochs", 1.5, "1.5 is not a whole number"),
        ("epochs", True, "True is not a whole number"),
        ("patience", "-1", r"-1 is out of range \(at least 0\)"),
        ("mode", "fats", "'fats' is not one of fast, slow"),
        ("shares", "0.5,0.5", "2 values given, but it takes 3"),
        ("shares", "0.5,0.5,2", "2.0 is out of range"),
        ("shares", 3, "3 is not a list"),
        ("deterministic", "maybe", "'maybe' is neither true nor false"),
        ("optimiser.rate", "nan", "'nan' is not a finite number"),
        ("optimiser.rate", "inf", "'inf' is not a finite number"),
        ("optimiser.name", "adam", "'adam' is not one of adamw, sgd"),
        ("title", 3, "3 is not text"),
        ("folder", "", "'' is not a path"),
    ],
)
def test_a_bad_value_names_its_source(key, value, match):
    flag = "--" + key.replace(".", "-")
    with pytest.raises(UsageError, match=f"^{flag}: {match}"):
        make(flags={key: value})
    with pytest.raises(UsageError, match=f"^'{key}' in run.toml: {match}"):
        make(config=Settings({key: value}, "run.toml"))
    if isinstance(value, str) and value:
        variable = "CELLSCOPE_" + key.replace(".", "_").upper()
        with pytest.raises(UsageError, match=f"^{variable}: {match}"):
            make(env={variable: value})


def test_empty_variables_and_foreign_ones_do_not_count():
    assert make(env={"CELLSCOPE_EPOCHS": " ", "CELLSCOPE_DEBUG": "1", "EPOCHS": "3"}) == Options()


def test_unknown_names_suggest_the_nearest(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("epohcs = 3\n")
    with pytest.raises(UsageError) as caught:
        make(config=read_config(path))
    assert str(caught.value) == f"unknown option 'epohcs' in {path}; did you mean 'epochs'?"
    with pytest.raises(UsageError, match=r"'rate' in --set; did you mean 'optimiser.rate'\?"):
        resolve_all([Options], flags={}, sets=parse_set(["rate=3"]), env={})
    assert nearest("zzz", ["epochs"]) == ""


def test_construction_checks_too():
    with pytest.raises(UsageError, match=r"epochs: 0 is out of range \(1 to 1000\)"):
        Options(epochs=0)
    with pytest.raises(UsageError, match="epochs: '3' is not a whole number"):
        Options(epochs="3")  # resolve would have converted it; here it would stay text
    assert Options(optimiser=Optimiser(rate=1)).optimiser.rate == 1


def test_hyphens_in_files_are_underscores(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text("batch-size = 3\n")
    assert read_config(path) == {"batch_size": 3}
    assert parse_set(["batch-size = 3"]) == {"batch_size": "3"}


@pytest.mark.parametrize(
    ("content", "match"), [("a = ", "not valid TOML"), (b"\xff\xfe", "cannot be read"), (None, "no such config file")]
)
def test_unreadable_config(tmp_path, content, match):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UsageError, match=match) as caught:
        read_config(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("assignment", ["epochs", "=3", ""])
def test_set_wants_an_equals_sign(assignment):
    with pytest.raises(UsageError, match="key=value"):
        parse_set([assignment])


def test_set_keeps_text_and_refuses_twice():
    assert parse_set(["a.b=3", "c=x=y"]) == {"a.b": "3", "c": "x=y"}
    with pytest.raises(UsageError, match="twice"):
        parse_set(["a=1", "a=2"])


@given(
    epochs=st.integers(1, 1000),
    patience=st.none() | st.integers(0, 10**12),
    title=st.none()
    | st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: text.strip().lower() != "none"),
    shares=st.tuples(*[st.floats(0, 1)] * 3),
    sizes=st.lists(st.integers(), max_size=4).map(tuple),
    rate=st.floats(0, 1),
    half=st.booleans(),
)
def test_toml_round_trip(tmp_path_factory, epochs, patience, title, shares, sizes, rate, half):
    made = Options(
        epochs=epochs,
        patience=patience,
        title=title,
        shares=shares,
        sizes=sizes,
        half=half,
        folder=Path('odd "name" \\ ü'),
        optimiser=Optimiser(rate=rate, name="sgd"),
    )
    path = tmp_path_factory.getbasetemp() / "round_trip.toml"
    path.write_text(to_toml(made), encoding="utf-8")
    assert resolve(Options, flags={}, env={}, config=read_config(path)) == made


def test_describe():
    rows = {row["name"]: row for row in describe(Options)}
    assert rows["epochs"] == {
        "name": "epochs",
        "flag": "-e, --epochs",
        "type": "whole number",
        "default": "10",
        "allowed": "1 to 1000",
        "env": "CELLSCOPE_EPOCHS",
        "help": "Epochs.",
    }
    assert rows["optimiser.rate"]["flag"] == "--optimiser-rate"
    assert rows["optimiser.rate"]["default"] == "0.5"
    assert rows["half"]["flag"] == ""
    assert rows["shares"]["default"] == "0.6,0.2,0.2"
    assert rows["mode"]["allowed"] == "fast, slow"


def test_lists_are_not_shared():
    Options().names.append("b")
    assert Options().names == ["a"]


def test_types_options_cannot_have():
    @dataclass
    class Wrong:
        table: dict = option(None, "Table.")

    with pytest.raises(TypeError, match="'table'"):
        resolve(Wrong, flags={}, env={})


@dataclass(frozen=True)
class Tuned:
    threshold: float | None = option(None, "Threshold.", low=0.0, high=1.0, tuned=True)
    other: float | None = option(None, "Other.")


def test_the_first_model_that_was_tuned_stands_in_where_nothing_is_given():
    cards = [{"iou": 0.5, "other": 0.2}, {"threshold": 0.4}, {"threshold": 0.7}]
    assert with_thresholds(Tuned(), cards) == Tuned(threshold=0.4)
    assert with_thresholds(Tuned(threshold=0.0), cards) == Tuned(threshold=0.0)
    assert with_thresholds(Tuned(), []) == Tuned()
    with pytest.raises(UsageError, match="'threshold' of the model: 4"):
        with_thresholds(Tuned(), [{"threshold": 4.0}])
