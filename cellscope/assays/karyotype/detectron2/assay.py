"""The karyotype assay with its detector computed by detectron2 (``predict`` and ``eval`` with ``--backend``)."""

from __future__ import annotations

from dataclasses import replace

import torch

from cellscope.assays.karyotype.assay import ASSAY as NATIVE
from cellscope.assays.karyotype.assay import build as build_native
from cellscope.assays.karyotype.detectron2.backend import Detectron2Network, NativeWeights, require
from cellscope.errors import ModelError
from cellscope.models.card import ModelCard


def build(card: ModelCard, tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Build the detector from detectron2's parts, and everything else as usual.

    Raises
    ------
    UsageError
        If detectron2 is not installed.
    ModelError
        If the detector is not of its kind.
    """
    require()
    if card.part != "detect":
        return build_native(card, tensors)
    network = Detectron2Network(card.arch_args)
    try:
        NativeWeights(network).load_state_dict(tensors)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the model's tensors do not fit detectron2's network: {reason}") from error
    return network.eval()


ASSAY = replace(NATIVE, build=build)
