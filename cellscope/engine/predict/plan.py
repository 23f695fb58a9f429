"""Predict: inputs in; artefacts, tables, report and ``run.json`` out. Written once, for every assay."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellscope.engine.assay import Assay
from cellscope.engine.device import pick_device, pick_precision
from cellscope.engine.distribute.run import is_distributed, open_pool
from cellscope.engine.find import find_assay
from cellscope.engine.loading import load_models
from cellscope.engine.predict import shards
from cellscope.engine.predict.grouping import groups_of
from cellscope.engine.predict.read import check_plan, plan_inputs, use_granted_cpus
from cellscope.engine.predict.resume import refuse_results
from cellscope.engine.predict.session import RunOutcome, Session
from cellscope.engine.provenance import identity, now, plain
from cellscope.engine.signals import StopSignals
from cellscope.errors import CellscopeError, UsageError
from cellscope.options.common import AUTO
from cellscope.options.resolve import with_thresholds

if TYPE_CHECKING:
    from cellscope.io.inputs import Input
    from cellscope.options.common import RunOptions


def predict(
    assay: Assay,
    arguments: list[str],
    out: Path,
    *,
    run: RunOptions,
    options: Any,
    models: list[str],
    argv: list[str],
    plan: list[Input] | None = None,
    command: str = "predict",
) -> RunOutcome:
    """Run an assay over inputs and write its results to a folder.

    Parameters
    ----------
    assay
        The assay.
    arguments
        Files, folders and ``@list.txt``.
    out
        The output folder (docs/outputs.md).
    run
        Options that mean the same everywhere.
    options
        The assay's own predict options.
    models
        Model files or built-in names.
    argv
        The command line, for ``run.json``.
    plan
        The inputs, for an assay that finds them by other rules than `arguments`.
    command
        The verb, for ``run.json`` and the report.

    Returns
    -------
    RunOutcome
        Exit code 0 all done, 1 all inputs failed, 3 some failed; and the counts.

    Raises
    ------
    UsageError
        Before any work: no inputs, outputs that collide, results already there, wrong models or device.
    CellscopeError
        The output folder cannot be written.
    Interrupted
        SIGINT or SIGTERM, after the tables for what was done were written.
    """
    started = now()
    out = Path(out)
    if assay.read_options is not None:
        options = assay.read_options(options)
    if run.input not in (AUTO, *assay.inputs.kinds):
        raise UsageError(f"--input {run.input}: {assay.name} knows {', '.join((AUTO, *assay.inputs.kinds))}")
    if plan is None:
        plan = plan_inputs(assay, arguments, out, run, options)
    else:
        check_plan(plan, out)
    groups = groups_of(plan, run.group_by)
    folder = shards.tables_folder(out, run.shard_pair)
    _check_writable(folder)
    refuse_results(folder, overwrite=run.overwrite, skip_existing=run.skip_existing)
    with StopSignals() as stop, contextlib.ExitStack() as stack:
        pool = open_pool(run) if is_distributed(run) else None
        if pool is not None:
            stack.callback(pool.close)
        # worker processes have devices of their own; here the models only say what they are
        device = pick_device(run.device if pool is None else "cpu")
        dtype = pick_precision(run.precision if pool is None else "auto", device)
        threads = use_granted_cpus()
        torch.manual_seed(run.seed)
        np.random.seed(run.seed)  # noqa: NPY002 - for third-party code that still draws from the global generator
        loaded = load_models(assay, models, device)
        options = with_thresholds(options, [card.thresholds for card in loaded.cards.values()])
        facts = {
            "models": loaded.records,
            "device": str(device),
            "precision": str(dtype or torch.float32).removeprefix("torch."),
            "threads": threads,
            "seed": run.seed,
            "options": {"run": plain(run), assay.name: plain(options)},
            "identity": identity(assay.name, loaded.records, options, run),
            "shard": run.shard,
            "summary_columns": list(assay.summaries(loaded.cards)),
            "figures": {kind: list(suffixes) for kind, suffixes in assay.figures.items()},
            "editors": {kind: plain(editor) for kind, editor in assay.editors.items()},
            "command": command,
        }
        session = Session(assay, plan, groups, out, folder, run=run, loaded=loaded, facts=facts, stop=stop, pool=pool)
        try:
            session.prepare()
            session.work(options, device, dtype)
            return session.finish(argv, started)
        except OSError as error:
            raise CellscopeError(
                f"cannot write to {folder}: {error.strerror or error}; what is done is kept"
            ) from error
        finally:
            session.close()


def _check_writable(folder: Path) -> None:
    """Raise UsageError if a folder cannot be written or made; nothing is made here."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UsageError(f"cannot write to {folder}: {there} is not a folder; give another -o")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"cannot write to {folder}: no permission; give another -o")


def predict_shard(
    assay: str, arguments: list[str], out: str | Path, run: RunOptions, options: Any, models: list[str], argv: list[str]
) -> RunOutcome:
    """Do `predict` from names and values alone: picklable, with no state outside it, for schedulers.

    ``assay`` is a name for `cellscope.engine.find.find_assay`; ``run.shard`` says which part of the inputs. Returns
    and raises what `predict` does.
    """
    return predict(find_assay(assay), arguments, Path(out), run=run, options=options, models=models, argv=argv)
