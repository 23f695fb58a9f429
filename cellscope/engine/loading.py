"""The models of a run: one for every part of an assay, chosen, loaded and put on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cellscope.engine.assay import Assay
from cellscope.engine.familiarity.judge import Judge
from cellscope.engine.familiarity.tap import Tap, first_layer
from cellscope.engine.memory import keep_freed_memory
from cellscope.engine.provenance import model_records, weightless_records
from cellscope.errors import ModelError
from cellscope.models.card import ModelCard
from cellscope.models.described import load_descriptions
from cellscope.models.file import load_model, sha256
from cellscope.models.registry import choose
from cellscope.nn.unset import weights_to_come


@dataclass(frozen=True)
class LoadedModels:
    """The networks of a run.

    Attributes
    ----------
    cards, modules
        By part; modules in eval mode on the run's device.
    records
        What ``run.json`` says of them.
    taps
        Part -> what listens to its network, where the model describes its training images.
    judge
        Says how like those an image is.
    names
        As they were asked for.
    """

    cards: dict[str, ModelCard]
    modules: dict[str, torch.nn.Module]
    records: list[dict[str, Any]]
    taps: dict[str, Tap]
    judge: Judge
    names: tuple[str, ...] = ()


def load_models(assay: Assay, models: Sequence[str], device: torch.device) -> LoadedModels:
    """Choose and load a model for every part of an assay.

    Parameters
    ----------
    assay
        The assay.
    models
        Model files, built-in names, or names of the assay's methods without weights; parts not given are the built-in
        defaults.
    device
        Where the networks go.

    Raises
    ------
    ModelError
        A model cannot be found, is damaged or is not for this assay.
    """
    keep_freed_memory()
    plain_names = [name for name in models if name in assay.weightless]
    cards: dict[str, ModelCard] = {assay.weightless[name].part: assay.weightless[name] for name in plain_names}
    if len(cards) < len(plain_names):
        raise ModelError(f"{' and '.join(plain_names)} are for the same part; give one of them")
    named = [name for name in models if name not in assay.weightless]
    rest = [part for part in assay.parts if part not in cards]
    paths = choose(assay.name, rest, named)
    modules = {part: assay.build(card, {}).eval().to(device) for part, card in cards.items()}
    records = weightless_records(cards)
    hashes = {}
    taps, descriptions = {}, {}
    for part, path in paths.items():
        cards[part], tensors = load_model(path, assay=assay.name, part=part)
        with weights_to_come():
            modules[part] = assay.build(cards[part], tensors)
        modules[part] = modules[part].eval().to(device)
        hashes[part] = sha256(path)
        if described := load_descriptions(path):
            layer = first_layer(modules[part], [str(cards[part].familiarity.get("layer", ""))])
            if layer:  # a network that another library computes has other layers
                descriptions[part], taps[part] = described, Tap(modules[part], layer)
    records += model_records(paths, cards, hashes)
    return LoadedModels(cards, modules, records, taps, Judge(assay, descriptions), tuple(models))
