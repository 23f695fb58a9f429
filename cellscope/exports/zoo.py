"""A package of the BioImage Model Zoo: description, ONNX weights, test tensors."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cellscope
from cellscope.engine.find import find_assay
from cellscope.errors import CellscopeError

if TYPE_CHECKING:
    from cellscope.exports.networks import Exported

LICENCE = "BSD-3-Clause"


def write_package(exported: Exported, folder: Path, target: Path) -> None:
    """Write the package and have ``bioimageio.core`` run its test.

    Raises
    ------
    CellscopeError
        The description is not valid, or the maps are not those of the test.
    """
    from bioimageio.core import test_model
    from bioimageio.spec import save_bioimageio_package

    # the network sees [0, 1]; the package takes 8 bits and scales them
    images = np.rint(exported.images * 255).astype(np.uint8)
    np.save(folder / "images.npy", images)
    np.save(folder / "maps.npy", _run(exported.path, images))
    (folder / "README.md").write_text(_readme(exported), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        described = _describe(exported, folder)
        save_bioimageio_package(described, output_path=target)
        summary = test_model(target)
    if summary.status != "passed":
        faults = [error.msg for detail in summary.details for error in detail.errors]
        raise CellscopeError(f"the package fails the test of bioimageio.core: {'; '.join(faults)[:500]}")


def _run(path: Path, images: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [found] = session.run(None, {session.get_inputs()[0].name: images.astype(np.float32) * np.float32(1 / 255)})
    return np.asarray(found)


def _describe(exported: Exported, folder: Path) -> Any:
    from bioimageio.spec.model import v0_5

    card = exported.card
    side, margin = exported.window
    scaled = v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=1 / 255, offset=0.0))
    inputs = v0_5.InputTensorDescr(
        id=v0_5.TensorId("images"),
        description="RGB, 8 bits",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(name) for name in ("red", "green", "blue")]),
            v0_5.SpaceInputAxis(id=v0_5.AxisId("y"), size=side),
            v0_5.SpaceInputAxis(id=v0_5.AxisId("x"), size=side),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="uint8", range=(0, 255)),
        preprocessing=[v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32")), scaled],
        test_tensor=v0_5.FileDescr(source=folder / "images.npy"),
    )
    outputs = v0_5.OutputTensorDescr(
        id=v0_5.TensorId("maps"),
        description="maps of probabilities and distances",
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=[v0_5.Identifier(name.replace("-", "_")) for name in exported.channels]),
            v0_5.SpaceOutputAxis(id=v0_5.AxisId("y"), size=side - 2 * margin),
            v0_5.SpaceOutputAxis(id=v0_5.AxisId("x"), size=side - 2 * margin),
        ],
        data=v0_5.IntervalOrRatioDataDescr(type="float32"),
        test_tensor=v0_5.FileDescr(source=folder / "maps.npy"),
    )
    return v0_5.ModelDescr(
        name=f"cellscope {card.assay} {card.part}",
        description=f"{card.arch}: {', '.join(exported.channels)}",
        version=v0_5.Version(card.cellscope_version) if card.cellscope_version.count(".") == 2 else None,
        authors=[v0_5.Author(name="cellscope")],
        cite=[v0_5.CiteEntry(text=_told(card.training), url=v0_5.HttpUrl("https://bioimage.io"))],
        license=v0_5.LicenseId(LICENCE),
        documentation=folder / "README.md",
        tags=[card.assay, "segmentation", "nuclei", "2d"],
        inputs=[inputs],
        outputs=[outputs],
        weights=v0_5.WeightsDescr(onnx=v0_5.OnnxWeightsDescr(source=exported.path, opset_version=18)),
        training_data=None,
    )


def _told(training: Any) -> str:
    return f"cellscope {cellscope.__version__}; data: {str(training.get('dataset', 'see the model card'))[:200]}"


def _readme(exported: Exported) -> str:
    card = exported.card
    portable = find_assay(card.assay).portable[card.part]
    return f"""# cellscope {card.assay} {card.part}

Architecture {card.arch}. Research use only, never a diagnosis.

Input: RGB images of 8 bits, {portable.scale(card)}. Output: {", ".join(exported.channels)}.
Objects are made from the maps by `cellscope {card.assay} predict`; what this package gives are the maps.

Checked against PyTorch: the largest difference of a map is {exported.difference:.1e}.
"""
