"""What ``eval`` leaves behind, for every assay: ``eval.json``, ``per_image.csv``, figures and ``report.html``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import cellscope
from cellscope.engine.eval.metric import LEVEL, Metric
from cellscope.engine.provenance import difference, environment, now
from cellscope.errors import UsageError
from cellscope.io.write import write_csv, write_json, write_png
from cellscope.report.page import Card, Table, write_report
from cellscope.report.plots import render_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = "cellscope.eval/1"

_SHOWN_ELSEWHERE = ("metrics", "figures", "tables", "schema", "failed", "identity")
EVAL_JSON, PER_IMAGE, REPORT, FIGURES = "eval.json", "per_image.csv", "report.html", "figures"


def refuse_evaluation(out: Path, *, overwrite: bool) -> None:
    """Raise UsageError if a folder holds results and the user did not ask to overwrite them.

    To be called before the work starts; `write_evaluation` calls it again.
    """
    found = [name for name in (EVAL_JSON, PER_IMAGE, REPORT) if (Path(out) / name).exists()]
    if found and not overwrite:
        raise UsageError(f"{out} already holds results ({found[0]}); give --overwrite or another -o")


class NothingToDo(Exception):
    """The evaluation is there already."""


def check_same(out: Path, identity: Mapping[str, Any], *, again: bool = False) -> None:
    """Compare the evaluation in a folder, if there is one, with what is to be measured.

    Raises
    ------
    NothingToDo
        It is the same.
    UsageError
        It is another, or `again`: more is wanted of it than is there.
    """
    try:
        before = json.loads((Path(out) / EVAL_JSON).read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if unlike := difference(json.loads(json.dumps(identity)), before):
        raise UsageError(f"{out} holds another evaluation: {unlike}; give --overwrite or another -o")
    if again:
        raise UsageError(f"{out} is finished, and its items are gone; give --overwrite to compare it")
    raise NothingToDo


def write_evaluation(
    out: Path,
    *,
    assay: str,
    dataset: Mapping[str, Any],
    split: str,
    n: int,
    metrics: Sequence[Metric],
    per_image: pd.DataFrame,
    figures: Mapping[str, Figure],
    models: Sequence[Mapping[str, Any]],
    argv: Sequence[str],
    seconds: float,
    identity: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    tables: Mapping[str, pd.DataFrame] | None = None,
    headline: Sequence[str] | None = None,
    failed: Mapping[str, str] | None = None,
    data: Mapping[str, pd.DataFrame] | None = None,
) -> None:
    """Write everything an evaluation leaves behind; ``eval.json`` comes last, so its presence means the rest is whole.

    Parameters
    ----------
    out : Path
    assay : str
    dataset : mapping
        What identifies the prepared dataset, with its content ``hash`` (`PreparedDataset.info` will do).
    split : str
    n : int
        Items evaluated.
    metrics : sequence of Metric
        Names must differ.
    per_image : DataFrame
        A row per item. None and NaN are written empty.
    figures : mapping
        Name (letters, digits, ``-`` and ``_``) -> matplotlib figure, written to ``figures/<name>.png``.
    models : sequence of mapping
        One per part, with ``sha256``.
    argv : sequence of str
    seconds : float
    identity : mapping, optional
        What another evaluation must share to be the same.
    overwrite : bool
    tables : mapping, optional
        More tables: name -> frame, written to ``<name>.csv`` and shown in the report.
    headline : sequence of str, optional
        Names of the metrics at the top of the report; all of them without.
    failed : mapping, optional
        Items that could not be measured and why.
    data : mapping, optional
        Tables that other commands read: name -> frame, written to ``<name>.csv`` and not shown in the report.

    Raises
    ------
    UsageError
        `out` holds results and `overwrite` is false.
    ValueError
        Two metrics share a name, the dataset has no hash, or a figure's name cannot be a file name.
    """
    out = Path(out)
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        raise ValueError(f"two metrics share a name: {', '.join(sorted({x for x in names if names.count(x) > 1}))}")
    if not dataset.get("hash"):
        raise ValueError("the dataset has no hash")
    bad = [name for name in figures if not name.replace("-", "").replace("_", "").isalnum()]
    if bad:
        raise ValueError(f"{bad[0]!r} cannot be the name of a figure's file")
    refuse_evaluation(out, overwrite=overwrite)
    _remove(out)
    files = {name: f"{FIGURES}/{name}.png" for name in figures}
    record = {
        "schema": SCHEMA,
        "assay": assay,
        "version": cellscope.__version__,
        "argv": list(argv),
        "finished": now(),
        "seconds": round(float(seconds), 3),
        "dataset": dict(dataset),
        "split": split,
        "identity": dict(identity or {}),
        "n": int(n),
        "level": LEVEL,
        "metrics": {
            "overall": {
                metric.name: {
                    "value": metric.value,
                    "low": metric.low,
                    "high": metric.high,
                    "n": int(metric.n),
                    "convention": metric.convention,
                }
                for metric in metrics
            },
            "per_class": {metric.name: metric.per_class for metric in metrics if metric.per_class is not None},
        },
        "models": [dict(model) for model in models],
        "figures": list(files.values()),
        "tables": [f"{name}.csv" for name in (*(tables or {}), *(data or {}))],
        "environment": environment(),
    }
    if failed:
        record["failed"] = [{"image": name, "error": error} for name, error in failed.items()]
    write_csv(out / PER_IMAGE, per_image)
    for name, table in {**(tables or {}), **(data or {})}.items():
        write_csv(out / f"{name}.csv", table)
    for name, figure in figures.items():
        write_png(out / files[name], render_figure(figure), dpi=figure.dpi)
    first = [metric for metric in metrics if headline is None or metric.name in headline]
    _write_page(out, record, metrics, first, per_image, files, tables or {})
    write_json(out / EVAL_JSON, record)


def _remove(out: Path) -> None:
    """Remove an earlier evaluation, its record first, and of figures and tables only those the record names."""
    try:
        record = json.loads((out / EVAL_JSON).read_text(encoding="utf-8"))
        figures, tables = ([out / str(name) for name in record.get(kind, [])] for kind in ("figures", "tables"))
    except (OSError, ValueError, AttributeError):
        figures, tables = [], []
    drawn = [path for path in figures if path.resolve().parent == (out / FIGURES).resolve()]
    drawn += [path for path in tables if path.resolve().parent == out.resolve() and path.suffix == ".csv"]
    for path in (out / EVAL_JSON, out / PER_IMAGE, out / REPORT, *drawn):
        path.unlink(missing_ok=True)


def _write_page(
    out: Path,
    record: Mapping[str, Any],
    metrics: Sequence[Metric],
    headline: Sequence[Metric],
    per_image: pd.DataFrame,
    files: Mapping[str, str],
    more: Mapping[str, pd.DataFrame],
) -> None:
    overall = pd.DataFrame(
        [[m.name, m.value, m.low, m.high, m.n, m.convention] for m in metrics],
        columns=["metric", "value", "low", "high", "n", "convention"],
    )
    tables = [Table("Metrics", overall, "low and high are the ends of the 95 % interval; empty means undefined.")]
    by_class = {metric.name: metric.per_class for metric in metrics if metric.per_class}
    if by_class:
        # In the order in which the first metric names them; a class only a later one knows comes after.
        labels = list(dict.fromkeys(label for values in by_class.values() for label in values))
        rows = [[label, *(values.get(label) for values in by_class.values())] for label in labels]
        tables.append(Table("Classes", pd.DataFrame(rows, columns=["class", *by_class]), "One row per class."))
    tables += [Table(name.replace("_", " ").capitalize(), table, f"As in {name}.csv.") for name, table in more.items()]
    tables.append(Table("Items", per_image, f"One row per item of the split, as in {PER_IMAGE}."))
    dataset = record["dataset"]
    write_report(
        out / REPORT,
        title=f"{record['assay']} eval",
        subtitle=f"{record['n']} items of split {record['split']}, dataset {str(dataset['hash'])[:12]}",
        summary=[(metric.name.replace("_", " "), metric.text) for metric in headline],
        cards=[
            Card(name.replace("_", " ").replace("-", " ").capitalize(), [("", out / file)])
            for name, file in files.items()
        ],
        cards_title="Figures",
        tables=tables,
        warnings=[f"{one['image']} could not be measured: {one['error']}" for one in record.get("failed", [])],
        provenance={name: record[name] for name in record if name not in _SHOWN_ELSEWHERE},
        notes=[
            "Brackets: 95 % confidence intervals, by bootstrap over groups (patients, cells, slides) if there are "
            "any. They do not cover differences to other laboratories, stains or microscopes."
        ],
    )
