"""What a run is made of, as picklable values, and the models with the device they are on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Assay

if TYPE_CHECKING:
    import torch

    from cellscope.engine.loading import LoadedModels
    from cellscope.options.common import RunOptions


@dataclass(frozen=True, eq=False)
class Job:
    """All that the inputs of a run have in common.

    Attributes
    ----------
    assay, run, options
        As for `cellscope.engine.predict.plan.predict`; the options are complete, with what files and models say.
    out
        Where the artefacts go.
    parts
        The folder beside the journal, for pieces and long tables.
    identity
        See `cellscope.engine.provenance.identity`.
    """

    assay: Assay
    run: RunOptions
    options: Any
    out: Path
    parts: Path
    identity: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Machine:
    """The models of a run on a device.

    Attributes
    ----------
    loaded
        The models.
    device, dtype
        Where the networks run, and the autocast type (None: float32).
    """

    loaded: LoadedModels
    device: torch.device
    dtype: torch.dtype | None
