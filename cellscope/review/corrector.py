"""Take an image through its corrections: what it is now, and what is written of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.stages import run_subjects
from cellscope.errors import InputError
from cellscope.options.common import RunOptions
from cellscope.review.opened import OpenRun
from cellscope.review.protocol import Edit, Original

if TYPE_CHECKING:
    from cellscope.io.image import Image

KEPT = 4
"""Images that are kept in memory."""


class Corrector:
    """Work out what corrections make of an image. Safe to call from several threads; one works at a time.

    Parameters
    ----------
    run : OpenRun
    """

    def __init__(self, run: OpenRun):
        self.run = run
        self._lock = threading.RLock()
        self._read: OrderedDict[str, tuple[Original, Image]] = OrderedDict()

    def _opened(self, image: str) -> tuple[Original, Image]:
        if image not in self._read:
            pixels = self.run.read_image(image) if self.run.review.reads_image else _nothing()
            self._read[image] = self.run.original(image), pixels
            while len(self._read) > KEPT:
                self._read.popitem(last=False)
        self._read.move_to_end(image)
        return self._read[image]

    def pixels(self, image: str) -> Image:
        """Give the input."""
        with self._lock:
            return self._opened(image)[1]

    def subject(self, image: str, edits: Sequence[Edit]) -> tuple[Subject, Assay]:
        """Take an image through its edits; the subject's state is what they leave.

        Raises
        ------
        InputError
            An edit that cannot be made; the image cannot be read.
        """
        import torch

        with self._lock:
            original, pixels = self._opened(image)
            assay = self.run.review.corrected(original, edits)
            subject = self.run.subject(image, assay, pixels)
            (outcome,) = run_subjects(
                assay,
                [subject],
                self.run.loaded().modules,
                run=RunOptions(),
                device=torch.device("cpu"),
                dtype=None,
                window=1,
                conclude=_state,
            )
            if isinstance(outcome, Failure):
                raise outcome.error
            return replace(subject, state=outcome.result), assay

    def show(self, image: str, edits: Sequence[Edit]) -> dict[str, Any]:
        """Give what the browser shows of an image."""
        with self._lock:
            return self.run.review.show(self.subject(image, edits)[0])

    def sheet(self, image: str, edits: Sequence[Edit]) -> tuple[str, bytes]:
        """Give what is printed of an image; InputError where the assay prints nothing."""
        if self.run.review.sheet is None:
            raise InputError(f"{image}: there is nothing to print but the page")
        with self._lock:
            return self.run.review.sheet(self.subject(image, edits)[0])

    def complete(self, image: str, edits: Sequence[Edit], edit: Edit) -> Edit:
        """Give the edit as it is logged; InputError if it cannot be made."""
        if self.run.review.complete is None:
            return edit
        with self._lock:
            return self.run.review.complete(self.subject(image, edits)[0], edit)

    def result(self, image: str, edits: Sequence[Edit]) -> Result:
        """Give what is written of an image; other calls need not wait while its objects are measured."""
        subject, assay = self.subject(image, edits)
        return assay.conclude(subject)


def _state(subject: Subject) -> Any:
    return subject.state


def _nothing() -> Image:
    """Stand in for an input that is not needed again."""
    from cellscope.io.image import MIN_SIDE, Image

    return Image(np.zeros((MIN_SIDE, MIN_SIDE, 1), np.uint8))
