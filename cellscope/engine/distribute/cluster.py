"""``--cluster``: a pool of Dask's workers, on this computer, under a running scheduler or in jobs of a cluster."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from cellscope.engine.device import available_cpus
from cellscope.engine.distribute.pool import Lost
from cellscope.engine.distribute.tasks import Order, Task, TaskResult
from cellscope.errors import CellscopeError, UsageError, error_line

if TYPE_CHECKING:
    import distributed

JOBS = 4
"""Jobs of a batch system, where the user does not say."""

CONNECT = 30
"""Seconds to wait for a scheduler."""

TEND = 5.0
"""Seconds between looks at the workers."""

SAY = 60.0
"""Seconds without a worker until it is said, and said again."""

BATCH = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster", "sge": "SGECluster"}
"""Batch systems: the classes of ``dask_jobqueue``."""


NO_PAUSE = ("TARGET", "SPILL", "PAUSE")
"""What Dask's workers do when memory gets short, besides ending: meant for results that they hold, and ours hold none.
A paused worker would never finish."""


class ClusterPool:
    """Dask workers.

    Parameters
    ----------
    cluster
        As of ``--cluster``.
    settings
        ``KEY=VALUE`` for Dask's cluster; values as JSON where they are, else text.

    Attributes
    ----------
    expected
        How many tasks will be done at once.

    Raises
    ------
    UsageError
        Dask is not installed, a setting is wrong, there is no scheduler.
    """

    def __init__(self, cluster: str, settings: Sequence[str]):
        self.name = cluster
        _import_dask()
        options = {key: _value(text) for key, text in (each.split("=", 1) for each in settings)}
        self._cluster, self._jobs, self.expected = _make(cluster, options)
        self._client = _connect(cluster if self._cluster is None else self._cluster)
        self._futures: dict[Any, None] = {}
        self._number = 0
        self._workers, self._looked = 0, 0.0
        self._said = time.monotonic()
        self.expected = self.expected or max(1, self.places())

    def places(self) -> int:
        """Return how many workers there are: each does one task at a time."""
        if time.monotonic() - self._looked > 1 or not self._workers:
            self._looked = time.monotonic()
            try:
                self._workers = len(self._client.nthreads())
            except (OSError, RuntimeError, TypeError):  # the scheduler is gone; `tend` says so
                self._workers = 0
        return self._workers

    def submit(self, order: Order, task: Task) -> Future:
        """Begin a task on a worker that has nothing to do."""
        self._number += 1
        key = f"cellscope-{order.id}-{self._number}"
        outer: Future = Future()
        inner = self._client.submit(do_on_cluster, order, task, pure=False, key=key)
        self._futures[inner] = None
        inner.add_done_callback(lambda done: self._end(outer, done))
        return outer

    def _end(self, outer: Future, inner: distributed.Future) -> None:
        from distributed import KilledWorker

        try:
            result = inner.result()
        except KilledWorker as error:
            outer.set_exception(Lost(error.allowed_failures + 1))
        except CellscopeError as error:
            outer.set_exception(error)
        except BaseException as error:  # cancelled, which is no Exception, when the scheduler is gone
            gone = inner.status in ("cancelled", "lost")
            outer.set_exception(self._gone() if gone else CellscopeError(error_line(error)))
        else:
            outer.set_result(result)
        self._futures.pop(inner, None)

    def _gone(self) -> CellscopeError:
        return CellscopeError(f"the scheduler of --cluster {self.name} is gone; run again with --skip-existing")

    def tend(self) -> str:
        """Ask for new jobs in the place of lost ones; return a line for the user when nobody works.

        Raises
        ------
        CellscopeError
            The scheduler is gone.
        """
        if time.monotonic() - self._looked < TEND:
            return ""
        if self._client.status in ("closed", "closing"):
            raise self._gone()
        if self.places() < self.expected and self._jobs:
            self._cluster.scale(jobs=self._jobs)
        paused = self._paused()
        if self._workers and not paused:
            self._said = time.monotonic()
        if time.monotonic() - self._said < SAY:
            return ""
        self._said = time.monotonic()
        if paused:
            return f"{paused} workers of --cluster {self.name} are paused for want of memory; give them more, or fewer"
        return f"waiting for workers of --cluster {self.name}: none is there yet"

    def _paused(self) -> int:
        """Count workers that Dask has paused: those of a scheduler with its own settings."""
        found = self._client.scheduler_info().get("workers", {})
        return sum(worker.get("status") == "paused" for worker in found.values())

    def close(self) -> None:
        """Drop what is under way; end the workers that were started for this run."""
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._futures), force=True)
        with contextlib.suppress(Exception):
            self._client.close(timeout=CONNECT)
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                self._cluster.close(timeout=CONNECT)


def do_on_cluster(order: Order, task: Task) -> TaskResult:
    """Do a task in a worker of Dask, on as many threads as it has."""
    import torch
    from distributed import get_worker

    from cellscope.engine.distribute.worker import do

    torch.set_num_threads(max(1, get_worker().state.nthreads))
    return do(order, task)


def _import_dask() -> None:
    try:
        import dask
        import dask_jobqueue  # noqa: F401 - brings its settings
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError(f"--cluster needs Dask ({error.name} is missing): pip install 'cellscope[cluster]'") from None
    # What the user's own files and variables say goes first. A task is never queued behind another on a worker, and a
    # lost one comes back at once: who is lost how often is counted here.
    memory = {name.lower(): False for name in NO_PAUSE}
    scheduler = {"worker-saturation": 1.0, "allowed-failures": 0}
    dask.config.update_defaults({"distributed": {"scheduler": scheduler, "worker": {"memory": memory}}})
    for name in ("distributed", "dask_jobqueue", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", r"Port \d+ is already in use")  # of the dashboard, which then takes another


def _make(cluster: str, options: dict[str, Any]) -> tuple[Any, int, int]:
    """Start a cluster; return it (None: somebody else's), its number of jobs and of worker processes."""
    import dask_jobqueue
    import distributed

    if "://" in cluster:
        if options:
            raise UsageError(
                f"--cluster-option {next(iter(options))}: {cluster} is running already, with its own settings"
            )
        return None, 0, 0
    kind, _, named = cluster.partition(":")
    try:
        if kind == "local":
            count = int(named) if named else available_cpus()
            usual = {
                "threads_per_worker": max(1, available_cpus() // count),
                "memory_limit": 0,
                "dashboard_address": None,
                "silence_logs": logging.CRITICAL,
            }
            return distributed.LocalCluster(n_workers=count, processes=True, **(usual | options)), 0, count
        jobs = int(named) if named else JOBS
        processes = {} if _configured(kind, "processes") else {"processes": 1}
        before = options.get("job_script_prologue") or _configured(kind, "job-script-prologue") or []
        lines = [*before, *(f"export DASK_DISTRIBUTED__WORKER__MEMORY__{name}=False" for name in NO_PAUSE)]
        made = getattr(dask_jobqueue, BATCH[kind])(**(processes | options | {"job_script_prologue": lines}))
        made.scale(jobs=jobs)
        return made, jobs, jobs * int(options.get("processes") or _configured(kind, "processes") or 1)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"--cluster {cluster}: {_first(error)}; give --cluster-option KEY=VALUE, such as"
            " cores=4 memory=8GiB walltime=02:00:00 queue=NAME"
        ) from None
    except (OSError, RuntimeError) as error:
        raise UsageError(f"--cluster {cluster}: {_first(error)}") from None


def _first(error: BaseException) -> str:
    """Say what an error began with, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:300]


def _configured(kind: str, name: str) -> Any:
    import dask

    return dask.config.get(f"jobqueue.{kind}.{name}", None)


def _connect(address: Any) -> distributed.Client:
    import distributed

    try:
        return distributed.Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(
            f"--cluster: no scheduler answers at {address}: {' '.join(str(error).split())[:200]}"
        ) from None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
