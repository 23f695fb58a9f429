"""Networks for other programs: ONNX, and models of the BioImage Model Zoo, both checked by running them."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cellscope.engine.assay import Portable
from cellscope.engine.find import find_assay
from cellscope.errors import CellscopeError, UsageError
from cellscope.exports.portable import portable_of
from cellscope.io.write import atomic
from cellscope.models.card import DESCRIBED, ModelCard
from cellscope.models.file import load_model, read_card

TOLERANCE = 1e-4
"""Largest difference between the outputs here and in onnxruntime, of outputs about 1."""

OPSET = 18
INPUT, OUTPUT = "images", "maps"
NEEDED = {"onnx": ("onnx", "onnxruntime"), "bioimageio": ("onnx", "onnxruntime", "bioimageio.core")}


class Maps(torch.nn.Module):
    """A network with what comes before and after it, as `Portable` says."""

    def __init__(self, network: torch.nn.Module, portable: Portable, card: ModelCard):
        super().__init__()
        self.network = network
        self.portable, self.card = portable, card

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Give the maps."""
        return self.portable.maps(self.network, images, self.card)


@dataclass(frozen=True, eq=False)
class Exported:
    """An ONNX file and how it was checked.

    Attributes
    ----------
    path : Path
    card : ModelCard
    channels : tuple of str
    difference : float
        Largest difference between the outputs here and in onnxruntime.
    images, maps : arrays
        What was run.
    """

    path: Path
    card: ModelCard
    channels: tuple[str, ...]
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
    if to == "bioimageio" and (why := unfit()):
        raise UsageError(f"--to bioimageio: {why}: pip install 'cellscope[onnx]'")


def unfit() -> str:
    """Say which of the installed packages of the BioImage Model Zoo do not go together; nothing where they do."""
    from importlib.metadata import version

    from packaging.version import Version

    spec, pydantic = version("bioimageio.spec"), version("pydantic")
    if Version(spec) <= Version("0.5.12.0") and Version(pydantic) >= Version("2.14"):
        return f"bioimageio.spec {spec} does not work with pydantic {pydantic}, only with 2.13 and older"
    return ""


def export_onnx(model: Path, target: Path) -> Exported:
    """Write a model as ONNX and run it in onnxruntime on images of noise.

    Raises
    ------
    UsageError
        The network means nothing to other programs.
    CellscopeError
        onnxruntime gives other outputs than PyTorch.
    """
    import onnx

    card = read_card(model)
    assay, portable = find_assay(card.assay), portable_of(card)
    _, tensors = load_model(model, assay=card.assay)
    weights = {name: value.float() for name, value in tensors.items() if not name.startswith(DESCRIBED)}
    # The exporter brings a network back to the mode its outermost module had: every module must be in `eval`.
    network = Maps(assay.build(card, weights).float(), portable, card).eval()
    height, width = portable.window(card, network.network)
    first = _noise(portable, 0, height, width)
    axes = {0: "n"} | ({2: "h", 3: "w"} if portable.step else {})
    channels = portable.channels(card)
    with atomic(target) as temporary, warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        maps = network(first).numpy()
        _trace(network, first, temporary, {INPUT: axes, OUTPUT: axes if maps.ndim == 4 else {0: "n"}}, card)
        held = onnx.load(temporary)
        onnx.helper.set_model_props(held, {"cellscope": json.dumps(card.as_dict()), "channels": json.dumps(channels)})
        onnx.checker.check_model(held)
        onnx.save(held, temporary)
        others = [_noise(portable, 1, height, width)]
        if portable.step:
            others.append(_noise(portable, 2, height + 64, width - 32))
        pairs = [(image, network(image).numpy()) for image in others]
        difference = _largest_difference(temporary, [(first, maps), *pairs])
        if not difference <= TOLERANCE:
            raise CellscopeError(
                f"onnxruntime gives other outputs than PyTorch: they differ by {difference:.2g} (> {TOLERANCE:g})"
            )
    return Exported(target, card, channels, difference, first.numpy(), maps)


def _trace(network: Maps, images: torch.Tensor, path: Path, axes: dict[str, dict[int, str]], card: ModelCard) -> None:
    # ONNX has the operator, PyTorch's table lacks it
    torch.onnx.register_custom_op_symbolic("aten::asinh", lambda graph, value: graph.op("Asinh", value), 9)
    try:
        # by tracing: the other exporter needs another package and half a minute
        with contextlib.redirect_stdout(io.StringIO()):  # of a fault it prints the whole graph
            torch.onnx.export(
                network, (images,), path, input_names=[INPUT], output_names=[OUTPUT], opset_version=OPSET,
                dynamo=False, dynamic_axes=axes,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).strip().splitlines()[0]
        raise CellscopeError(f"{card.arch} cannot be written as ONNX: {reason}") from error


def _noise(portable: Portable, seed: int, height: int, width: int) -> torch.Tensor:
    values = np.random.default_rng(seed).random((1, len(portable.inputs), height, width), np.float32)
    return torch.from_numpy(values)


def _largest_difference(path: Path, pairs: list[tuple[torch.Tensor, np.ndarray]]) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = [session.run([OUTPUT], {INPUT: images.numpy()})[0] for images, _expected in pairs]
    return max(float(np.abs(one - expected).max()) for one, (_images, expected) in zip(found, pairs, strict=True))


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
    return replace(exported, path=target)


def describe(exported: Exported) -> dict[str, Any]:
    """Say what was written, for people and for ``--json``."""
    portable = portable_of(exported.card)
    height, width = exported.images.shape[2:]
    rows = exported.maps.shape[2:]
    sides = f"H and W are multiples of {portable.step}" if portable.step else f"H {height}, W {width}"
    if not rows:
        shape = f"(N, {len(exported.channels)}) float32"
    else:
        margin = (height - rows[0]) // 2
        shape = f"(N, {len(exported.channels)}, h, w) float32, {margin} pixels less on each side"
    return {
        "out": str(exported.path),
        "input": f"{INPUT}: (N, {len(portable.inputs)}, H, W) float32, {portable.scale(exported.card)}",
        "sides": sides,
        "output": f"{OUTPUT}: {shape}",
        "channels": list(exported.channels),
        "largest_difference": exported.difference,
        "tolerance": TOLERANCE,
    }
