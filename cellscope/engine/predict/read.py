"""Which inputs a run has, and reading them ahead of the networks in threads, within bounds."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.device import available_cpus
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.stages import PIXELS_IN_FLIGHT
from cellscope.errors import InputError, UsageError
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.choice import ALL, Choice, Wants
from cellscope.io.inputs import Input, check_collisions, resolve_inputs, scene_image
from cellscope.io.leftovers import noting_leftovers
from cellscope.io.pixel_size import given
from cellscope.io.read import describe, read
from cellscope.io.select import scenes_to_take
from cellscope.io.text import one_line
from cellscope.options.common import AUTO

if TYPE_CHECKING:
    from cellscope.models.file import ModelCard
    from cellscope.options.common import RunOptions

READERS = 4
"""Reading threads at most; decoding leaves the interpreter lock, but more would only compete with the network."""


def plan_inputs(assay: Assay, arguments: Sequence[str], out: Path, run: RunOptions, options: Any = None) -> list[Input]:
    """Find all inputs of a run, before any sharding.

    Files under OUT are left out when OUT lies inside a searched folder: they are results. With ``--scene all`` among
    `options`, each scene of a file is an input of its own.

    Raises
    ------
    UsageError
        No inputs; two inputs that would write the same output; outputs that would lie beside an input.
    """
    here = out.resolve()
    with noting_leftovers() as leftovers:
        found = resolve_inputs(list(arguments), assay.inputs.suffixes, glob=run.glob, limit=None)
    for line in () if run.quiet else leftovers.lines():
        print(line, file=sys.stderr)
    inputs = [entry for entry in found if not _is_result(entry, here)]
    if not inputs:
        raise UsageError(f"no inputs: all files found lie in the output folder {out}; give another -o")
    inputs = without_partners(assay, inputs, options, quiet=run.quiet)
    inputs = inputs[: run.limit] if run.limit else inputs
    choice = Choice.of(options)
    if choice.scene == ALL:
        inputs = [each for entry in inputs for each in _scenes(entry, choice, assay.inputs.wants, run.max_pixels)]
        inputs = inputs[: run.limit] if run.limit else inputs
    check_plan(inputs, out)
    return inputs


def _scenes(entry: Input, choice: Choice, wants: Wants, max_pixels: int) -> list[Input]:
    """Make an input of each scene of a file; one that cannot be read stays one, and fails when its turn comes."""
    try:
        facts = describe(entry.path, max_pixels=max_pixels)
    except InputError:
        return [entry]
    scenes = scenes_to_take(facts.scenes, choice, wants)
    if len(scenes) == 1:
        return [replace(entry, scene=scenes[0][0])]
    return [Input(entry.path, scene_image(entry.image, number, name), number) for number, name in scenes]


def without_partners(assay: Assay, inputs: list[Input], options: Any, *, quiet: bool) -> list[Input]:
    """Leave out inputs that are another one's mask.

    Raises
    ------
    UsageError
        One mask would serve two inputs, or it cannot be told which of two files is the mask of the other.
    """
    if assay.inputs.beside is None:
        return inputs
    used: dict[Path, Input] = {}
    for entry in inputs:
        try:
            named = assay.inputs.beside(entry, options)
        except InputError:
            continue  # said of this input when it is read
        for path in map(Path.resolve, named.values()):
            if path in used:
                raise UsageError(
                    f"the mask {one_line(path)} would serve two images, {one_line(used[path].image)} and "
                    f"{one_line(entry.image)}; give each its own, in sub-folders as those of the images"
                )
            used[path] = entry
    masks = [entry for entry in inputs if entry.path.resolve() in used]
    for entry in masks:
        other = used[entry.path.resolve()]
        if used.get(other.path.resolve()) is entry:
            raise UsageError(
                f"{one_line(entry.image)} and {one_line(other.image)}: each can be the mask of the other; name the "
                f"mask {one_line(PurePosixPath(other.image).stem)}_mask"
            )
    if masks and not quiet:
        names = ", ".join(one_line(entry.image) for entry in masks[:3]) + (", ..." if len(masks) > 3 else "")
        print(f"{len(masks)} files left out as masks of other inputs: {names}", file=sys.stderr)
    return [entry for entry in inputs if entry not in masks]


def check_plan(inputs: list[Input], out: Path) -> None:
    """Raise UsageError when inputs would write the same output, or outputs would lie beside an input."""
    here = out.resolve()
    check_collisions(inputs)
    for entry in inputs:
        if here / entry.image == entry.path.resolve():
            raise UsageError(f"outputs would be written beside the input {entry.path}; give another folder with -o")


def _is_result(entry: Input, out: Path) -> bool:
    path = entry.path.resolve()
    root = path.parents[len(PurePosixPath(entry.image).parts) - 1]
    return path.is_relative_to(out) and root != out and out.is_relative_to(root)


class Reader:
    """Turn inputs into subjects, read ahead by threads.

    Iterating yields the subjects in order, and a `Failure` for an input that cannot be read.

    Parameters
    ----------
    assay, run, options, cards
        What a subject is made of.
    inputs
        In order.
    threads
        Reading threads; each holds at most one image besides those waiting.
    """

    def __init__(
        self,
        assay: Assay,
        inputs: Sequence[Input],
        *,
        run: RunOptions,
        options: Any,
        cards: dict[str, ModelCard],
        threads: int | None = None,
    ):
        self.assay = assay
        self.run = run
        self.options = options
        self.cards = cards
        self.threads = threads or max(1, min(READERS, available_cpus()))
        self._inputs = iter(inputs)
        self._largest = 0
        self._waiting: deque[tuple[Input, Future]] = deque()
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="read")

    def __iter__(self) -> Iterator[Subject | Failure]:
        while True:
            self._top_up()
            if not self._waiting:
                return
            outcome = [self._waiting.popleft()[1].result()]
            self._top_up()
            yield outcome.pop()  # popped, so that nothing here keeps the subject alive while the next is awaited

    def _top_up(self) -> None:
        # nothing is known of the sizes at first: start with one image per thread
        most = 2 * self.threads if self._largest else self.threads
        while len(self._waiting) < most and self._pixels() < PIXELS_IN_FLIGHT:
            entry = next(self._inputs, None)
            if entry is None:
                return
            self._waiting.append((entry, self._pool.submit(self._read, entry)))

    def _pixels(self) -> int:
        """Return the pixels read ahead; an image still being read counts as the largest so far."""
        outcomes = [future.result() if future.done() else None for _, future in self._waiting]
        sizes = [found.pixels for found in outcomes if isinstance(found, Subject)]
        self._largest = max(self._largest, *sizes, 0)
        return sum(sizes) + outcomes.count(None) * self._largest

    def _read(self, entry: Input) -> Subject | Failure:
        start = time.perf_counter()
        known = ""
        try:
            choice = Choice.of(self.options, entry.scene)
            if self.assay.inputs.read is not None:
                image = self.assay.inputs.read(entry.path, choice, self.run.max_pixels, self.options)
            else:
                image = read(entry.path, choice=choice, wants=self.assay.inputs.wants, max_pixels=self.run.max_pixels)
            if self.run.pixel_size:
                image = given(image, self.run.pixel_size)
            kind = self.assay.inputs.kind_of(image) if self.run.input == AUTO else self.run.input
            if self.assay.inputs.admit is not None:
                self.assay.inputs.admit(image, kind)
            known = kind
            subject = Subject(entry.image, image, kind, self.options, self.cards, self.assay.state())
            named = self.assay.inputs.beside(entry, self.options) if self.assay.inputs.beside is not None else {}
            for name, path in named.items():
                subject.beside[name] = read_label_image(path, max_pixels=self.run.max_pixels)
            if self.assay.inputs.load is not None:
                self.assay.inputs.load(subject, self.run.max_pixels)
        except Exception as error:
            return Failure(entry.image, error, time.perf_counter() - start, known)
        subject.seconds = time.perf_counter() - start
        return subject

    def close(self) -> None:
        """Stop reading; what was read ahead is dropped."""
        self._pool.shutdown(wait=True, cancel_futures=True)


def use_granted_cpus() -> int:
    """Keep torch and OpenCV to the CPUs this process may use, and return torch's number of threads."""
    import torch

    granted = available_cpus()
    if torch.get_num_threads() > granted:
        torch.set_num_threads(granted)
    if "cv2" in sys.modules and sys.modules["cv2"].getNumThreads() > granted:
        sys.modules["cv2"].setNumThreads(granted)
    return torch.get_num_threads()
