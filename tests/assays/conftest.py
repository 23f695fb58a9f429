"""What tests of assays share: small networks by name; untrained micronucleus models and fields with their masks."""

from dataclasses import replace
from pathlib import Path

import cv2
import drawn.networks
import few_resamples  # noqa: F401
import numpy as np
import pytest
import tifffile
import torch
from drawn.micronucleus import draw_field

from cellscope import __version__
from cellscope.models.file import ModelCard, save_model

CARD = ModelCard(
    assay="micronucleus",
    part="nuclei",
    arch="unet-xs",
    arch_args={"widths": [4, 8, 8, 8]},
    classes=("nucleus", "micronucleus"),
    channels=("dna",),
    normalisation={"kind": "field", "diameter_px": 32.0},
    pixel_size_um=None,
    thresholds={"mn_threshold": 0.5},
    training={},
    metrics={},
    cellscope_version=__version__,
)
CALIBRATION = {
    "measured_on": "fields",
    "normal": [round(i / 200, 4) for i in range(100)],  # 0 to 0.495
    "micronucleus": [round(0.3 + i / 150, 4) for i in range(100)],  # 0.3 to 0.96
}


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Model files of both parts with random weights."""
    from cellscope.assays.micronucleus.classify.classifiers import build_classifier
    from cellscope.assays.micronucleus.find.finders import build_finder

    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(3)
    save_model(folder / "nuclei.safetensors", build_finder("unet-xs").state_dict(), CARD)
    card = replace(
        CARD,
        part="classify",
        arch="mv2-se-tr1",
        arch_args={"classes": 2},
        classes=("normal", "micronucleus"),
        normalisation={"kind": "cell", "input_size": 64},
        # almost all evidence from the classifier's side is ignored, so that the outcome does not hang on random weights
        thresholds={"field_offset": 0.0, "field_classify": 1.0, "field_finder": 0.0},
        training={"calibration": CALIBRATION},
    )
    save_model(folder / "classify.safetensors", build_classifier("mv2-se-tr1").state_dict(), card)
    return {part: folder / f"{part}.safetensors" for part in ("nuclei", "classify")}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``fields/`` with two conditions and ``masks/`` with label images of the nuclei, ids 11, 12, ..."""
    root = tmp_path_factory.mktemp("drawn")
    for number, name in enumerate(("control/a", "control/b", "treated/c"), 1):
        for kind in ("fields", "masks"):
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
        field = draw_field(number, size=300)
        tifffile.imwrite(root / "fields" / f"{name}.tif", field.grey)
        labels = np.where(field.nuclei > 0, field.nuclei + 10, 0)
        cv2.imwrite(str(root / "masks" / f"{name}_mask.png"), labels.astype(np.uint16))
    return root
