"""``--leave-out KEY``: one training without each source in turn, then one on all; each has a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cellscope.engine.provenance import now, training_record
from cellscope.engine.train.data import say
from cellscope.engine.train.folder import MODEL, check_several
from cellscope.errors import UsageError
from cellscope.io.write import write_json, write_text
from cellscope.options.resolve import to_toml

ALL = "all"
"""In a run folder: the training on all items."""

WITHOUT = "left-out"
"""In a table of predictions: what was left out by the network that gave them."""


@dataclass(frozen=True)
class Training:
    """One of the trainings: what it leaves out (`ALL` for nothing), its folder below the run's, its seed."""

    turn: str
    folder: str
    seed: int

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.turn == ALL


def folder_of(turn: str) -> str:
    """Name the folder of a training: ``line=PC3,day=160930`` is ``without-PC3-160930``."""
    if turn == ALL:
        return ALL
    said = "-".join(pair.partition("=")[2] for pair in turn.split(","))
    return "without-" + "".join(letter if letter.isalnum() or letter in "-._" else "_" for letter in said)


def trainings_of(turn: str, seed: int, *, repeats: int = 1) -> list[Training]:
    """List the trainings that leave one source out: one, or one for each of the repeats."""
    if repeats == 1:
        return [Training(turn, folder_of(turn), seed)]
    return [Training(turn, f"{folder_of(turn)}/repeat-{k + 1}", seed + k) for k in range(repeats)]


def train_turns(
    turns: Sequence[str],
    out: Path,
    options: Any,
    argv: list[str],
    train_one: Callable[[Training, Path], None],
    *,
    repeats: int = 1,
) -> list[Training]:
    """Run the trainings that are not done: without each source, then on all.

    Parameters
    ----------
    turns : sequence of str
        From `cellscope.io.leave_out.each_of`.
    out : Path
        The run folder.
    options : TrainOptions
    argv : list of str
        The command, for the record.
    train_one : callable
        Takes a training and its folder.
    repeats : int
        Trainings per turn, with different seeds.

    Returns
    -------
    list of Training
        All of them.

    Raises
    ------
    UsageError
        `out` holds a training that is neither continued nor overwritten, two turns would have the same folder, or
        ``--resume`` names a checkpoint.
    """
    check_several(options.resume)
    named: dict[str, str] = {}
    for turn in (*turns, ALL):
        if (other := named.setdefault(folder_of(turn).casefold(), turn)) != turn:
            raise UsageError(f"{other} and {turn} would have the same folder, {folder_of(turn)}; rename one of them")
    if not options.resume and not options.overwrite and (out / "run.json").exists():
        raise UsageError(f"{out} already holds a training; use --resume auto, --overwrite or another folder")
    out.mkdir(parents=True, exist_ok=True)
    (out / "run.json").unlink(missing_ok=True)
    write_text(out / "config.toml", to_toml(options))
    trainings = [one for turn in (*turns, ALL) for one in trainings_of(turn, options.seed, repeats=repeats)]
    for number, training in enumerate(trainings, 1):
        folder = out / training.folder
        if options.resume == "auto" and (folder / "run.json").is_file():
            say(f"{training.folder} is done")
            continue
        say(f"{training.folder} ({number} of {len(trainings)})")
        train_one(training, folder)
    return trainings


def own_options(options: Any, training: Training, **more: Any) -> Any:
    """Give the options of one of the trainings."""
    return replace(options, leave_out=None if training.everything else training.turn, seed=training.seed, **more)


def finish_turns(out: Path, options: Any, argv: list[str], trainings: Sequence[Training]) -> None:
    """Write ``run.json`` of the run: what was trained, and that it is done."""
    record = training_record(argv, options, device="", precision="", seconds=0.0, steps=0)
    write_json(out / "run.json", record | {"runs": [one.folder for one in trainings], "finished": now()})


def turn_models(run: Path, turns: Sequence[str]) -> dict[str, Path]:
    """Find the model files of a finished run that left sources out in turn: what is left out -> its file.

    Raises
    ------
    UsageError
        One of them is not there.
    """
    found = {turn: run / folder_of(turn) / MODEL for turn in (*turns, ALL)}
    missing = [str(path) for path in found.values() if not path.is_file()]
    if missing:
        raise UsageError(f"{run} was not trained with the same --leave-out: there is no {missing[0]}")
    return found
