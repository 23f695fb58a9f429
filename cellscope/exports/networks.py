"""Networks for other programs: ONNX, and models of the BioImage Model Zoo, both checked by running them."""

from __future__ import annotations

import importlib.util
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cellscope.engine.assay import Portable
from cellscope.engine.find import find_assay
from cellscope.errors import CellscopeError, UsageError
from cellscope.io.write import atomic
from cellscope.models.card import DESCRIBED, ModelCard
from cellscope.models.file import load_model, read_card

TOLERANCE = 1e-4
"""Largest difference between the maps here and in onnxruntime, of maps from 0 to 1."""

OPSET = 18
INPUT, OUTPUT = "images", "maps"
NEEDED = {"onnx": ("onnx", "onnxruntime"), "bioimageio": ("onnx", "onnxruntime", "bioimageio.core")}


class Maps(torch.nn.Module):
    """A network with what comes before and after it: (N, 3, H, W) in [0, 1] -> maps."""

    def __init__(self, network: torch.nn.Module, portable: Portable):
        super().__init__()
        self.network = network
        self.portable = portable

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the maps."""
        return self.portable.maps(self.network, images)


@dataclass(frozen=True, eq=False)
class Exported:
    """An ONNX file and how it was checked.

    Attributes
    ----------
    path : Path
    card : ModelCard
    channels : tuple of str
    window : (side, margin)
    difference : float
        Largest difference between the maps here and in onnxruntime.
    images, maps : arrays
        What was run.
    """

    path: Path
    card: ModelCard
    channels: tuple[str, ...]
    window: tuple[int, int]
    difference: float
    images: np.ndarray
    maps: np.ndarray


def check_installed(to: str) -> None:
    """Raise UsageError where the packages of a format are missing, or it is none."""
    if to not in NEEDED:
        raise UsageError(f"--to: there is no format {to!r}; there are {' and '.join(NEEDED)}")
    for name in NEEDED[to]:
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise UsageError(f"--to {to} needs {name}: pip install 'cellscope[onnx]'")


def export_onnx(model: Path, target: Path) -> Exported:
    """Write a model as ONNX and run it in onnxruntime on three images of noise.

    Raises
    ------
    UsageError
        The network does not take an image as it is.
    CellscopeError
        onnxruntime gives other maps than PyTorch.
    """
    import onnx
    import onnxruntime

    card = read_card(model)
    assay = find_assay(card.assay)
    portable = assay.portable.get(card.part)
    if portable is None:
        raise UsageError(
            f"{card.assay} {card.part}: its network takes no image as it is (what it sees is found, cut and turned by "
            "cellscope first), so other programs could not run it; those of nucleus-seg and histo can be exported"
        )
    _, tensors = load_model(model, assay=card.assay)
    weights = {name: value.float() for name, value in tensors.items() if not name.startswith(DESCRIBED)}
    network = Maps(assay.build(card, weights).float().eval(), portable)
    side, _margin = window = portable.window(network.network)
    first = torch.from_numpy(np.random.default_rng(0).random((1, 3, side, side), np.float32))
    with atomic(target) as temporary, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network, (first,), temporary, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        held = onnx.load(temporary)
        channels = portable.channels(card)
        onnx.helper.set_model_props(held, {"cellscope": json.dumps(card.as_dict()), "channels": json.dumps(channels)})
        onnx.checker.check_model(held)
        onnx.save(held, temporary)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        difference = 0.0
        maps = network(first).numpy()
        for seed in range(3):  # one image at a time, of the traced size: layers that resize keep its numbers
            images = torch.from_numpy(np.random.default_rng(seed).random((1, 3, side, side), np.float32))
            expected = network(images).numpy()
            [found] = session.run([OUTPUT], {INPUT: images.numpy()})
            difference = max(difference, float(np.abs(found - expected).max()))
        if not difference <= TOLERANCE:
            raise CellscopeError(
                f"onnxruntime gives other maps than PyTorch: they differ by {difference:.2g}, more than {TOLERANCE:g}"
            )
    return Exported(target, card, channels, window, difference, first.numpy(), maps)


def export_bioimageio(model: Path, target: Path) -> Exported:
    """Write a model as a package of the BioImage Model Zoo (``.zip``) and have bioimageio.core test it.

    Raises
    ------
    UsageError, CellscopeError
        As of `export_onnx`; the package fails its test.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="cellscope-") as folder:
        exported = export_onnx(model, Path(folder) / "weights.onnx")
        from cellscope.exports.zoo import write_package

        with atomic(target) as temporary:
            write_package(exported, Path(folder), temporary)
    return Exported(
        target, exported.card, exported.channels, exported.window, exported.difference, exported.images, exported.maps
    )


def describe(exported: Exported) -> dict[str, Any]:
    """Say what was written, for people and for ``--json``."""
    side, margin = exported.window
    portable = find_assay(exported.card.assay).portable[exported.card.part]
    return {
        "out": str(exported.path),
        "input": f"{INPUT}: (1, 3, H, W) float32, RGB in [0, 1], {portable.scale(exported.card)}",
        "sides": f"H and W are {side} pixels",
        "output": f"{OUTPUT}: (1, {len(exported.channels)}, h, w) float32, {margin} pixels less on each side",
        "channels": list(exported.channels),
        "largest_difference": exported.difference,
        "tolerance": TOLERANCE,
    }
