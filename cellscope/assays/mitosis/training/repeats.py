"""Several trainings as one: the paper's repeats with mean and standard deviation, and cross-validation."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.mitosis.assay import calibrate, combine
from cellscope.assays.mitosis.evaluation.scores import scores
from cellscope.assays.mitosis.networks.registry import TRACKS, VIEWS, kinds_of
from cellscope.assays.mitosis.options import TrainOptions
from cellscope.assays.mitosis.training.left_out import SHOWN, left_out_table, train_in_turn
from cellscope.assays.mitosis.training.out_of_fold import by_others, combined_by, folds_of, write_out_of_fold
from cellscope.assays.mitosis.training.train import (
    PREDICTIONS,
    TEST,
    VIEW_SETTINGS,
    facts_of,
    make_card,
    train_one,
    tuned,
)
from cellscope.engine.eval.sources import LEFT_OUT_SOURCES, left_out_lines, left_out_metrics
from cellscope.engine.provenance import now, training_record
from cellscope.engine.train.data import say
from cellscope.engine.train.folder import MODEL, check_several, refuse_training
from cellscope.engine.train.turns import WITHOUT
from cellscope.errors import UsageError
from cellscope.io.leave_out import in_turn
from cellscope.io.prepared import PreparedDataset
from cellscope.io.write import write_csv, write_json, write_text
from cellscope.metrics.calibration import best_weights_and_bias, log_odds
from cellscope.models.file import load_model, save_model
from cellscope.options.resolve import to_toml

REPEATS = "repeats.csv"
SEEDS = "seeds.csv"
"""Of several cross-validations: what each gives out of fold, and mean and standard deviation over them."""

WANTED = "give two runs, one of a network over frames and one of tracknet"


def train(dataset: Path, out: Path, options: TrainOptions, *, argv: list[str]) -> int:
    """Train on a prepared dataset: once, ``--repeats`` times, once per fold with ``--cross-validate``, or with both.

    Parameters
    ----------
    dataset : Path
        From ``cellscope mitosis prepare``.
    out : Path
        The run folder; of several trainings each has a folder below it.
    options : TrainOptions
    argv : list of str
        The command, for the record.

    Returns
    -------
    int
        Exit code 0; errors and signals raise.
    """
    options = options.in_steps()
    prepared = PreparedDataset.open(dataset, assay="mitosis")
    if options.join is not None:
        join_runs(prepared, out, options, argv)
        return 0
    if in_turn(options.leave_out):
        train_in_turn(prepared, out, options, argv)
        return 0
    if not options.cross_validate and options.repeats == 1:
        train_one(prepared, out, options, argv=argv)
        return 0
    out = Path(out)
    check_several(options.resume)
    if not options.resume:
        refuse_training(out, overwrite=options.overwrite)
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").unlink(missing_ok=True)
    write_text(out / "config.toml", to_toml(options))
    runs = _plan(prepared, options)
    for number, (name, own) in enumerate(runs, 1):
        if options.resume == "auto" and (out / name / "run.json").is_file():
            say(f"{name} is done")
            continue
        say(f"{name} ({number} of {len(runs)})")
        train_one(prepared, out / name, own, argv=argv, test=True)
    table = _table(out, [name for name, _ in runs])
    write_csv(out / REPEATS, table)
    say(_spread(table))
    if options.cross_validate:
        _join(prepared, out, [name for name, _ in runs], options)
    else:
        best = str(table["run"].iloc[int(np.nanargmax(table["val_score"][: len(runs)].to_numpy(float)))])
        card, tensors = load_model(out / best / MODEL, assay="mitosis", part="classify")
        save_model(out / MODEL, tensors, card, half=options.half)
        say(f"{MODEL} is the one of {best}, the best on its validation sequences")
    record = training_record(argv, options, device="", precision="", seconds=0.0, steps=0)
    write_json(out / "run.json", record | {"runs": [name for name, _ in runs], "finished": now()})
    return 0


def _plan(prepared: PreparedDataset, options: TrainOptions) -> list[tuple[str, TrainOptions]]:
    """List (folder, options) of the trainings."""
    one = replace(options, repeats=1, cross_validate=False)
    if not options.cross_validate:
        return [(f"repeat-{k + 1}", replace(one, seed=options.seed + k)) for k in range(options.repeats)]
    folds = int(prepared.info.get("folds") or 0)
    if folds < 2:
        raise UsageError(f"{prepared.root} has no folds; prepare it with --folds 5")
    plan = []
    for k in range(options.repeats):
        above = f"repeat-{k + 1}/" if options.repeats > 1 else ""
        for fold in range(folds):
            seed = options.seed + k * folds + fold
            plan.append((f"{above}fold-{fold}", replace(one, fold=fold, seed=seed)))
    return plan


def _table(out: Path, names: list[str]) -> pd.DataFrame:
    """Return a row per training and two more: mean and standard deviation (n - 1), as in the paper's Tables 1 and 2.

    ``val_`` columns are of the validation, ``test_`` columns of the test split, or of the fold left out.
    """
    rows = []
    for name in names:
        record = json.loads((out / name / "run.json").read_text(encoding="utf-8"))
        found = {key: value for key, value in sorted(record["metrics"].items()) if key.startswith("val_")}
        found |= {f"test_{key}": value for key, value in record.get(TEST, {}).items() if value is not None}
        rows.append({"run": name, "seed": record["seed"], "seconds": record["seconds"], **found})
    table = pd.DataFrame(rows)
    numbers = table.drop(columns=["run", "seed"])
    extra = pd.DataFrame([{"run": "mean", **numbers.mean()}, {"run": "standard deviation", **numbers.std(ddof=1)}])
    return pd.concat([table.astype({"seed": "Int64"}), extra], ignore_index=True)


def _spread(table: pd.DataFrame) -> str:
    mean, deviation = table.iloc[-2], table.iloc[-1]
    said = []
    for where, what in (("val", "validation"), ("test", "test")):
        names = [f"{where}_{name}" for name in ("accuracy", "precision", "recall", "f1")]
        values = {name: f"{mean[name]:.3f} +- {deviation[name]:.3f}" for name in names if name in table}
        parts = [f"{name.partition('_')[2]} {value}" for name, value in values.items()]
        if parts:
            said.append(f"{what} {', '.join(parts)}")
    return f"over {len(table) - 2} trainings: {'; '.join(said)}"


def _join(prepared: PreparedDataset, out: Path, names: list[str], options: TrainOptions) -> None:
    """Make one model of the folds' networks, tuned on what each said of the sequences it had not seen."""
    tensors: dict[str, Any] = {}
    arguments: dict[str, Any] = {}
    classes: list[str] = list(prepared.info["classes"])
    for number, name in enumerate(names):
        card, own = load_model(out / name / MODEL, assay="mitosis", part="classify")
        tensors |= {f"members.{number}.{key}": value for key, value in own.items()}
        arguments = {**card.arch_args, **card.normalisation}
    each = _predictions_by_seed(out, names)
    table = _mean_predictions(each, classes)
    write_csv(out / PREDICTIONS, table)
    p = table[[f"p_{name}" for name in classes]].to_numpy(float)
    labels = np.array([classes.index(name) for name in table["class"]])
    thresholds = tuned(p, labels)
    fold = folds_of(prepared, table)
    honest = by_others(fold, partial(_tuned_by, p, labels, p))
    metrics = {f"out_of_fold_{key}": value for key, value in scores(labels, honest).items()}
    write_out_of_fold(out, table, honest, classes)
    columns = [f"p_{name}" for name in classes]
    seeds = [one[columns].to_numpy(float) for one in each]
    _write_seeds(out, labels, [by_others(fold, partial(_tuned_by, p, labels, one)) for one in seeds])
    arguments["members"] = len(names)
    facts = facts_of(prepared, options, len(table)) | {"folds": len(names) // len(each), "repeats": len(each)}
    card = make_card(arguments, str(options.arch), classes, prepared, facts, thresholds, metrics)
    save_model(out / MODEL, tensors, card, half=options.half)
    say("out of fold: " + ", ".join(f"{key[12:]} {value:.3f}" for key, value in metrics.items() if value is not None))


def _tuned_by(p: np.ndarray, labels: np.ndarray, wanted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Calibrate the `wanted` probabilities of all but some rows by what `p` says of these."""
    return calibrate(wanted[~rows], tuned(p[rows], labels[rows]))


def _predictions_by_seed(out: Path, names: list[str]) -> list[pd.DataFrame]:
    """Read what networks said of the sequences they had not seen: a table per cross-validation, sorted by id."""
    parts: dict[Path, list[pd.DataFrame]] = {}
    for name in names:
        parts.setdefault(Path(name).parent, []).append(pd.read_csv(out / name / PREDICTIONS, dtype={"dose": str}))
    return [pd.concat(tables).sort_values("id", ignore_index=True) for tables in parts.values()]


def _mean_predictions(each: list[pd.DataFrame], classes: list[str]) -> pd.DataFrame:
    """Average probabilities over cross-validations of the same sequences."""
    columns = [f"p_{name}" for name in classes]
    table = each[0].copy()
    table[columns] = np.mean([one[columns].to_numpy(float) for one in each], axis=0)
    return table


def _write_seeds(out: Path, labels: np.ndarray, each: list[np.ndarray]) -> None:
    """Write and say what every cross-validation gives, and mean and standard deviation (n - 1) over them."""
    if len(each) < 2:
        return
    table = pd.DataFrame([{"repeat": str(k), **scores(labels, p)} for k, p in enumerate(each, 1)])
    numbers = table.drop(columns="repeat")
    ends = [{"repeat": "mean", **numbers.mean()}, {"repeat": "standard deviation", **numbers.std(ddof=1)}]
    write_csv(out / SEEDS, pd.concat([table, pd.DataFrame(ends)], ignore_index=True))
    shown = ("accuracy", "f1", "f1_balanced", "roc_auc")
    said = [f"{name} {numbers[name].mean():.3f} +- {numbers[name].std(ddof=1):.3f}" for name in shown]
    say(f"over {len(each)} cross-validations: {', '.join(said)}")


def join_runs(prepared: PreparedDataset, out: Path, options: TrainOptions, argv: list[str]) -> None:
    """Make one model of two cross-validations of the same folds: frames and measurements.

    The log odds of both and a constant are weighed by a logistic regression on the out-of-fold predictions, classes
    counted alike. What is reported out of fold is weighed by the other folds' predictions alone.

    Raises
    ------
    UsageError
        Not one run of each kind, or runs of other sequences.
    """
    out = Path(out)
    refuse_training(out, overwrite=options.overwrite)
    classes: list[str] = list(prepared.info["classes"])
    tensors: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    archs: list[str] = []
    tables: dict[str, pd.DataFrame] = {}
    seeds: dict[str, list[pd.DataFrame]] = {}
    for name in str(options.join).split(","):
        run = Path(name.strip())
        if not (run / MODEL).is_file() or not (run / PREDICTIONS).is_file():
            raise UsageError(f"--join {run}: no finished training with --cross-validate")
        card, own = load_model(run / MODEL, assay="mitosis", part="classify")
        [kind] = kinds_of(card.arch_args)
        if kind in parts:
            raise UsageError(f"--join {run}: a second run of the same kind; {WANTED}")
        archs.append(card.arch)
        parts[kind] = {**card.arch_args, **card.normalisation}
        tensors |= {f"{kind}.{key}": value for key, value in own.items()}
        tables[kind] = pd.read_csv(run / PREDICTIONS, dtype={"dose": str}).sort_values("id", ignore_index=True)
        folders = sorted(path.parent.relative_to(run).as_posix() for path in run.glob("repeat-*/fold-*/" + PREDICTIONS))
        seeds[kind] = _predictions_by_seed(run, folders) or [tables[kind]]
    if set(parts) != {VIEWS, TRACKS}:
        raise UsageError(f"--join: {WANTED}")
    views, tracks = tables[VIEWS], tables[TRACKS]
    if list(views["id"]) != list(tracks["id"]) or len(classes) != 2:
        raise UsageError("--join needs two runs on the same dataset of two classes")
    labels = np.array([classes.index(name) for name in views["class"]])
    both = np.stack([log_odds(table[f"p_{classes[1]}"].to_numpy(float)) for table in (views, tracks)], 1)
    (of_views, of_tracks), bias = best_weights_and_bias(both, labels == 1)
    thresholds = {"views": round(of_views, 4), "tracks": round(of_tracks, 4), "bias": round(bias, 4)}
    columns = [f"p_{name}" for name in classes]
    p = combine(views[columns].to_numpy(float), tracks[columns].to_numpy(float), thresholds)
    in_folds = WITHOUT not in views
    honest = by_others(folds_of(prepared, views), partial(combined_by, both, labels)) if in_folds else p
    by_seed = []
    for k in range(max(len(each) for each in seeds.values())):
        one, other = (seeds[kind][k % len(seeds[kind])][columns].to_numpy(float) for kind in (VIEWS, TRACKS))
        by_seed.append(combine(one, other, thresholds))
    metrics = {f"out_of_fold_{key}": value for key, value in scores(labels, honest).items()}
    sources = _left_out_of_both(views, tracks, both, labels)
    metrics |= {} if sources is None else left_out_metrics(sources)
    joint = {"parts": parts, **{name: parts[VIEWS][name] for name in VIEW_SETTINGS if name in parts[VIEWS]}}
    facts = facts_of(prepared, options, len(views))
    facts |= {"folds": int(prepared.info.get("folds") or 0)} if sources is None else {"left_out": len(sources) - 2}
    card = make_card(joint, "+".join(sorted(archs)), classes, prepared, facts, thresholds, metrics)
    out.mkdir(parents=True, exist_ok=True)
    table = views[["id", "group", "line", "dose", "class"]].join(pd.DataFrame(p, columns=columns))
    write_csv(out / PREDICTIONS, table)
    write_out_of_fold(out, table, honest, classes)
    _write_seeds(out, labels, by_seed)
    if sources is not None:
        write_csv(out / LEFT_OUT_SOURCES, sources)
        say("\n".join(left_out_lines(sources, SHOWN)))
    save_model(out / MODEL, tensors, card, half=options.half)
    shown = {key[12:]: value for key, value in metrics.items() if key.startswith("out_of_fold_") and value is not None}
    say("out of fold: " + ", ".join(f"{key} {value:.3f}" for key, value in shown.items()))
    write_json(out / "run.json", training_record(argv, options, device="", precision="", seconds=0.0, steps=0))


def _left_out_of_both(views: pd.DataFrame, tracks: pd.DataFrame, both: np.ndarray, labels: np.ndarray) -> Any:
    """Measure left-out sources on two runs that left the same ones out in turn; None where they did not."""
    if WITHOUT not in views or WITHOUT not in tracks or not views[WITHOUT].equals(tracks[WITHOUT]):
        return None

    def fit(rows: np.ndarray) -> dict[str, float]:
        (of_views, of_tracks), bias = best_weights_and_bias(both[rows], labels[rows] == 1)
        return {"views": of_views, "tracks": of_tracks, "bias": bias}

    def apply(odds: np.ndarray, thresholds: dict[str, float]) -> np.ndarray:
        of_views, of_tracks = (np.stack([1 - p, p], 1) for p in (1 / (1 + np.exp(-odds))).T)
        return combine(of_views, of_tracks, thresholds)

    return left_out_table(views, both, labels, fit, apply)
