"""Every metric of `eval` with its interval: overall and by source, the model's and the baseline's, by convention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.histo.classes import named_types
from cellscope.engine.eval.metric import Metric, measure
from cellscope.metrics.conventions import CONVENTIONS, FORMULAS, IMAGE_METRICS, Convention
from cellscope.metrics.instance_summary import Summary

MAIN = ("dice", "aji", "pq")
"""What is printed, with the F1 of detection and of types."""


def compared_types(dataset: tuple[str, ...], model: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Give the types of dataset and model together, and what is to be said where they differ.

    Parameters
    ----------
    dataset, model : tuple of str
        One class, whatever its name, means that there are no types.

    Returns
    -------
    tuple of str
        The dataset's, then those that only the model knows; empty where types cannot be compared.
    list of str
    """
    if len(dataset) < 2 or len(model) < 2:
        return (), []
    shared = [name for name in dataset if name in model]
    if not shared:
        known, here = ", ".join(model), ", ".join(dataset)
        return (), [f"types are not compared: the model knows {known}, the dataset has {here}"]
    notes = []
    if unknown := [name for name in dataset if name not in model]:
        notes.append(f"the model does not know {', '.join(unknown)}: nuclei of such types count as errors")
    if further := [name for name in model if name not in dataset]:
        notes.append(f"the dataset does not have {', '.join(further)}: nuclei found as such count as errors")
    return (*dataset, *further), notes


def all_metrics(
    summary: Summary,
    baseline: Summary,
    sources: Sequence[str],
    groups: Sequence[str],
    classes: tuple[str, ...],
    seed: int,
) -> list[Metric]:
    """Give every metric.

    Parameters
    ----------
    summary, baseline : Summary
        Of the same images.
    sources, groups : sequence of str
        Of the images.
    classes : tuple of str
        Types; empty where none are compared.
    seed : int

    Returns
    -------
    list of Metric
        ``<convention>.<metric>``, with ``<source>.`` before it where there are several, and ``otsu.`` before the
        convention for the baseline, which has no types.
    """
    metrics = []
    for prefix, index in parts(sources):
        metrics += _of_part(prefix, summary, index, np.asarray(groups), classes, seed)
        metrics += _of_part(f"{prefix}otsu.", baseline, index, np.asarray(groups), (), seed)
    return metrics


def parts(sources: Sequence[str]) -> list[tuple[str, np.ndarray]]:
    """Give what metrics are taken over: prefix of their names, positions of the images."""
    names = np.asarray(sources)
    found = [("", np.arange(len(names)))]
    if len(set(sources)) > 1:
        found += [(f"{name}.", np.flatnonzero(names == name)) for name in sorted(set(sources))]
    return found


def _of_part(
    prefix: str, summary: Summary, index: np.ndarray, groups: np.ndarray, classes: tuple[str, ...], seed: int
) -> list[Metric]:
    metrics: list[Metric] = []

    def add(
        name: str, statistic: Callable[[np.ndarray], float], convention: str, per_class: np.ndarray | None = None
    ) -> None:
        by_type = None if per_class is None else dict(zip(classes, per_class.tolist(), strict=True))
        metrics.append(
            measure(
                prefix + name, groups[index], lambda at: statistic(index[at]),
                convention=convention, per_class=by_type, seed=seed,
            )
        )  # fmt: skip

    for key, way in CONVENTIONS.items():
        for name in IMAGE_METRICS:
            text = f"{FORMULAS[name]}; {way.averaged}; {way.empty}"
            add(f"{key}.{name}", partial(summary.mean, name, way), text)
        add(f"{key}.bpq", partial(summary.bpq, way), f"PQ whatever the type; {way.binary}")
        text = f"F1 of detection, 2 TP / (2 TP + FP + FN); {way.paired}"
        add(f"{key}.fd", partial(_mean_f1, summary, way, [0]), text)
        by_type = summary.f1(way, index)[1:]
        if not classes or not np.isfinite(by_type).any():
            continue
        chosen = named_types(classes)
        text = f"mean F1 of {', '.join(classes[at] for at in chosen)}, over typed images; {way.paired}"
        add(f"{key}.types_f1", partial(_mean_f1, summary, way, [1 + at for at in chosen]), text, by_type)
        text = f"PQ of every type over typed images, then their mean; {way.typed}"
        add(f"{key}.mpq", partial(summary.mpq, way), text, summary.type_pq(way, index))
    return metrics


def _mean_f1(summary: Summary, way: Convention, rows: list[int], at: np.ndarray) -> float:
    """Average F1 over rows of `Summary.f1` that are defined."""
    values = summary.f1(way, at)[rows]
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


def source_table(metrics: Sequence[Metric], sources: Sequence[str]) -> pd.DataFrame:
    """Lay the metrics out by source and convention, the baseline's below the model's.

    Returns
    -------
    DataFrame
        ``source, images, method, convention`` and a column per metric; empty where undefined.
    """
    values = {metric.name: metric.value for metric in metrics}
    names = (*IMAGE_METRICS, "bpq", "mpq", "fd", "types_f1")
    rows = []
    for prefix, index in parts(sources):
        for method, more in (("model", ""), ("otsu", "otsu.")):
            for key in CONVENTIONS:
                row: dict[str, Any] = {
                    "source": prefix.rstrip(".") or "all", "images": len(index), "method": method, "convention": key,
                }  # fmt: skip
                rows.append(row | {name: values.get(f"{prefix}{more}{key}.{name}") for name in names})
    return pd.DataFrame(rows)


def headline(sources: Sequence[str]) -> list[str]:
    """Give the names of the metrics that are printed and stand at the top of the report."""
    names = [f"hovernet.{name}" for name in MAIN] + ["strict.fd", "strict.types_f1"]
    return [f"{prefix}{more}{name}" for prefix, _ in parts(sources) for more in ("", "otsu.") for name in names]


def lines(metrics: Sequence[Metric], sources: Sequence[str]) -> list[str]:
    """Say in a few lines what was measured: per source, the model's and below it the baseline's."""
    by_name = {metric.name: metric for metric in metrics}
    said = []
    for prefix, index in parts(sources):
        for method, more in (("model", ""), ("otsu", "otsu.")):
            cells = [f"{name} {by_name[f'{prefix}{more}hovernet.{name}'].text}" for name in MAIN]
            cells.append(f"detection F1 {by_name[f'{prefix}{more}strict.fd'].text}")
            typed = by_name.get(f"{prefix}{more}strict.types_f1")
            cells += [f"types F1 {typed.text}"] if typed else []
            images = "1 image" if len(index) == 1 else f"{len(index)} images"
            said.append(f"{prefix.rstrip('.') or 'all'} ({images}), {method}: {', '.join(cells)}")
    return said
