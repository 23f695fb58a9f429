"""The documentation's tables against the code. Run as a script, it rewrites the option tables of ``docs/``."""

import dataclasses
import importlib
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cellscope import errors
from cellscope.assays.karyotype.classes import CLASSES
from cellscope.cli.root import ASSAYS
from cellscope.options import common as options
from cellscope.options import training as training_options
from cellscope.options.fields import specs
from cellscope.options.resolve import describe

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TABLE = re.compile(r"(<!-- options: (?P<wanted>[\w. -]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)


CONFIGS = {
    name: importlib.import_module(f"cellscope.assays.{name}.options")
    for name in (assay.replace("-", "_") for assay in ASSAYS)
}


def options_class(name: str) -> type:
    """Find ``RunOptions`` or ``karyotype.PredictOptions``."""
    room, _, plain = name.rpartition(".")
    places = [CONFIGS[room]] if room else [options, training_options]
    [found] = [getattr(place, plain) for place in places if plain in vars(place)][:1]
    return found


def assay_options(config: ModuleType) -> list[type]:
    """Return the options classes that an assay's config defines itself."""
    return [
        value
        for value in vars(config).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and value.__module__ == config.__name__
    ]


def option_table(wanted: str) -> str:
    """Write the table of the options of one class, without those of others: ``RunOptions - ComputeOptions``."""
    name, *without = wanted.split(" - ")
    left_out = {field.name for other in without for field in dataclasses.fields(options_class(other))}
    lines = ["| name | flag | values | default | |", "|---|---|---|---|---|"]
    known = specs(options_class(name))
    for row in describe(options_class(name)):
        if row["name"] in left_out:
            continue
        spec = known[row["name"]]
        flag = f"`{row['flag'].replace(', ', '`, `')}`" if row["flag"] else ""
        default = {True: "on", False: "off"}.get(spec.default) if isinstance(spec.default, bool) else None
        default = "" if spec.default is None else default or f"`{row['default']}`"
        values = row["allowed"] or (spec.option.metavar or row["type"]).replace("|", ", ")
        cells = [f"`{row['name']}`", flag, values, default, row["help"]]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """Return a page with its option tables as the code has them."""
    return TABLE.sub(lambda found: f"{found[1]}\n{option_table(found['wanted'])}\n{found[4]}", text)


def code_words(page: str) -> set[str]:
    """Every word in code quotes of a page, ``a`` to ``b`` ranges left as they are."""
    return set(re.findall(r"`([^`\n]+)`", (ROOT / "docs" / page).read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if TABLE.search(page.read_text("utf-8"))], ids=lambda p: p.name
)
def test_option_tables_are_up_to_date(page):
    text = page.read_text(encoding="utf-8")
    assert text == with_tables(text), f"the options in {page.name} have changed: run python tests/test_docs.py"


def test_every_option_is_in_a_table():
    documented = set()
    for page in PAGES:
        for found in TABLE.finditer(page.read_text(encoding="utf-8")):
            documented |= set(re.findall(r"^\| `([\w.]+)` \|", found["body"], re.MULTILINE))
    classes = [options.RunOptions, options.PrepareOptions]
    classes += [cls for config in CONFIGS.values() for cls in assay_options(config)]
    assert documented == {row["name"] for cls in classes for row in describe(cls)}


def test_option_tables_show_what_is_allowed():
    table = option_table("karyotype.PredictOptions")
    assert "| `mask_threshold` |  | 0.05 to 0.95 | `0.5` |" in table
    assert "| `polarity` | `--polarity` | auto, bright, dark | `auto` |" in table
    assert "`seed`" not in option_table("ComputeOptions - BaseOptions")


@pytest.mark.parametrize("page", ["docs/cli.md", "README.md"])
def test_exit_codes(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE)
    documented = sorted(int(code) for row in rows for code in row.split(","))
    assert documented == sorted(value for name, value in vars(errors).items() if name.startswith("EXIT_"))


def test_reasons_and_flags_are_explained(monkeypatch: pytest.MonkeyPatch):
    import numpy as np

    from cellscope.assays.karyotype.cell.chromosomes import name_cell
    from cellscope.assays.karyotype.detect.detections import Detection

    # so that four chromosomes list what is missing
    monkeypatch.setattr("cellscope.assays.karyotype.cell.chromosomes.MANY", 22)
    mask = np.ones((20, 6), bool)
    boxes = [(0, 0), (40, 30), (42, 30), (80, 60)]
    detections = [Detection(np.array([x, y, x + 6, y + 20]), mask, 0.3) for x, y in boxes]
    unsure = np.full((4, 24), np.log(1 / 24))
    cell = name_cell(
        detections,
        unsure,
        None,
        shape=(100, 100),
        bright_on_dark=True,
        assign=True,
        aneuploidy_cost=3.0,
        review_below=0.9,
    )
    page = (ROOT / "docs/karyotype.md").read_text(encoding="utf-8")
    kinds = {re.match(r"[a-z_]+?(?=_[\dX?/Y]+)", flag)[0] for flag in cell.flags}
    assert {"count", "overlapping", "cut_off", "not_two_of", "sex"} <= kinds
    for kind in kinds:
        assert re.search(rf"^\| `{kind}_[\w/?]+` \|", page, re.MULTILINE), kind
    reasons = {reason for chromosome in cell.chromosomes for reason in chromosome.reasons}
    assert {"cut off by the image border", "may not be a chromosome"} <= reasons
    for reason in reasons:
        said = re.sub(r"looks like \w+, placed as \w+", "looks like 9, placed as 8", reason)
        assert f"| {said} |" in page, reason


def test_prepared_dataset_is_explained(tmp_path):
    from cellscope.io.prepared import COLUMNS, write_dataset
    from cellscope.io.splits import Item
    from cellscope.io.write import write_text

    write_text(tmp_path / "a.png", "not looked at")
    items = [Item("made/a", "made/g", "a.png", class_="1")]
    source = {"name": "made", "format": "folders", "items": 1, "licence": "CC0"}
    write_dataset(
        tmp_path,
        items,
        assay="karyotype",
        classes=list(CLASSES),
        sources=[source],
        pixel_size_um=None,
        seed=0,
        splits=(1.0, 0.0, 0.0),
        folds=0,
    )
    words = code_words("training.md")
    assert set(json.loads((tmp_path / "dataset.json").read_text(encoding="utf-8"))) | set(COLUMNS) <= words
    from cellscope.assays.karyotype.datasets.sources import FORMATS

    assert set(FORMATS) <= words


def test_architectures_are_listed():
    from cellscope.assays.karyotype.networks import chrnet, detectors

    offered = {name for name in (*chrnet.ARCHS, *detectors.ARCHS) if not name.endswith("-test")}  # of drawn.networks
    assert offered <= code_words("training.md")


def test_evaluation_is_explained(tmp_path):
    import numpy as np
    import pandas as pd

    from cellscope.engine.eval.metric import Metric
    from cellscope.engine.eval.report import write_evaluation

    write_evaluation(
        tmp_path,
        assay="karyotype",
        dataset={"hash": "0" * 64},
        split="test",
        n=1,
        metrics=[Metric("recall", 1.0, 0.5, 1.0, 1, "made up", {"1": 1.0})],
        per_image=pd.DataFrame({"image": ["a"], "score": [np.nan]}),
        figures={},
        models=[],
        argv=[],
        seconds=0.0,
    )
    words = code_words("outputs.md")
    record = json.loads((tmp_path / "eval.json").read_text(encoding="utf-8"))
    metrics = record.pop("metrics")
    assert set(record) | {f"metrics.{name}" for name in metrics} | set(metrics["overall"]["recall"]) <= words
    assert {path.name for path in tmp_path.iterdir()} <= words


def test_suffixes_are_listed():
    from cellscope.io.read import SUFFIXES

    assert set(SUFFIXES) <= code_words("inputs.md")


def test_rooms_are_listed():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    package = ROOT / "cellscope"
    rooms = [
        *(path.name for path in package.glob("*.py") if path.name != "__init__.py"),
        *(f"{path.name}/" for path in package.iterdir() if path.is_dir() and path.name != "__pycache__"),
        *(f"`{path.name}`" for path in (package / "assays").glob("*/*/") if (path / "__init__.py").is_file()),
    ]
    missing = [room for room in rooms if not re.search(rf"(?<![\w]){re.escape(room)}", page)]
    assert not missing
    rules = (ROOT / ".importlinter").read_text(encoding="utf-8")
    layers = re.search(r"^layers =\n((?:    .*\n)+)", rules, re.MULTILINE)
    order = [line.strip().removeprefix("cellscope.") for line in layers[1].splitlines()]
    drawn = re.search(r"```\n(__main__ > .*?)```", page, re.DOTALL)[1]
    assert re.split(r"\s*>\s*", drawn.strip()) == order
    # a room that is missing from the contract would be free to import anything
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert {room.partition(".")[0] for room in order} == modules - {"__init__"}


def test_the_path_of_an_image_exists():
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    path = page.partition("## The path of one image")[2].partition("\n## ")[0]
    files = [file.relative_to(ROOT / "cellscope").as_posix() for file in (ROOT / "cellscope").rglob("*.py")]
    text = "\n".join((ROOT / "cellscope" / file).read_text(encoding="utf-8") for file in files)
    words = re.findall(r"^\|.*", path, re.MULTILINE)
    named = {word for line in words for word in re.findall(r"`([\w/.]+)`", line)} - {"run.json"}
    assert len(named) > 80
    for word in named:
        if word.endswith(".py"):
            assert any(f"/{file}".endswith(f"/{word}") for file in files), word
        else:
            # a stage's `cut` is a field of the protocol, the others are functions or methods
            assert re.search(rf"^ *(def {word.rpartition('.')[2]}\b|{word}: )", text, re.MULTILINE), word


def test_every_page_is_in_the_navigation():
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("nav:")[2].partition("markdown_extensions:")[0]
    named = re.findall(r"[\w/-]+\.md", nav)
    assert sorted(named) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in PAGES)


if __name__ == "__main__":
    for path in PAGES:
        before = path.read_text(encoding="utf-8")
        if (after := with_tables(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"rewrote the tables of {path.name}", file=sys.stderr)
