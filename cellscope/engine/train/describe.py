"""The end of every training: its images are described in the model file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellscope.engine.familiarity.describe import describe_model
from cellscope.engine.train.folder import MODEL
from cellscope.errors import CellscopeError, error_line
from cellscope.models.file import read_card


def describe_trained(dataset: Path, out: Path, options: Any, *, say: Callable[[str], None]) -> None:
    """Describe the images of a finished training in its ``model.safetensors``.

    A training whose images cannot be described is as good as before: what stood in the way is said, and ``models
    describe`` can do it later.

    Parameters
    ----------
    dataset, out : Path
        The prepared dataset and the run folder.
    options : TrainingOptions
        Uses ``describe`` and ``device``.
    say : callable
        Takes progress lines.
    """
    path = Path(out) / MODEL
    if not options.describe or os.environ.get("LOCAL_RANK", "0") != "0" or not path.is_file():
        return
    if read_card(path).familiarity:
        return  # done by an earlier process of the same training, whose model was not written again
    try:
        about = describe_model(path, dataset, path, limit=options.describe, device=options.device, say=say)
    except CellscopeError as error:
        say(f"the training images are not described, so predict cannot tell unfamiliar ones: {error_line(error)}")
        return
    images = sum(kind["images"] for kind in about["kinds"].values())
    say(f"{images} training images are described in {MODEL}")
