"""Predict on many devices: from the options to the pool, and from the pool to the journal."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import cellscope
from cellscope.engine.distribute.devices import slots_of
from cellscope.engine.distribute.dispatch import Dispatcher, Used
from cellscope.engine.distribute.parcels import parcel
from cellscope.engine.distribute.pool import LocalPool, Pool
from cellscope.engine.distribute.tasks import Order
from cellscope.engine.loading import LoadedModels
from cellscope.engine.predict.book import JournalBook
from cellscope.engine.predict.job import Job
from cellscope.engine.progress import RunProgress
from cellscope.io.inputs import Input, input_bytes
from cellscope.io.write import write_text

if TYPE_CHECKING:
    from cellscope.options.common import RunOptions


def is_distributed(run: RunOptions) -> bool:
    """Tell whether a run is done by worker processes, each of which does whole inputs."""
    return run.devices is not None or run.cluster is not None


def open_pool(run: RunOptions) -> Pool:
    """Start what will do the work.

    Raises
    ------
    UsageError
        A device that is not there; a cluster that cannot be used.
    """
    if run.cluster is None:
        return LocalPool(slots_of(run.devices or "auto"))
    from cellscope.engine.distribute.cluster import ClusterPool  # Dask is not there for all

    return ClusterPool(run.cluster, run.cluster_option)


def distribute(
    pool: Pool,
    job: Job,
    inputs: Sequence[Input],
    loaded: LoadedModels,
    book: JournalBook,
    progress: RunProgress,
    *,
    stop: Callable[[], bool],
) -> Used:
    """Do inputs on the devices of this machine or on a cluster.

    Parameters
    ----------
    pool
        Does the work.
    job
        The run.
    inputs
        In the order of the tables.
    loaded
        The models: workers must load the same.
    book, progress, stop
        As for `Dispatcher`.

    Returns
    -------
    Used
        What did the work.

    Raises
    ------
    CellscopeError
        As `Dispatcher.run`.
    """
    order = Order(
        id=secrets.token_hex(16),
        job=job,
        models=loaded.names,
        hashes={record["part"]: record["sha256"] for record in loaded.records},
        version=cellscope.__version__,
        folder=os.getcwd(),
        token=f"{secrets.token_hex(8)}.shared",
        share=max(1, len(inputs) // pool.expected),
    )
    token = job.parts / order.token
    write_text(token, order.id)
    sizes = {entry.image: input_bytes(entry.path) for entry in inputs}
    try:
        dispatcher = Dispatcher(order, pool, book, progress, stop=stop)
        return dispatcher.run(parcel(inputs, sizes, pool.expected))
    finally:
        pool.close()
        token.unlink(missing_ok=True)
