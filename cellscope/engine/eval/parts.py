"""What an evaluation keeps while it runs, so that it can resume, and be cut into shards that are joined."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from cellscope.engine.eval.store import FOLDER, Kept, error_of, keep, kept
from cellscope.engine.find import find_evaluate
from cellscope.engine.predict import shards
from cellscope.engine.predict.finish import RUN_JSON
from cellscope.engine.provenance import SCHEMA, difference, now
from cellscope.errors import UsageError
from cellscope.io.lock import hold, is_held, release
from cellscope.io.write import write_json
from cellscope.options.common import ShardOptions
from cellscope.options.resolve import resolve

T = TypeVar("T")

PLAN = "plan.json"
PLAN_SCHEMA = "cellscope.eval-plan/1"
HELD = "running"
"""Among the items: locked while an evaluation adds to them."""
PATIENCE = 10.0
"""Seconds to wait for the worker processes of an evaluation that was killed a moment ago."""


def share_of(items: Sequence[T], pair: tuple[int, int] | None) -> list[T]:
    """Give the items of shard I of N, every Nth; all without a shard. Items of a dataset are of much the same size."""
    return list(items) if pair is None else list(items[pair[0] - 1 :: pair[1]])


class Parts:
    """The items of an evaluation that are on disk already, and where the others are put.

    Parameters
    ----------
    out : Path
    run : ShardOptions
    facts : mapping
        What the evaluation is of: assay, dataset, split, models, options, run. Written down, so that `merge` can join
        shards without being told again.
    identity : mapping
        What two runs must share for their items to stand in one evaluation.
    """

    def __init__(self, out: Path, run: ShardOptions, facts: Mapping[str, Any], identity: Mapping[str, Any]):
        self._out, self._run, self._facts = Path(out), run, dict(facts)
        self.folder = shards.tables_folder(self._out, run.shard_pair)
        self._plan: dict[str, Any] = {
            "schema": PLAN_SCHEMA,
            **facts,
            "identity": json.loads(json.dumps(identity)),
            "images": {},
        }
        joins = run.skip_existing and run.shard_pair is None and (self._out / shards.FOLDER).is_dir()
        self._shards = _shard_folders(self._out) if joins else []
        for folder in (self.folder, *self._shards):
            if run.skip_existing and (folder / FOLDER / PLAN).exists():
                self._compare(folder)

    def _compare(self, folder: Path) -> None:
        before = read_plan(folder)
        if unlike := difference(self._plan["identity"], before["identity"]):
            raise UsageError(f"{folder} holds items of another evaluation: {unlike}; give --overwrite or another -o")

    def begin(self, names: Sequence[str]) -> int:
        """Write down the items of the next part and give its number."""
        part = len(self._plan["images"])
        if part == 0:
            self._take_folder()
        self._plan["images"][str(part)] = list(names)
        for folder in self._shards:
            if (images := read_plan(folder)["images"].get(str(part))) is not None and images != list(names):
                raise UsageError(f"{folder} was made from another list of items")
        write_json(self.folder / FOLDER / PLAN, self._plan)
        return part

    def _take_folder(self) -> None:
        """Keep others out, and remove what an earlier evaluation left unless it is continued."""
        items = self.folder / FOLDER
        items.mkdir(parents=True, exist_ok=True)
        if not hold(items / HELD, patience=PATIENCE):
            raise UsageError(f"another evaluation is writing to {self.folder}; wait for it or choose another -o")
        if not self._run.skip_existing:
            for path in items.iterdir():
                if path.name != HELD:
                    path.unlink()
            (self.folder / RUN_JSON).unlink(missing_ok=True)

    def mine(self, items: Sequence[Any]) -> list[Any]:
        """Give those of this shard."""
        return share_of(items, self._run.shard_pair)

    def known(self, part: int, index: int, name: str) -> Kept | None:
        """Give an item that is done: of an earlier run, unless it failed, or of a shard."""
        if not self._run.skip_existing:
            return None
        own = kept(self.folder, part, name)
        if own is not None and not own.error:
            return own
        return kept(self._shards[index % len(self._shards)], part, name) if self._shards else None

    def keep(self, part: int, item: Kept) -> None:
        """Put an item on disk."""
        keep(self.folder, part, item)

    def close(self, *, failed: bool) -> None:
        """Remove the items of an evaluation that is written, unless some failed and can be measured again."""
        release(self.folder / FOLDER / HELD)
        if not failed:
            shutil.rmtree(self.folder / FOLDER, ignore_errors=True)

    def close_shard(self, argv: Sequence[str], failed: Mapping[str, str]) -> None:
        """Write the record of a shard that is through."""
        inputs = []
        for names in self._plan["images"].values():
            for index, name in self.mine(list(enumerate(names))):
                status = "failed" if name in failed else "ok"
                inputs.append({"image": name, "index": index, "status": status, "error": failed.get(name, "")})
        record = {"schema": SCHEMA, "assay": self._facts["assay"], "command": "eval", "argv": list(argv)}
        counts = {"total": len(inputs), "ok": len(inputs) - len(failed), "failed": len(failed)}
        record |= {"status": "complete", "shard": self._run.shard, "finished": now(), "counts": counts}
        write_json(self.folder / RUN_JSON, {**record, "missing": [], "inputs": inputs})
        release(self.folder / FOLDER / HELD)


def _shard_folders(out: Path) -> list[Path]:
    """Give the folders of all shards, 1 to N, whether they are there or not.

    Raises
    ------
    UsageError
        There are shards of different numbers, or none.
    """
    found = [folder for folder in (out / shards.FOLDER).glob("*-of-*") if (folder / FOLDER).is_dir()]
    totals = {folder.name.rpartition("-of-")[2] for folder in found}
    if len(totals) != 1:
        raise UsageError(f"{out / shards.FOLDER} holds {'shards of different runs' if totals else 'no shards'}")
    total = int(totals.pop())
    return [shards.tables_folder(out, (number, total)) for number in range(1, total + 1)]


def read_plan(folder: Path) -> dict[str, Any]:
    """Read what the items in a folder are of.

    Raises
    ------
    UsageError
        It cannot be read.
    """
    path = folder / FOLDER / PLAN
    try:
        plan: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if plan["schema"] != PLAN_SCHEMA:
            raise ValueError(f"schema {plan['schema']}")
        return plan
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read ({error}); measure again with --overwrite") from None


def is_evaluation(out: Path) -> bool:
    """Tell whether a folder holds the items of an evaluation that runs, stopped, or is cut into shards."""
    out = Path(out)
    return (out / FOLDER / PLAN).is_file() or any((out / shards.FOLDER).glob(f"*/{FOLDER}/{PLAN}"))


@dataclass(frozen=True)
class Progress:
    """How far a shard is: its state, the items it is to measure, and of these the done and the failed."""

    number: int
    state: str
    items: list[str]
    done: list[str]
    failed: list[str]
    seconds_left: float | None = None


def _progress_of_shards(out: Path) -> list[Progress]:
    """Say how far every shard is; what one that has not begun is to measure, the others know."""
    folders = _shard_folders(out)
    begun = next(read_plan(folder)["images"] for folder in folders if (folder / FOLDER / PLAN).is_file())
    return [_progress(folder, (number, len(folders)), begun) for number, folder in enumerate(folders, 1)]


def _progress(folder: Path, pair: tuple[int, int] | None, images: Mapping[str, list[str]]) -> Progress:
    number = pair[0] if pair else 1
    items: list[str] = []
    done: list[str] = []
    failed: list[str] = []
    begun = (folder / FOLDER / PLAN).is_file()
    for part, names in (read_plan(folder)["images"] if begun else images).items():
        mine = share_of(names, pair)
        items += mine
        for name in mine:
            if (error := error_of(folder, int(part), name)) is not None:
                (failed if error else done).append(name)
    running = begun and is_held(folder / FOLDER / HELD)
    state = "running" if running else "stopped" if begun else "not started"
    if (folder / RUN_JSON).is_file() and not running:
        state = "complete"
    left = _seconds_left(folder, len(items) - len(done) - len(failed)) if running else None
    return Progress(number, state, items, done, failed, left)


def _seconds_left(folder: Path, items: int) -> float | None:
    """Guess how long so many items take, from those that came since the plan was written; None where there are none."""
    began = (folder / FOLDER / PLAN).stat().st_mtime
    times = []
    for path in (folder / FOLDER).glob("*.npz"):
        with contextlib.suppress(OSError):
            times.append(path.stat().st_mtime)
    since = [moment for moment in times if moment > began]
    return round((max(since) - began) / len(since) * items, 1) if since else None


def status(out: Path) -> dict[str, Any]:
    """Say how far an evaluation is, as `cellscope.engine.predict.shards.status` does, and ``seconds_left`` of it."""
    out = Path(out)
    if not is_evaluation(out):
        return _finished(out)
    whole = (out / FOLDER / PLAN).is_file()
    found = [_progress(out, None, {})] if whole else _progress_of_shards(out)
    states = [one.state for one in found]
    parts = [
        {"shard": f"{one.number}/{len(found)}", "state": one.state, "total": len(one.items)}
        | {"done": len(one.done), "failed": len(one.failed)}
        for one in found
    ]
    left = [one.seconds_left for one in found if one.seconds_left is not None]
    return {
        "total": sum(len(one.items) for one in found),
        "done": sum(len(one.done) for one in found),
        "failed": sum(len(one.failed) for one in found),
        "missing": [name for one in found for name in one.items if name not in {*one.done, *one.failed}],
        "state": shards.state_of(states),
        "shards": [] if whole else parts,
        "seconds_left": max(left, default=None),
    }


def _finished(out: Path) -> dict[str, Any]:
    """Give the status of an evaluation that is written."""
    from cellscope.engine.eval.report import EVAL_JSON  # what it draws with takes a while to import

    try:
        record = json.loads((out / EVAL_JSON).read_text(encoding="utf-8"))
        done, failed = int(record["n"]), len(record.get("failed", []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{out / EVAL_JSON} cannot be read ({error}); measure again with --overwrite") from None
    counts = {"total": done + failed, "done": done, "failed": failed, "missing": []}
    return {**counts, "state": "complete", "shards": [], "seconds_left": None}


def merge(out: Path) -> dict[str, Any]:
    """Join the shards of an evaluation into the files that one evaluation writes.

    Returns
    -------
    dict
        Counts of items: ``total``, ``ok``, ``failed``, ``skipped``.

    Raises
    ------
    UsageError
        There are no shards, they do not belong together, or some are not finished.
    """
    out = Path(out)
    found = _progress_of_shards(out)
    if unfinished := [f"{one.number}/{len(found)} ({one.state})" for one in found if one.state != "complete"]:
        raise UsageError(f"shards of {out} are not finished: {', '.join(unfinished[:8])}; run them, then merge")
    plan = read_plan(_shard_folders(out)[0])
    evaluate, kind = find_evaluate(plan["assay"])
    options = resolve(kind, flags={}, env={}, config=_given(plan["options"]))
    run = resolve(ShardOptions, flags={}, env={}, config=_given(plan["run"]))
    evaluate(
        Path(plan["dataset"]),
        out,
        run=replace(run, shard=None, overwrite=False, skip_existing=True),
        options=options,
        models=plan["models"],
        split=plan["split"],
        argv=plan["argv"],
    )
    failed = sum(len(one.failed) for one in found)
    total = sum(len(one.items) for one in found)
    return {"total": total, "ok": total - failed, "failed": failed, "skipped": 0}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
