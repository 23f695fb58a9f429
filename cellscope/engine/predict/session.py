"""One run of predict, from the first input to ``run.json``: the order of the work, and what a failure does."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cellscope.engine.assay import OBJECT_COLUMNS, Assay
from cellscope.engine.device import available_cpus
from cellscope.engine.distribute.pool import Pool
from cellscope.engine.distribute.run import distribute
from cellscope.engine.loading import LoadedModels
from cellscope.engine.predict import journal as journals
from cellscope.engine.predict import shards
from cellscope.engine.predict.artefacts import Place
from cellscope.engine.predict.best import choose_best, rows_of_chosen, was_left_out
from cellscope.engine.predict.book import JournalBook
from cellscope.engine.predict.finish import IMAGES_CSV, REPORT, RUN_JSON, write_results
from cellscope.engine.predict.grouping import COLUMN, groups_of
from cellscope.engine.predict.job import Job, Machine
from cellscope.engine.predict.journal import Entry, Journal
from cellscope.engine.predict.resume import import_earlier, remove_imported, remove_outputs, remove_results, sweep
from cellscope.engine.predict.road import go_through
from cellscope.engine.predict.summary import Summariser, summary_files
from cellscope.engine.predict.tables import OBJECTS, ColumnOrder
from cellscope.engine.predict.told import told
from cellscope.engine.predict.workers import Workers, usual_count
from cellscope.engine.progress import RunProgress
from cellscope.engine.provenance import run_record
from cellscope.engine.signals import StopSignals
from cellscope.errors import EXIT_FAILED, EXIT_OK, EXIT_PARTIAL, Interrupted, UsageError
from cellscope.io.durable import settle
from cellscope.io.inputs import Input, check_collisions, input_bytes

if TYPE_CHECKING:
    from cellscope.options.common import RunOptions


@dataclass(frozen=True)
class RunOutcome:
    """How a run of predict ended.

    Attributes
    ----------
    code
        The exit code.
    counts
        Inputs that are ``ok``, ``failed`` and ``skipped`` (done by an earlier run).
    told
        See `cellscope.engine.predict.told`.
    """

    code: int
    counts: dict[str, int]
    told: dict[str, Any] = field(default_factory=dict, compare=False)


class Session:
    """One run of predict: from the first input to ``run.json``."""

    def __init__(
        self,
        assay: Assay,
        plan: list[Input],
        groups: dict[str, str],
        out: Path,
        folder: Path,
        *,
        run: RunOptions,
        loaded: LoadedModels,
        facts: dict[str, Any],
        stop: StopSignals,
        pool: Pool | None = None,
    ):
        self.assay = assay
        self.plan = plan
        self.groups = groups
        self.out = out
        self.folder = folder
        self.run = run
        self.loaded = loaded
        self.facts = facts
        self.stop = stop
        self.pool = pool
        number, count = run.shard_pair or (1, 1)
        # sizes are asked for only where they matter: that may take long on a network file system
        self.owners = shards.balance([0 if count == 1 else input_bytes(entry.path) for entry in plan], count)
        self.inputs = [entry for entry, owner in zip(plan, self.owners, strict=True) if owner == number]
        everything = {entry.image: index for index, entry in enumerate(plan)}
        self.indices = {entry.image: everything[entry.image] for entry in self.inputs}
        self.paths = {entry.image: str(entry.path.absolute()) for entry in plan}
        self.tables = (OBJECTS, *assay.tables)
        self.journal: Journal | None = None
        self.place: Place | None = None
        self.kept: dict[str, Entry] = {}
        self.done: set[str] = set()

    def prepare(self) -> None:
        """Make the folder ready: locked, earlier results removed or taken over."""
        self.folder.mkdir(parents=True, exist_ok=True)
        header = {
            "identity": self.facts["identity"],
            "images": list(self.indices),
            "shard": self.run.shard,
            "overwrite": self.run.overwrite,
        }
        self.journal = Journal(self.folder / journals.NAME, header, fresh=self.run.overwrite)
        self.place = Place(self.folder)
        sweep(self.folder, self.out)
        earlier = self.journal.earlier or {}
        if self.run.overwrite or (earlier.get("overwrite") and not self.journal.entries):
            # the second: a kill came while an earlier run was to be removed, and may have left some of it
            remove_results(self.journal, self.folder, self.out, self.tables)
        if self.run.skip_existing:
            try:
                self._take_over(self.journal)
            except UsageError:
                self.journal.withdraw()
                raise
        if self.run.shard_pair:
            images = [entry.image for entry in self.plan]
            shards.write_plan(self.folder, images, self.owners, self.facts["identity"], cards=self.loaded.cards)

    def _take_over(self, journal: Journal) -> None:
        """Keep what an earlier run did; what is refused is refused before anything of it is removed."""
        kept = import_earlier(journal, self.folder, self.out, self.facts["identity"], self.tables)
        ours = {(self.paths[entry.image], entry.scene) for entry in self.plan}
        for image, entry in kept.items():
            # the same name in another folder is another image; a file under two names would be counted twice
            known = self.paths.get(image)
            same = (entry.path, entry.scene) not in ours if known is None else known == entry.path
            if same and not was_left_out(self.assay, entry):
                self.kept[image] = entry
        others = [
            Input(Path(entry.path), image, entry.scene)
            for image, entry in self.kept.items()
            if image not in self.indices
        ]
        if others and self.run.shard_pair:
            raise UsageError(f"{self.folder} was made from another list of inputs; give --overwrite or another -o")
        check_collisions([*self.inputs, *others])
        if others:
            self.groups = groups_of([*self.plan, *others], self.run.group_by)
        remove_imported(self.folder)
        dropped = [entry for image, entry in journal.entries.items() if image not in self.kept]
        remove_outputs(self.out, [name for entry in dropped for name in entry.outputs])

    def work(self, options: Any, device: torch.device, dtype: torch.dtype | None) -> None:
        """Do all inputs that are not done yet; each is in the journal as soon as its files are written."""
        assert self.journal is not None
        todo = [entry for entry in self.inputs if entry.image not in self.kept]
        job = Job(self.assay, self.run, options, self.out, self.journal.folder, self.facts["identity"])
        label = f"{self.assay.name} {self.facts['command']}"
        with RunProgress(len(todo), label=label, quiet=self.run.quiet) as progress:
            book = JournalBook(self.journal, progress)
            self.done = book.done
            if self.pool is not None:
                self.facts |= distribute(self.pool, job, todo, self.loaded, book, progress, stop=self._stopped).facts()
                sweep(self.folder, self.out)  # what processes that were killed had begun
            else:
                self._work_here(job, todo, Machine(self.loaded, device, dtype), book, progress)

    def _work_here(
        self, job: Job, todo: list[Input], machine: Machine, book: JournalBook, progress: RunProgress
    ) -> None:
        count = self.run.num_workers
        if count is None:
            learnt = any(True for module in self.loaded.modules.values() for _ in module.parameters())
            count = usual_count(available_cpus(), networks_here=learnt and machine.device.type == "cpu")
        start_now = bool(self.run.num_workers) and len(todo) > 1
        workers = Workers(self.assay, count, total=len(todo), start_now=start_now)
        with contextlib.closing(workers):
            go_through(job, todo, machine, book, workers=workers, progress=progress, stop=self._stopped)

    def _stopped(self) -> bool:
        return self.stop.received is not None

    def finish(self, argv: list[str], started: str) -> RunOutcome:
        """Write tables, report and ``run.json``; raise Interrupted where inputs are missing."""
        assert self.journal is not None
        assert self.place is not None
        known = self.journal.entries
        # an earlier success whose files are gone, and that was not done again, is missing
        finished = {image for image, entry in known.items() if entry.status == "failed"} | self.done | self.kept.keys()
        mine = [known[image] for image in self.indices if image in finished]
        entries = mine + [entry for image, entry in self.kept.items() if image not in self.indices]
        orders = {OBJECTS: ColumnOrder((*OBJECT_COLUMNS, *self.assay.classes_columns(self.loaded.cards)))}
        tables = self.assay.tables_of(self.facts["options"].get(self.assay.name, {}))
        orders.update({name: ColumnOrder(("image", *leading)) for name, leading in tables.items()})
        after = len(self.plan)
        for number, entry in enumerate(entries):
            for table, columns in entry.columns.items():
                orders[table].see(self.indices.get(entry.image, after + number), columns)
        for entry in entries:  # also of an earlier run, which may have been grouped otherwise, or not at all
            entry.row.pop(COLUMN, None)
            if self.groups:
                entry.row[COLUMN] = self.groups.get(entry.image, "")
        interrupted = len(mine) < len(self.indices)
        if not interrupted and self.run.shard_pair is None:
            entries = choose_best(self.assay, self.facts["options"].get(self.assay.name, {}), self.out, entries)
        record = run_record(
            assay=self.assay.name,
            argv=argv,
            started=started,
            status="interrupted" if interrupted else "complete",
            indices=self.indices,
            entries=entries,
            columns={name: order.record() for name, order in orders.items()},
            **self.facts,
        )
        summarise = None if self.run.shard_pair else Summariser(self.assay, self.loaded.cards)
        self.place.check()
        write_results(
            self.folder,
            self.out,
            record,
            entries=entries,
            orders=orders,
            sheet=rows_of_chosen(entries, self.journal.sheet),
            summarise=summarise,
        )
        # what the journal says must be on the disk in these files before it goes
        names = [*(f"{table}.csv" for table in orders), IMAGES_CSV, REPORT, *summary_files(record), RUN_JSON]
        settle(self.folder / name for name in names)
        self.journal.remove(unfinished=interrupted)
        if interrupted:
            raise Interrupted(
                f"interrupted: {len(mine)} of {len(self.indices)} inputs are done; run again with --skip-existing",
                self.stop.exit_code,
            )
        failed = sum(entry.status == "failed" for entry in mine)
        code = EXIT_OK if not failed else EXIT_FAILED if failed == len(mine) else EXIT_PARTIAL
        return RunOutcome(code, {name: record["counts"][name] for name in ("ok", "failed", "skipped")}, told(record))

    def close(self) -> None:
        """Let go of the journal; after an error it stays for ``--skip-existing``."""
        if self.journal is not None:
            self.journal.close()
