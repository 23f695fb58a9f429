"""The rows of the papers' tables: all there, and options that the trainings take."""

import importlib

import papers
import pytest

from cellscope.options.resolve import resolve


def flags_of(words):
    """Read ``--name value`` and ``--set name=value``."""
    flags = {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        name, value = value.split("=") if flag == "--set" else (flag.removeprefix("--").replace("-", "_"), value)
        flags[name] = value
    return flags


@pytest.mark.parametrize(("paper", "counts"), [
    ("micronucleus", {"2": 12, "3": 7, "4": 12}),
    ("nucleus-seg", {"3 and 7": 5, "6": 4}),
    ("mitosis", {"1 and 2": 19, "3": 1}),
])  # fmt: skip
def test_every_row_is_a_training(paper, counts):
    options = importlib.import_module(f"cellscope.assays.{paper.replace('-', '_')}.options").TrainOptions
    rows = papers.PAPERS[paper]()
    assert {table: sum(row.table == table for row in rows) for table in counts} == counts
    assert len(rows) == sum(counts.values())
    for row in rows:
        made = resolve(options, flags=flags_of(row.train), env={})
        assert made.in_steps(100).steps > 0


def test_two_steps_of_table_1_have_the_printed_rates():
    from cellscope.assays.mitosis.options import TrainOptions

    row = next(row for row in papers.mitosis() if row.name.startswith("vgg16-lstm, imagenet, 0.0001/1e-05"))
    made = resolve(TrainOptions, flags=flags_of(row.train), env={})
    assert made.learning_rate == pytest.approx(1e-4)
    assert made.learning_rate * made.second_rate == pytest.approx(1e-5)
    assert made.freeze_first is True
