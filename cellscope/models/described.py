"""Descriptions of the training images inside model files: tensors under a name of their own, the rest in the card.

A description is added to a trained model without touching its weights; files without one are as good as ever.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.errors import ModelError
from cellscope.metrics.familiarity import Description
from cellscope.models.card import DESCRIBED
from cellscope.models.file import raw_tensors, read_card, save_model

if TYPE_CHECKING:
    from torch import Tensor

_FIELDS = tuple(field.name for field in fields(Description))


def load_descriptions(path: str | os.PathLike[str]) -> dict[str, Description]:
    """Read the descriptions of a model file.

    Parameters
    ----------
    path : path-like
        A model file that was found to be sound (`cellscope.models.file.load_model`).

    Returns
    -------
    dict of str to Description
        By kind of input; empty for a model without.

    Raises
    ------
    ModelError
        The file cannot be read, or a description is not whole.
    """
    from safetensors import safe_open

    if not read_card(path).familiarity:
        return {}
    found: dict[str, dict[str, Any]] = {}
    with safe_open(os.fspath(path), framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118  it is no mapping
            if name.startswith(DESCRIBED):
                kind, _, field = name.removeprefix(DESCRIBED).rpartition(".")
                found.setdefault(kind, {})[field] = file.get_tensor(name)
    for kind, values in found.items():
        if missing := [field for field in _FIELDS if field not in values]:
            raise ModelError(f"{path}: the description of {kind} lacks {', '.join(missing)}; describe the model again")
    return {kind: Description(**{field: values[field] for field in _FIELDS}) for kind, values in found.items()}


def save_described(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str],
    descriptions: Mapping[str, Description],
    about: Mapping[str, Any],
) -> None:
    """Write a model with descriptions in the place of those it had; its weights stay as they are, bit for bit.

    Parameters
    ----------
    path : path-like
        The file to write; it may be that of the model.
    model : path-like
        A model file.
    descriptions : mapping of str to Description
        By kind of input.
    about : mapping
        For the card: the layer, and what the descriptions were made from.

    Raises
    ------
    ModelError
        The model cannot be read.
    """
    import torch

    weights: dict[str, Tensor] = raw_tensors(Path(model))
    described = {
        f"{DESCRIBED}{kind}.{field}": torch.from_numpy(getattr(one, field))
        for kind, one in descriptions.items()
        for field in _FIELDS
    }
    save_model(path, {**weights, **described}, replace(read_card(model), familiarity=dict(about)))
