"""The scripts with every row of the papers' tables: options that the trainings take, and rows that run to their end."""

import importlib
import sys
from pathlib import Path

import drawn.networks  # noqa: F401  small networks by name
import harness
import histo_paper
import karyotype_paper
import papers
import pytest
from drawn.histo import write_tiles
from typer.testing import CliRunner

from cellscope.assays.histo.options import TrainOptions as Histo
from cellscope.assays.karyotype.options import TrainOptions as Karyotype
from cellscope.assays.mitosis.options import TrainOptions as Mitosis
from cellscope.cli.root import app
from cellscope.options.resolve import resolve


def flags_of(words):
    """Read ``--name value`` and ``--set name=value``."""
    flags = {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        name, value = value.split("=", 1) if flag == "--set" else (flag.removeprefix("--").replace("-", "_"), value)
        flags[name] = value
    return flags


def listed(module, monkeypatch, capsys, *words):
    """Give the commands that a script prints with ``--list``, each as words."""
    monkeypatch.setattr(sys, "argv", ["script", *words, "--list"])
    module.main()
    return [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(("paper", "counts"), [
    ("micronucleus", {"2": 12, "3": 7, "4": 12}),
    ("nucleus-seg", {"3 and 7": 5, "6": 4}),
    ("mitosis", {"1 and 2": 19, "3": 2}),
])  # fmt: skip
def test_every_row_is_a_training(paper, counts):
    options = importlib.import_module(f"cellscope.assays.{paper.replace('-', '_')}.options").TrainOptions
    rows = papers.PAPERS[paper]()
    assert {table: sum(row.table == table for row in rows) for table in counts} == counts
    assert len(rows) == sum(counts.values())
    for row in rows:
        made = resolve(options, flags=flags_of(row.train), env={})
        assert made.in_steps(100).steps > 0


# Table 1 of the mitosis paper as printed: network, pretrained, rates of its steps, batch size.
PRINTED = """
Xception Yes 0.001/0.00001 10 | Xception No 0.001 10 | Xception No 0.0001 10 | Xception No 0.00001 10
Xception No 0.0001 20 | VGG16 Yes 0.001/0.00001 10 | VGG16 No 0.001 10 | VGG16 Yes 0.0001/0.00001 10
VGG16 Yes 0.00001/0.000001 10 | VGG16 Yes 0.00001/0.000001 20 | ResNet50 Yes 0.001/0.00001 10 | ResNet50 No 0.001 10
ResNet50 Yes 0.0001/0.00001 10 | ResNet50 Yes 0.00001/0.000001 10 | ResNet50 Yes 0.001/0.00001 20 | Gao No 0.001 10
Gao No 0.0001 10 | Gao No 0.00001 10 | Gao No 0.001 20
"""


def test_table_1_of_the_mitosis_paper_is_as_printed():
    printed = [row.split() for row in PRINTED.strip().replace("\n", " | ").split(" | ")]
    rows = [row for row in papers.mitosis() if row.table == "1 and 2"]
    for (network, pretrained, rates, batch), row in zip(printed, rows, strict=True):
        made = resolve(Mitosis, flags=flags_of(row.train), env={})
        first, *second = map(float, rates.split("/"))
        assert made.arch == f"{network.lower()}-lstm"
        assert (made.init, made.batch_size) == ("imagenet" if pretrained == "Yes" else "none", int(batch))
        assert made.learning_rate == pytest.approx(first)
        assert made.two_steps == bool(second) == made.freeze_first
        assert [made.learning_rate * made.second_rate] * len(second) == pytest.approx(second)


def test_the_weights_of_the_pretrained_3d_network_can_be_named(monkeypatch, capsys):
    words = ("mitosis", "D", "--row", "Kinetics", "--full", "--kinetics", "k.pth")
    [train] = listed(papers, monkeypatch, capsys, *words)
    assert "".join(train).endswith("--overwrite")
    assert train[train.index("--init") + 1] == "k.pth"
    assert train[train.index("--repeats") + 1] == "10"


@pytest.mark.parametrize("full", [[], ["--full"]])
def test_every_row_of_histonext_is_a_training(full, monkeypatch, capsys):
    tables = {"1": 5, "2": 5, "3": 3, "4": 7, "5": 2, "6": 4, "7": 2}
    for table, count in tables.items():
        commands = listed(histo_paper, monkeypatch, capsys, "D", "--table", table, *full)
        trainings = [words for words in commands if words[2] == "train"]
        assert len(trainings) == count
        assert len(commands) == 2 * count
        for words in trainings:
            made = resolve(Histo, flags=flags_of(words[4:-3]), env={})  # without -o OUT --overwrite
            assert made.in_steps(1000).steps > 0
            assert made.preset == "paper"
            if full and table == "6" and made.arch != "hovernet":
                assert made.arch in ("histonext-tiny", "histonext-base", "histonext-large")


def test_every_row_of_the_karyotype_paper_is_a_training(monkeypatch, capsys):
    commands = listed(karyotype_paper, monkeypatch, capsys, "D", "--full")
    trainings = [words for words in commands if words[2] == "train"]
    assert len(commands) == 2 * (3 + 3 + 15 + 1) + 1  # Table I right and left, Table II, Table III
    found = set()
    for words in trainings:
        made = resolve(Karyotype, flags=flags_of(words[4:-2]), env={})
        found.add((made.preset, made.arch))
    assert {preset for preset, _ in found} == {"paper-detect", "paper-unrotated", *(f"paper-{one}" for one in "abcde")}
    assert {arch for preset, arch in found if preset == "paper-detect"} == {
        "faster-rcnn-101", "mask-rcnn-50", "chrrender-50",
    }  # fmt: skip
    assert "--no-assignment" in commands[-1]


def in_process(words):
    result = CliRunner().invoke(app, [*words, "-q"])
    assert result.exit_code == 0, result.output
    return 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("script", "assay", "words", "measured"), [
    ("papers", "mitosis", ["--row", "gao-lstm, none, 0.001, batch 10"], "test_accuracy"),
    ("histo_paper", "histo", ["--row", "4, learning rate"], "dice"),
])  # fmt: skip
def test_a_row_runs_to_its_end(script, assay, words, measured, tmp_path, monkeypatch, capsys, request):
    if assay == "mitosis":
        dataset = request.getfixturevalue("mitosis_dataset")
    else:
        given, dataset = tmp_path / "tiles", tmp_path / "data"
        write_tiles(given, 6, side=96)
        in_process([assay, "prepare", str(given), "-o", str(dataset), "--splits", "0.4,0.3,0.3"])
    module = importlib.import_module(script)
    monkeypatch.setattr(module, "cellscope", in_process)
    given = [assay] if script == "papers" else []
    words = [script, *given, str(dataset), "--limit", "2", *words, "-o", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    module.main()
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(table) == 2, table
    assert f"{measured} " in table[1]


def test_the_script_runs_what_it_lists(monkeypatch, tmp_path, capsys):
    """Every script goes through the one function of the harness, in the order of its list."""
    assert papers.cellscope is histo_paper.cellscope is karyotype_paper.cellscope is harness.cellscope
    words = ["micronucleus", "D", "--row", "aalnet", "-o", str(tmp_path / "out")]
    commands = listed(papers, monkeypatch, capsys, *words)
    assert [line[2] for line in commands] == ["train", "eval"]
    assert Path(commands[0][commands[0].index("-o") + 1]).parent == tmp_path / "out"
