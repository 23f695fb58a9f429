"""A package of the BioImage Model Zoo: description, ONNX weights, test tensors."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import cellscope
from cellscope.engine.assay import RGB
from cellscope.errors import CellscopeError
from cellscope.exports.portable import portable_of

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

    images, maps = exported.images, exported.maps
    if portable_of(exported.card).inputs == RGB:
        # the network sees [0, 1]; the package takes 8 bits and scales them
        images = np.rint(images * 255)
        maps = _run(exported.path, images)
    np.save(folder / "images.npy", images)
    np.save(folder / "maps.npy", maps)
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
    [found] = session.run(None, {session.get_inputs()[0].name: images * np.float32(1 / 255)})
    return np.asarray(found)


def _describe(exported: Exported, folder: Path) -> Any:
    from bioimageio.spec.model import v0_5

    card = exported.card
    portable = portable_of(card)
    height, width = exported.images.shape[2:]
    colour = portable.inputs == RGB
    scaled = v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=1 / 255, offset=0.0))
    to_float = v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32"))
    inputs = v0_5.InputTensorDescr(
        id=v0_5.TensorId("images"),
        description="RGB, 8 bits" if colour else portable.scale(card)[:128],
        axes=[
            v0_5.BatchAxis(),
            v0_5.ChannelAxis(channel_names=list(portable.inputs)),
            v0_5.SpaceInputAxis(id=v0_5.AxisId("y"), size=height),
            v0_5.SpaceInputAxis(id=v0_5.AxisId("x"), size=width),
        ],
        # not uint8: bioimageio.core would hand the network uint8 in spite of the preprocessing
        data=v0_5.IntervalOrRatioDataDescr(type="float32", range=(0, 255) if colour else (None, None)),
        preprocessing=[to_float, scaled] if colour else [to_float],
        test_tensor=v0_5.FileDescr(source=folder / "images.npy"),
    )
    names: list[Any] = [_identifier(name) for name in exported.channels]
    axes: list[Any] = [v0_5.BatchAxis(), v0_5.ChannelAxis(channel_names=names)]
    for axis, size in zip("yx", exported.maps.shape[2:], strict=False):
        axes.append(v0_5.SpaceOutputAxis(id=v0_5.AxisId(axis), size=size))
    outputs = v0_5.OutputTensorDescr(
        id=v0_5.TensorId("maps"),
        description="maps of probabilities and distances" if len(axes) == 4 else "probabilities",
        axes=axes,
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
        documentation=v0_5.FileDescr(source=folder / "README.md"),
        tags=[card.assay, "segmentation" if len(axes) == 4 else "classification", "2d"],
        inputs=[inputs],
        outputs=[outputs],
        weights=v0_5.WeightsDescr(onnx=v0_5.OnnxWeightsDescr(source=exported.path, opset_version=18)),
        training_data=None,
    )


def _identifier(name: str) -> str:
    """Make a name that Python allows, as the description asks for."""
    name = re.sub(r"\W", "_", name)
    return name if name.isidentifier() else f"class_{name}"


def _told(training: Any) -> str:
    return f"cellscope {cellscope.__version__}; data: {str(training.get('dataset', 'see the model card'))[:200]}"


def _readme(exported: Exported) -> str:
    card = exported.card
    portable = portable_of(card)
    given = f"{', '.join(portable.inputs)}{' of 8 bits' if portable.inputs == RGB else ''}; {portable.scale(card)}"
    return f"""# cellscope {card.assay} {card.part}

Architecture {card.arch}. Research use only, never a diagnosis.

Input: {given}.

Output: {", ".join(exported.channels)}.
`cellscope {card.assay} predict` does more: it prepares the images and makes its results of this output.

Checked against PyTorch: the largest difference of the output is {exported.difference:.1e}.
"""
