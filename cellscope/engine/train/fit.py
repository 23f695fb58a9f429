"""Training, written once for all assays: Lightning's loop with our files, resumption and signals.

An assay gives a LightningModule whose validation logs ``val_score`` (higher is better) and two data loaders; this
module decides device and precision, writes ``metrics.csv``, ``config.toml``, ``last.ckpt``, ``model.safetensors``
(best), ``curves.png`` and ``run.json``, and resumes after a kill.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader

from cellscope.engine.device import available_cpus, pick_device, pick_precision
from cellscope.engine.memory import keep_freed_memory
from cellscope.engine.provenance import training_record
from cellscope.engine.train.best import BestCheckpoint
from cellscope.engine.train.callbacks import EarlyStop, Progress, SaveAndStop, StepSeed, ValidateAt
from cellscope.engine.train.companions import Companions
from cellscope.engine.train.curves import EVERY, MetricsFile, draw_curves, logger_for
from cellscope.engine.train.folder import (
    BEST,
    LAST,
    MODEL,
    bring_best_back,
    find_resume,
    make_room,
    put_best_away,
    refuse_training,
    steps_taken,
    validation_due,
)
from cellscope.engine.train.launch import launched_by, quieten
from cellscope.engine.train.phases import Phases
from cellscope.engine.train.progress_file import ProgressFile
from cellscope.engine.train.worker_errors import worker_error
from cellscope.errors import CellscopeError, Interrupted, UsageError
from cellscope.io.write import write_json
from cellscope.models.file import ModelCard, save_model

UNLEARNT = ("none", "imagenet")
"""Values of ``--init`` that name no model which could be measured before the training."""

PRECISION_NAMES = {None: "32-true", torch.bfloat16: "bf16-mixed", torch.float16: "16-mixed"}


def fit(
    module: L.LightningModule,
    train_loader: Callable[[int], DataLoader],
    val_loader: DataLoader | None,
    out: Path,
    *,
    options: Any,
    card: Callable[[dict[str, float]], ModelCard],
    network: torch.nn.Module,
    argv: list[str],
    record: dict[str, Any],
    say: Callable[[str], None],
    phases: Phases | None = None,
) -> Path:
    """Train `module` and write the run folder.

    Parameters
    ----------
    module : LightningModule
        Holds `network`; logs ``val_score`` in validation.
    train_loader : callable
        Number of steps already taken -> loader of the rest: resumed trainings see the data they would have seen.
    val_loader : DataLoader or None
    out : Path
        The run folder.
    options : TrainOptions
    card : callable
        Validation metrics of the best checkpoint -> the model card to write.
    network : Module
        What the model file holds.
    argv : list of str
        The command, for ``run.json``.
    record : dict
        More for ``run.json`` (dataset, hash, ...).
    say : callable
        Takes progress lines.
    phases : Phases, optional
        Of the same options, where the module and the loader follow them.

    Returns
    -------
    Path
        ``model.safetensors``.

    Raises
    ------
    UsageError
        If `out` holds a training and neither ``--resume`` nor ``--overwrite`` is given, there are no steps and no model
        to start from, or TensorBoard is asked for and not installed.
    Interrupted
        After SIGINT or SIGTERM, once ``last.ckpt`` is written.
    """
    out = Path(out)
    if options.steps == 0 and options.init in ("none", "imagenet"):
        raise UsageError("--steps 0 trains nothing and only tunes the model of --init; name one")
    logger = logger_for(options.logger, out)
    resume = find_resume(out, options.resume)
    done = steps_taken(resume) if resume else 0
    phases = phases or Phases(options)
    if resume:
        phases.restore(Path(resume))
    first = (
        getattr(rank_zero_only, "rank", 0) == 0
    )  # of several training processes only the first touches the folder and speaks
    progress: ProgressFile | None = None
    if first:
        if resume is None:
            refuse_training(out, overwrite=options.overwrite)
        progress = ProgressFile(out, options.steps)
        make_room(out, options, resume)
        if resume is not None:
            bring_best_back(out, resume)
    else:
        say = _say_nothing
    quieten()
    keep_freed_memory()
    device = pick_device(options.device)
    precision = PRECISION_NAMES[pick_precision(options.precision, device)]
    began = time.time()
    if options.steps == 0:
        return _write_run(
            out, network, {}, began, progress, card=card, options=options, argv=argv, record=record, steps=0,
            device=str(device), precision=precision,
        )  # fmt: skip
    validates = phases.validates if val_loader is not None else None
    stop = SaveAndStop(out / LAST, save_every=options.save_every, validates=validates)
    table = MetricsFile(out / "metrics.csv", resumed=resume is not None or not first)
    callbacks: list[Callback] = [StepSeed(options.seed), table, Progress(say, options.steps, options.items_per_step)]
    callbacks += [progress] if progress is not None else []
    due = validates is not None and resume is not None and validation_due(Path(resume))
    if validates is not None:
        callbacks.append(ValidateAt(validates, due=due, steps=lambda: int(phases.options.steps)))
        callbacks.append(BestCheckpoint(out))
        if options.patience:
            callbacks.append(EarlyStop(phases, options.patience))
    callbacks.append(stop)  # last, so that what it saves holds what the others know
    where: dict[str, Any] = {
        "accelerator": {"cuda": "gpu"}.get(device.type, device.type),
        "devices": options.devices if options.devices > 1 else ([device.index] if device.index is not None else 1),
        "precision": precision,
        "num_nodes": options.num_nodes,
        "plugins": launched_by(options.devices * options.num_nodes),
    }
    trainer = L.Trainer(
        **where,
        # A batch may leave a branch without a loss (boxes without masks, polarity unknown).
        strategy="ddp_find_unused_parameters_true" if options.devices * options.num_nodes > 1 else "auto",
        max_steps=phases.options.steps + due,
        max_epochs=-1,
        val_check_interval=1,  # `ValidateAt` decides
        check_val_every_n_epoch=None,
        limit_val_batches=1.0 if val_loader is not None else 0,
        num_sanity_val_steps=0,
        gradient_clip_val=options.clip_gradient or None,
        accumulate_grad_batches=options.accumulate,
        logger=logger,
        log_every_n_steps=EVERY,
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
        use_distributed_sampler=False,
    )
    setattr(module, "options", phases.options)  # noqa: B010  a module's attributes are typed as modules
    companions = Companions(trainer, lambda: _how_to_go_on(out / LAST))
    start: float | None = None
    threads = torch.get_num_threads()
    if options.devices * options.num_nodes == 1 and "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(available_cpus())
    try:
        with stop, companions:
            if resume is None and validates is not None and _starts_from_model(options):
                start = _score(module, val_loader, where)
                say(f"the starting model scores {start:.4f} before the first step")
            trainer.fit(module, train_loader(done), val_loader, ckpt_path=resume, weights_only=True)
    except Interrupted:
        if progress is not None:
            progress.interrupted()
        if not first:
            return out / MODEL  # a child that fails makes the launcher kill the first process before it can say goodbye
        raise
    except (RuntimeError, KeyError, ConnectionError, EOFError) as error:
        if stop.lost_workers(error):
            if progress is not None:
                progress.interrupted()
            raise stop.interruption(f"at step {trainer.global_step}") from error
        if resume is not None and "state_dict" in str(error):
            raise UsageError(f"{resume} does not fit this architecture; use the options it was trained with") from error
        if (explained := companions.explain(error) or worker_error(error)) is not None:
            raise explained from error
        raise
    finally:
        torch.set_num_threads(threads)
    trainer.save_checkpoint(out / LAST)
    if not trainer.is_global_zero:
        return out / MODEL
    metrics: dict[str, float] = {}
    if validates is not None and options.keep == "last":
        metrics = table.at(next(filter(validates, range(trainer.global_step, 0, -1)), 0))
    elif validates is not None and (out / BEST).is_file():
        best = torch.load(out / BEST, weights_only=True, map_location="cpu")
        module.load_state_dict(best["state_dict"])
        metrics = table.at(int(best["global_step"]))
    if not all(torch.isfinite(value).all() for value in network.state_dict().values() if value.is_floating_point()):
        raise CellscopeError(f"training in {out} ended with weights that are not finite; lower --set learning_rate")
    draw_curves(table.rows(), out / "curves.png")
    put_best_away(out)
    if start is not None and "val_score" in metrics:
        record = record | {"start": {"val_score": start}}
        compared = f"the new model scores {metrics['val_score']:.4f}, the starting model {start:.4f}"
        say(compared if metrics["val_score"] >= start else f"warning: the training made the model worse: {compared}")
    return _write_run(
        out, network, metrics, began, progress, card=card, options=options, argv=argv, record=record,
        steps=trainer.global_step, device=str(device), precision=precision,
    )  # fmt: skip


def _how_to_go_on(last: Path) -> str:
    """Say what a checkpoint is good for after a training has ended badly."""
    return f"resume from {last} with --resume auto" if last.is_file() else "nothing was saved yet; start it again"


def _starts_from_model(options: Any) -> bool:
    """Tell whether one process trains on from a model; ``.pth`` files hold weights of another task."""
    alone = options.devices * options.num_nodes == 1
    return alone and options.init not in UNLEARNT and Path(options.init).suffix not in (".pth", ".pt")


def _score(module: L.LightningModule, loader: DataLoader | None, where: dict[str, Any]) -> float:
    """Validate a model as it is, and give ``val_score``; the training's own callbacks do not see it."""
    alone = L.Trainer(
        **where, logger=False, callbacks=[], enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    [found] = alone.validate(module, loader, verbose=False)
    return float(found["val_score"])


def _write_run(
    out: Path,
    network: torch.nn.Module,
    metrics: dict[str, float],
    began: float,
    progress: ProgressFile | None,
    *,
    card: Callable[[dict[str, float]], ModelCard],
    options: Any,
    argv: list[str],
    record: dict[str, Any],
    **facts: Any,
) -> Path:
    """Write ``model.safetensors``, whose card is made (and its thresholds tuned) only now, and then ``run.json``."""
    tensors = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    save_model(out / MODEL, tensors, card(metrics), half=options.half)
    run = training_record(argv, options, seconds=time.time() - began, **facts)
    write_json(out / "run.json", run | {"metrics": metrics} | record)
    if progress is not None:
        progress.done()
    return out / MODEL


def _say_nothing(_text: str) -> None:
    """Stand in for `say` in all training processes but the first."""
