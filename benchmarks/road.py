"""The road of an image without files: subjects through an assay's stages on the CPU, for benchmarks that measure it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.loading import LoadedModels
from cellscope.engine.predict.outcome import Failure
from cellscope.engine.predict.stages import run_subjects
from cellscope.engine.predict.step import Conclude
from cellscope.options.common import RunOptions

CPU = torch.device("cpu")


def through(
    assay: Assay,
    subjects: Iterable[Subject],
    loaded: LoadedModels,
    *,
    dtype: torch.dtype | None = None,
    window: int = 4,
    conclude: Conclude | None = None,
) -> Iterator[tuple[Subject, Any]]:
    """Take subjects through all stages and give each with its result, in their order.

    Parameters
    ----------
    assay : Assay
    subjects : iterable of Subject
    loaded : LoadedModels
        On the CPU.
    dtype : torch.dtype, optional
        Of autocast; None computes in float32.
    window : int
        Subjects alive at once.
    conclude : callable, optional
        What a subject comes to, in place of the assay's own.

    Raises
    ------
    RuntimeError
        A subject failed: a benchmark of fewer would not be the one that was asked for.
    """
    for outcome in run_subjects(
        assay,
        subjects,
        loaded.modules,
        run=RunOptions(),
        device=CPU,
        dtype=dtype,
        window=window,
        conclude=conclude,
    ):
        if isinstance(outcome, Failure):
            raise RuntimeError(f"{outcome.name}: {outcome.error}") from outcome.error
        yield outcome.subject, outcome.result
