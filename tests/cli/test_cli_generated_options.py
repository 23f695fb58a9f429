"""Flags made from dataclasses: what reaches the function, and from where."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.testing import CliRunner

from cellscope.cli.groups import Root
from cellscope.options.flags import with_options
from cellscope.options.resolve import check, option


@dataclass(frozen=True)
class Base:
    panel = "Everywhere"
    seed: int = option(0, "Seed.", low=0)
    quiet: bool = option(False, "Quiet.", short="-q")


@dataclass(frozen=True)
class Wide(Base):
    mode: Literal["fast", "slow"] = option("fast", "Mode [of two].")
    half: bool = option(True, "Half.")
    shares: tuple[float, float] = option((0.5, 0.5), "Shares.")
    threshold: float = option(0.5, "Threshold.", low=0, high=1)
    target: Path | None = option(None, "Target.")
    secret: int = option(1, "Secret.", cli=False)

    def __post_init__(self):
        check(self)


@dataclass(frozen=True)
class Narrow:
    seed: int = option(0, "Seed.", low=0)
    arch: str | None = option(None, "Arch.", metavar="NAME")


def build(function):
    app = typer.Typer(cls=Root, pretty_exceptions_enable=False)

    @app.callback()
    def root() -> None:
        """Nothing."""

    app.command("go")(with_options(function))
    return lambda *words, env=None: CliRunner().invoke(app, ["go", *words], env=env)


@pytest.fixture
def seen():
    return {}


@pytest.fixture
def go(seen):
    def function(
        names: Annotated[list[str], typer.Argument()],
        wide: Wide,
        narrow: Narrow,
        argv: list[str],
        out: Annotated[Path, typer.Option("-o")] = Path("here"),
    ) -> int:
        """Go."""
        seen.update(names=names, wide=wide, narrow=narrow, argv=argv, out=out)
        return 3

    return build(function)


def test_nothing_given(go, seen):
    result = go("a")
    assert result.exit_code == 3, result.output
    assert seen == {
        "names": ["a"],
        "wide": Wide(),
        "narrow": Narrow(),
        "argv": ["cellscope", "go", "a"],
        "out": Path("here"),
    }


def test_flags(go, seen):
    words = "a b -o x --seed 3 -q --mode slow --no-half --shares 0.2,0.8 --threshold 1 --target t --arch net"
    assert go(*words.split()).exit_code == 3
    assert seen["wide"] == Wide(3, True, "slow", False, (0.2, 0.8), 1.0, Path("t"))
    assert seen["narrow"] == Narrow(3, "net")
    assert seen["argv"] == ["cellscope", "go", *words.split()]


def test_every_rank(go, seen, tmp_path):
    config = tmp_path / "c.toml"
    config.write_text("threshold = 0.7\nsecret = 5\n")
    variable = {"CELLSCOPE_THRESHOLD": "0.8"}
    for words, env, expected in [
        (["--threshold", "0.9", "--config", str(config)], variable, 0.9),
        (["--set", "threshold=0.95", "--config", str(config)], variable, 0.95),
        (["--config", str(config)], variable, 0.8),
        (["--config", str(config)], None, 0.7),
        ([], None, Wide().threshold),
    ]:
        assert go("a", *words, env=env).exit_code == 3
        assert seen["wide"].threshold == expected
    assert go("a", "--config", str(config)).exit_code == 3
    assert seen["wide"].secret == 5


def test_options_without_a_flag_are_reached_by_set(go, seen):
    assert go("a", "--secret", "4").exit_code == 2
    assert go("a", "--set", "secret=4", "--set", "half=no").exit_code == 3
    assert (seen["wide"].secret, seen["wide"].half) == (4, False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--mode", "fats"], "error: --mode: 'fats' is not one of fast, slow"),
        (["--seed", "x"], "error: --seed: 'x' is not a whole number"),
        (["--set", "moed=fast"], "error: unknown option 'moed' in --set; did you mean 'mode'?"),
        (
            ["--seed", "1", "--set", "seed=1"],
            "error: option 'seed' is given both as a flag and with --set; give it once",
        ),
        (["--config", "none.toml"], "error: none.toml: no such config file"),
    ],
)
def test_wrong_values_are_one_line_and_code_2(go, seen, words, message):
    result = go("a", *words)
    assert result.exit_code == 2
    assert result.stderr == message + "\n"
    assert result.stdout == ""
    assert seen == {}


def test_help_shows_range_choices_default_and_variable(go):
    text = " ".join(go("--help", env={"COLUMNS": "300"}).output.split())
    for expected in (
        "Mode (of two) (default fast; CELLSCOPE_MODE)",
        "fast|slow",
        "Seed (at least 0; default 0; CELLSCOPE_SEED)",
        "Threshold (0 to 1; default 0.5; CELLSCOPE_THRESHOLD)",
        "--no-half",
        "Everywhere",
        "Options of this command",
        "--config",
        "--set",
    ):
        assert expected in text, expected
    assert "secret" not in text.lower()


def test_two_options_cannot_share_a_flag():
    @dataclass
    class Clash:
        question: bool = option(False, "Question.", short="-q")

    def function(wide: Wide, clash: Clash) -> int:
        return 0

    with pytest.raises(TypeError, match="'quiet' and 'question' both claim -q"):
        with_options(function)
