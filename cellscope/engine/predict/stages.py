"""Run subjects through an assay's stages: items pooled into batches, bounded memory, isolated failures.

Results never depend on how the work is cut up: a batch holds items of one shape only, a network always sees the same
number of them, outputs go back to their subject by position, and results leave in the order the subjects came in.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.device import autocast
from cellscope.engine.familiarity.judge import average
from cellscope.engine.familiarity.tap import Tap
from cellscope.engine.predict.flight import Flight
from cellscope.engine.predict.outcome import Done, Failure
from cellscope.engine.predict.step import Conclude, Step, advance
from cellscope.engine.predict.workers import Workers
from cellscope.engine.subject import Features

if TYPE_CHECKING:
    from cellscope.options.common import ComputeOptions

PIXELS_IN_FLIGHT = 2**24
"""Pixels of all subjects alive at once (one subject may exceed it alone): about 1 GB with the masks made on the way."""

_Key = tuple[int, tuple[int, ...]]


def run_subjects(
    assay: Assay,
    subjects: Iterable[Subject | Failure],
    modules: Mapping[str, torch.nn.Module],
    *,
    run: ComputeOptions,
    device: torch.device,
    dtype: torch.dtype | None,
    window: int,
    conclude: Conclude | None = None,
    workers: Workers | None = None,
    stop: Callable[[], bool] = lambda: False,
    taps: Mapping[str, Tap] | None = None,
) -> Iterator[Done | Failure]:
    """Run subjects through all stages of an assay.

    Parameters
    ----------
    assay
        The assay.
    subjects
        Taken one at a time, never more than `window` (and `PIXELS_IN_FLIGHT` pixels) ahead of what was yielded. Those
        that failed before are passed on in their place.
    modules
        Network per part, in eval mode, on `device`.
    run
        Only ``batch_size`` is used: 0 or None leaves it to each stage.
    device, dtype
        Where the networks run and the autocast type (None: float32).
    window
        Subjects alive at once, at least 1.
    conclude
        What a finished subject comes to, in place of the assay's own ``conclude``.
    workers
        Who runs ``cut``, ``finish`` and ``conclude``; None runs them here.
    stop
        Asked between batches; once true, subjects not finished are dropped and the iteration ends.
    taps
        Part -> what listens to its network; subjects then have ``features``.

    Yields
    ------
    Done or Failure
        One per subject, in input order.
    """
    workers = workers or Workers(assay, 0)
    return _Runner(
        assay, iter(subjects), modules, run, device, dtype, max(1, window), conclude, workers, stop, taps or {}
    ).outcomes()


class _Runner:
    def __init__(
        self,
        assay: Assay,
        subjects: Iterator[Subject | Failure],
        modules: Mapping[str, torch.nn.Module],
        run: ComputeOptions,
        device: torch.device,
        dtype: torch.dtype | None,
        window: int,
        conclude: Conclude | None,
        workers: Workers,
        stop: Callable[[], bool],
        taps: Mapping[str, Tap],
    ):
        self.assay = assay
        self.subjects = subjects
        self.modules = modules
        self.device = device
        self.dtype = dtype
        self.window = window
        self.conclude = conclude
        self.workers = workers
        self.flights: deque[Flight] = deque()
        # one queue per stage and item shape; the position in `outputs` travels with the item
        self.queues: dict[_Key, deque[tuple[Flight, int, np.ndarray]]] = {}
        self.sizes = [run.batch_size or stage.batch_size for stage in assay.stages]
        self.exhausted = False
        self.stop = stop
        self.taps = taps

    def outcomes(self) -> Iterator[Done | Failure]:
        while not self.stop():
            while self.flights and (outcome := self.flights[0].outcome) is not None:
                self.flights.popleft()
                yield outcome
                del outcome  # it must not be kept alive while the next one is awaited
            for flight in self.flights:
                if flight.job is not None and flight.job.done():
                    self._collect(flight)
            if self.flights and self.flights[0].outcome is not None:
                continue
            full = next((key for key, queue in self.queues.items() if len(queue) >= self.sizes[key[0]]), None)
            if full is not None:
                self._run_batch(full)
            elif self._may_admit():
                self._admit()
            elif jobs := [flight.job for flight in self.flights if flight.job is not None]:
                wait(jobs, return_when=FIRST_COMPLETED)
            elif self.queues:
                self._run_batch(self._oldest())
            elif not self.flights:
                return

    def _may_admit(self) -> bool:
        if self.exhausted or len(self.flights) >= self.window:
            return False
        return sum(flight.pixels for flight in self.flights) < PIXELS_IN_FLIGHT

    def _admit(self) -> None:
        try:
            subject = next(self.subjects)
        except StopIteration:
            self.exhausted = True
            return
        if isinstance(subject, Failure):
            self.flights.append(Flight(None, outcome=subject))
            return
        if subject.state is None:
            subject.state = self.assay.state()
        flight = Flight(subject, self.assay.stages_of(subject.kind))
        self.flights.append(flight)
        self._advance(flight)

    def _advance(self, flight: Flight) -> None:
        assert flight.subject is not None
        flight.job = self.workers.submit(flight.subject, flight.number, flight.outputs, self.conclude)
        if flight.job.done():
            self._collect(flight)

    def _collect(self, flight: Flight) -> None:
        assert flight.job is not None
        assert flight.subject is not None
        job, flight.job = flight.job, None
        try:
            try:
                step: Step = job.result()
            except BrokenExecutor:  # a worker was killed, most often for want of memory: its copy is lost, ours is not
                self.workers.give_up()
                step = advance(self.assay, flight.subject, flight.number, flight.outputs, self.conclude)
        except Exception as error:
            self._fail(flight, error)
        else:
            self._enter(flight, step)

    def _fail(self, flight: Flight, error: Exception) -> None:
        assert flight.subject is not None
        traceback.clear_frames(error.__traceback__)  # a failed batch must not keep its tensors alive
        flight.outcome = Failure.of(flight.subject, error)
        flight.subject, flight.outputs = None, []
        for key, queue in list(self.queues.items()):  # what it still had waiting would only be computed in vain
            kept = deque(entry for entry in queue if entry[0] is not flight)
            if kept:
                self.queues[key] = kept
            else:
                del self.queues[key]

    def _enter(self, flight: Flight, step: Step) -> None:
        """Bring a subject to where its last step left it."""
        assert flight.subject is not None
        flight.subject.state = step.state
        flight.subject.seconds += step.seconds
        flight.number = step.number
        if step.done:
            flight.outcome = Done(flight.subject, step.result)
            flight.outputs = []
            return
        flight.outputs = [None] * len(step.items)
        flight.missing = len(step.items)
        flight.weights, flight.features = step.weights, [None] * len(step.items)
        stage = self.assay.stages.index(flight.stages[step.number])
        for position, item in enumerate(step.items):
            self.queues.setdefault((stage, item.shape), deque()).append((flight, position, item))

    def _oldest(self) -> _Key:
        """Return the queue that holds an item of the subject everybody waits for."""
        return next(
            key
            for flight in self.flights
            for key, queue in self.queues.items()
            if any(entry[0] is flight for entry in queue)
        )

    def _run_batch(self, key: _Key) -> None:
        queue = self.queues[key]
        entries = [queue.popleft() for _ in range(min(len(queue), self.sizes[key[0]]))]
        if not queue:
            del self.queues[key]
        self._forward(key[0], entries)

    def _forward(self, number: int, entries: list[tuple[Flight, int, np.ndarray]]) -> None:
        """Run one batch; when it fails, its halves, so that in the end only the item at fault fails its subject."""
        entries = [entry for entry in entries if entry[0].outcome is None]
        if not entries:
            return
        if len(entries) > self.sizes[number]:  # the batch this was cut from ran out of memory
            self._forward(number, entries[: self.sizes[number]])
            self._forward(number, entries[self.sizes[number] :])
            return
        start = time.perf_counter()
        try:
            outputs, features = self._call(number, [item for _, _, item in entries])
        except Exception as error:
            if isinstance(error, torch.cuda.OutOfMemoryError):
                torch.cuda.empty_cache()
                self.sizes[number] = max(1, min(self.sizes[number], len(entries) // 2))
            if len(entries) == 1:
                self._fail(entries[0][0], error)
                return
        else:
            share = (time.perf_counter() - start) / len(entries)
            for (flight, position, _), output, seen in zip(entries, outputs, features, strict=True):
                assert flight.subject is not None
                flight.outputs[position], flight.features[position] = output, seen
                flight.missing -= 1
                flight.subject.seconds += share
            for flight in {id(entry[0]): entry[0] for entry in entries}.values():
                if flight.missing == 0:
                    self._keep_features(flight, self.assay.stages[number].part)
                    self._advance(flight)
            return
        # out of the handler: the failed batch's tensors, held by its traceback, are gone by now
        middle = len(entries) // 2
        self._forward(number, entries[:middle])
        self._forward(number, entries[middle:])

    def _keep_features(self, flight: Flight, part: str) -> None:
        """Average the features of a stage's items, in their order, whatever batches they came in."""
        if flight.weights is None or flight.subject is None:
            return
        weighed = zip(flight.features, flight.weights, strict=True)
        found = average(Features(seen, weight) for seen, weight in weighed if seen is not None and weight > 0)
        if found is not None:
            flight.subject.features[part] = found
        flight.weights, flight.features = None, []

    def _call(self, number: int, items: list[np.ndarray]) -> tuple[list[Any], list[np.ndarray | None]]:
        """Run a network; give outputs and features, None where nobody listens."""
        stage, size = self.assay.stages[number], self.sizes[number]
        tap = None if stage.weigh is None else self.taps.get(stage.part)
        if self.device.type == "cpu":
            size = min(size, stage.cpu_batch)
        outputs: list[Any] = []
        features: list[np.ndarray | None] = []
        for first in range(0, len(items), size):
            few = items[first : first + size]
            blanks = [np.zeros_like(few[0])] * (size - len(few))
            batch = torch.from_numpy(np.stack([*few, *blanks])).to(self.device)
            if tap is not None:
                tap.begin(size)
            with torch.inference_mode(), autocast(self.device, self.dtype):
                given = list(stage.forward(self.modules[stage.part], list(batch.unbind(0))))
            if len(given) != size:
                raise RuntimeError(f"stage {stage.part!r} gave {len(given)} outputs for {size} items")
            outputs += given[: len(few)]
            with torch.inference_mode():
                seen = None if tap is None else tap.read(batch)
            features += [None] * len(few) if seen is None else list(seen[: len(few)])
        return outputs, features
