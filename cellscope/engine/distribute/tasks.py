"""What goes to a worker process and what comes back: picklable values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cellscope.engine.predict.book import Recorded
from cellscope.engine.predict.job import Job
from cellscope.io.inputs import Input


@dataclass(frozen=True, eq=False)
class Order:
    """What all tasks of a run have in common.

    Attributes
    ----------
    id
        Of this run alone: a process loads models once for each.
    job
        The run.
    models, hashes
        Models as they were asked for, and the SHA-256 of each part's file: a worker must load the same.
    version
        Of cellscope, which must be the worker's too.
    folder
        The working directory: names of files are relative to it.
    token
        A file of `job.parts` that holds `id`: a worker that cannot read it does not share the folder.
    share
        Inputs that a worker can expect.
    """

    id: str
    job: Job
    models: tuple[str, ...]
    hashes: Mapping[str, str]
    version: str
    folder: str
    token: str
    share: int


@dataclass(frozen=True)
class Task:
    """A unit of work.

    Attributes
    ----------
    inputs
        One or several small ones.
    pieces
        None: do the inputs whole. Empty: the same, but those that are divided into pieces are only divided. Otherwise:
        do these pieces of the one input.
    size
        In bytes, of what is done largest first.
    """

    inputs: tuple[Input, ...]
    pieces: tuple[int, ...] | None = ()
    size: int = 0

    @property
    def images(self) -> list[str]:
        """Names of the inputs."""
        return [entry.image for entry in self.inputs]


@dataclass(frozen=True)
class Divided:
    """An input that was divided.

    Attributes
    ----------
    image
        Its name.
    count
        Number of its pieces.
    missing
        Those that are not done.
    seconds
        Spent on it by this task.
    """

    image: str
    count: int
    missing: tuple[int, ...]
    seconds: float


@dataclass(frozen=True)
class Facts:
    """Where a task was done.

    Attributes
    ----------
    host, process
        Name of the computer, number of the process.
    device, precision, threads
        As in ``run.json``.
    """

    host: str
    process: int
    device: str
    precision: str
    threads: int


@dataclass
class TaskResult:
    """What a task came to.

    Attributes
    ----------
    facts
        Where it was done.
    recorded
        Inputs that are done or failed.
    divided
        Inputs whose pieces are still to be done, or of which some were done.
    """

    facts: Facts
    recorded: list[Recorded] = field(default_factory=list)
    divided: list[Divided] = field(default_factory=list)
