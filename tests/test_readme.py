"""README's first command is run and its files compared with the docs; every ``cellscope`` command shown is parsed."""

import csv
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

from cellscope.cli.root import ASSAYS, app
from cellscope.models import registry

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))}
PAGES["README.md"] = README
EXAMPLE = ROOT / "examples" / "metaphase.tif"
ENDS = {"&&", ";", "|", ":::"}
BENCHMARKS = "".join(
    path.read_text("utf-8") for place in ("benchmarks", "tests/faults") for path in sorted((ROOT / place).glob("*.py"))
)
FOREIGN = {
    "--gres",
    "--plugin",
    "--execute",
    "--nv",
    "--nthreads",
    "--strict",
    "--mem",
    "--time",
    *re.findall(r'add_argument\(\s*"(--[\w-]+)"', BENCHMARKS),
}
"""Options of other programs, and of benchmarks, that the text names."""


def shell_blocks(text: str) -> list[str]:
    """Return the contents of the blocks marked ``sh``."""
    return re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def cellscope_calls(line: str) -> list[list[str]]:
    """Return the ``cellscope`` calls in one line of shell, each as its words after the program's name."""
    for variable in ("$SLURM_ARRAY_TASK_ID", "{}"):
        line = line.replace(variable, "1")
    words = shlex.split(line, comments=True)
    calls = [call for word in words if " " in word for call in cellscope_calls(word)]
    for place, word in enumerate(words):
        if Path(word).name == "cellscope" and place + 1 < len(words):
            rest = words[place + 1 :]
            end = next((number for number, other in enumerate(rest) if other in ENDS), len(rest))
            calls.append(rest[:end])
    return calls


CALLS = [
    pytest.param(call, id=f"{page}: {' '.join(call)}")
    for page, text in PAGES.items()
    for block in shell_blocks(text)
    for line in block.replace("\\\n", " ").splitlines()
    for call in cellscope_calls(line)
]


def command_of(words: list[str]):
    """Walk the command tree; return the command that the words name, and the words that are left."""
    command = typer.main.get_command(app)
    words = list(words)
    while words and hasattr(command, "get_command"):
        found = command.get_command(None, words[0])
        if found is None:
            break
        command, words = found, words[1:]
    return command, words


def options_of(command) -> set[str]:
    """Return every option string a command takes."""
    return {"--help", "-h"} | {text for one in command.params for text in (*one.opts, *one.secondary_opts)}


def all_commands(command):
    """Yield a command and all below it."""
    yield command
    if hasattr(command, "list_commands"):
        for name in command.list_commands(None):
            yield from all_commands(command.get_command(None, name))


@pytest.fixture
def idle(monkeypatch, tmp_path):
    """Let every verb and command do nothing, once its command line has been parsed and its options are resolved."""

    def nothing(*_arguments, **_options):
        return 0

    outcome = SimpleNamespace(code=0, counts={"ok": 1, "failed": 0, "skipped": 0}, told={})
    for name in [name for name in os.environ if name.startswith("CELLSCOPE_")]:
        monkeypatch.delenv(name)
    for assay in ASSAYS:
        package = f"cellscope.assays.{assay.replace('-', '_')}"
        for module, members in {
            "datasets.prepare": {"prepare": nothing},
            "training.train": {"train": nothing},
            "evaluation.evaluate": {"evaluate": nothing},
            "assay": {"ASSAY": SimpleNamespace(name=assay)},
            "editing.command": {"render": lambda *_, **__: outcome},
            "remeasure.assay": {"work": lambda *_, **__: outcome},
            "training.repeats": {"train": nothing},
            "dose.command": {"run_dose": lambda *_: {}},
            "evaluation.audit": {"run_audit": lambda *_: {}},
            "training.calibrate": {"run_calibrate": lambda *_: {}},
            "detectron2.assay": {"ASSAY": SimpleNamespace(name=assay)},
            "detectron2.importing": {"import_checkpoint": nothing},
        }.items():
            fake = ModuleType(f"{package}.{module}")
            vars(fake).update(members)
            monkeypatch.setitem(sys.modules, fake.__name__, fake)
    locate = registry.locate  # models of trainings shown elsewhere are not there
    stand_in = locate("karyotype-classify")  # for model files that another command shown writes

    def found(name: str) -> Path:
        if name in builtin_names():
            return locate(name)
        return stand_in if name in OUTPUTS and name.endswith(".safetensors") else Path(name)

    monkeypatch.setattr(registry, "locate", found)
    monkeypatch.setattr("cellscope.engine.familiarity.describe.describe_model", lambda *_, **__: {})
    monkeypatch.setattr("cellscope.models.average.average_models", lambda *_: (None, {}))
    monkeypatch.setattr("cellscope.models.file.save_model", nothing)
    engine = ModuleType("cellscope.engine.predict.plan")
    vars(engine).update(predict_shard=lambda *_, **__: outcome)
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    monkeypatch.setattr("cellscope.engine.find.find_assay", nothing)
    monkeypatch.setattr("cellscope.engine.train.describe.describe_trained", nothing)
    for target in (
        "shards.merge_shards",
        "shards.show_status",
        "doctor.run_doctor",
        "info.show_info",
        "review.review_run",
        "export.export_run",
        "models.export_model",
        "review.take_returned",
    ):
        monkeypatch.setattr(f"cellscope.cli.commands.{target}", nothing)
    monkeypatch.chdir(tmp_path)


def test_the_two_commands_stand_first():
    first, second = shell_blocks(README)[:2]
    opening = README[: README.index(first)]
    assert "docs/images/karyogram.png" in opening
    assert "never a diagnosis" in opening
    for block in (first, second):
        assert block.count("\n") == 1, "one line to copy"
        steps = [step.strip() for step in block.split("&&")]
        # nothing is taken for granted but Python itself
        assert steps[0] == "python3 -m venv .venv"
        assert steps[1].startswith(".venv/bin/pip install ")
        assert all(step.startswith(".venv/bin/") for step in steps[1:])
    assert first.endswith("&& .venv/bin/cellscope karyotype predict examples/metaphase.tif\n")
    assert "&& .venv/bin/python -m pytest" in second
    extra = re.search(r'pip install "\.\[(\w+)\]"', second)[1]
    assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_the_pictures_exist():
    for page, text in PAGES.items():
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            assert ((ROOT / page).parent / picture).is_file(), f"{page} shows {picture}"


def test_links_lead_somewhere():
    for link in re.findall(r"(?<!!)\[[^\]]*\]\(([^)#:]+)[^)]*\)", README):
        assert (ROOT / link).is_file(), link


def test_calls_are_found():
    assert cellscope_calls('job=x; exec .venv/bin/cellscope merge "a b" && ls') == [["merge", "a b"]]
    assert cellscope_calls('sbatch --wrap "cellscope merge $HOME/big"') == [["merge", "$HOME/big"]]
    assert cellscope_calls("pip install cellscope") == []
    assert len(CALLS) > 30


OUTPUTS = {after for call in CALLS for word, after in pairwise(call.values[0]) if word == "-o"}


@pytest.mark.parametrize("call", CALLS)
def test_every_command_shown_is_real(call, idle, tmp_path):
    command, rest = command_of(call)
    if any(word.endswith("completion") for word in rest):  # it would change the shell's own files
        assert set(rest) <= options_of(command)
        return
    for word, following in zip(call, [*call[1:], ""], strict=True):
        if word == "--config":
            (tmp_path / following).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / following).write_text("", encoding="utf-8")
        # a model to start from is a built-in one, what another command shown writes, or another program's checkpoint
        known = {"none", "imagenet"} | builtin_names() | OUTPUTS
        assert word != "--init" or following in known or following.endswith(".pth")
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output


def builtin_names() -> set[str]:
    """Return the names of the built-in models."""
    from cellscope.models.registry import builtin

    return {entry.name for entry in builtin()}


def test_a_wrong_command_would_be_noticed(idle):
    for call in (
        ["karyotype", "predict", "x", "--no-such-option"],
        ["karyotype", "predict", "x", "--set", "no_such=1"],
        ["karyotype", "train", "x", "--part", "detector"],
        ["no-such-command"],
    ):
        assert CliRunner().invoke(app, call).exit_code == 2, call


def test_commands_and_options_in_the_text_exist():
    known = {text for command in all_commands(typer.main.get_command(app)) for text in options_of(command)}
    for page, text in PAGES.items():
        prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
        for span in re.findall(r"`([^`\n]+)`", prose):
            if span.startswith("python "):
                continue  # another program
            options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", span))
            assert options <= known | FOREIGN, f"{page}: {span}"
            if span.startswith("cellscope ") and span not in ("cellscope merge", "cellscope status"):
                command, rest = command_of(span.split()[1:])
                wrong = [word for word in rest if word.startswith("-") and word not in options_of(command)]
                assert not wrong, f"{page}: {span}"
                assert not hasattr(command, "get_command") or not rest or rest[0].startswith("-"), f"{page}: {span}"


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Run README's first command in this environment, from another folder, and return its output folder."""
    call = cellscope_calls(shell_blocks(README)[0])[0]
    assert call == ["karyotype", "predict", "examples/metaphase.tif"]
    folder = tmp_path_factory.mktemp("readme")
    place = {name: value for name, value in os.environ.items() if not name.startswith("CELLSCOPE_")}
    done = subprocess.run(
        [sys.executable, "-m", "cellscope", *call[:-1], str(EXAMPLE)],
        cwd=folder,
        env={**place, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "karyotype-predict"
    return folder / "karyotype-predict"


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_example_comes_out_well(example):
    [image] = rows_of(example / "images.csv")
    assert (image["status"], image["kind"], image["error"]) == ("ok", "metaphase", "")
    assert 42 <= int(image["n_chromosomes"]) <= 50
    objects = rows_of(example / "objects.csv")
    assert len(objects) == int(image["n_objects"])
    assert json.loads((example / "metaphase.karyotype.json").read_text("utf-8"))["bright_on_dark"] is True
    best = [max(float(value) for name, value in row.items() if name.startswith("p_")) for row in objects]
    # networks that guess are sure of nothing: 1 / 24 is the least that the best class can have
    assert statistics.median(float(row["score"]) for row in objects) > 0.5
    assert statistics.median(best) > 0.3


def test_readme_names_every_file(example):
    table = README.partition("## What comes out")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(
        path.relative_to(example).as_posix() for path in example.rglob("*") if path.is_file()
    )


def documented(heading: str) -> set[str]:
    """Return what is in code quotes in a section of docs/outputs.md."""
    section = PAGES["docs/outputs.md"].partition(f"{heading}\n")[2]
    assert section, heading
    depth = heading.split()[0]
    section = re.split(rf"^#{{2,{len(depth)}}} ", section, maxsplit=1, flags=re.MULTILINE)[0]
    return set(re.findall(r"`([^`\n]+)`", section))


def test_every_file_is_explained(example):
    patterns = {name.replace("<stem>", "*") for name in documented("## Of `predict`")}
    for path in example.iterdir():
        assert any(fnmatch(path.name, pattern) for pattern in patterns), path.name


@pytest.mark.parametrize("table", ["images.csv", "objects.csv"])
def test_every_column_is_explained(example, table):
    header = (example / table).read_text(encoding="utf-8").partition("\n")[0].split(",")
    classes = {f"p_{number}" for number in range(2, 22)}  # written as a range
    assert set(header) - classes <= documented(f"### `{table}`")


def test_every_key_of_the_karyotype_is_explained(example):
    record = json.loads((example / "metaphase.karyotype.json").read_text(encoding="utf-8"))
    assert set(record) | set(record["chromosomes"][0]) <= documented("### `<stem>.karyotype.json`")


def test_every_key_of_coco_is_explained(example):
    record = json.loads((example / "metaphase.coco.json").read_text(encoding="utf-8"))
    assert set(record) | set(record["annotations"][0]) <= documented("### `<stem>.coco.json`")


def test_every_key_of_the_run_is_explained(example):
    record = json.loads((example / "run.json").read_text(encoding="utf-8"))
    keys = set(record) | set(record["inputs"][0]) | set(record["counts"]) | set(record["models"][0])
    assert keys <= documented("### `run.json`")
