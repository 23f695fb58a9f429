"""The road of an image without files: subjects through an assay's stages on the CPU, for benchmarks that measure it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch

from cellscope.engine.assay import Assay, Result, Subject
from cellscope.engine.loading import LoadedModels
from cellscope.engine.predict.stages import run_subjects
from cellscope.options.common import RunOptions

CPU = torch.device("cpu")


def through(
    assay: Assay,
    subjects: Iterable[Subject],
    loaded: LoadedModels,
    *,
    dtype: torch.dtype | None = None,
    window: int = 4,
) -> Iterator[tuple[Subject, Result]]:
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

    Raises
    ------
    RuntimeError
        A subject failed: a benchmark of fewer would not be the one that was asked for.
    """
    for subject, result, error in run_subjects(
        assay, subjects, loaded.modules, run=RunOptions(), device=CPU, dtype=dtype, window=window
    ):
        if result is None:
            raise RuntimeError(f"{subject.name}: {error}") from error
        yield subject, result
