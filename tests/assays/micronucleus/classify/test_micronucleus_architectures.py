"""The rows of the paper's Tables 2 to 4: what the documentation says of them, a step of training."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from drawn.micronucleus import draw_field
from typer.testing import CliRunner

from cellscope.assays.micronucleus.classify.classifiers import ARCHS, build_classifier
from cellscope.assays.micronucleus.options import TrainOptions
from cellscope.assays.micronucleus.training.train import _tone
from cellscope.cli.root import app
from cellscope.models.file import load_model, save_model
from cellscope.nn.cost import count_parameters, pytorch_multiply_adds, twice_the_weights

PAGE = Path(__file__).parents[4] / "docs" / "micronucleus.md"
QUICK = ("mobilevit-mn", "mobilenet")
"""The others are marked slow; both VGG-16 are left out, for their checkpoints are two gigabytes."""
PRINTED = (
    "MobileNet", "VGG-16", "VGG-Att", "GoogLeNet", "GoogLeNet-Att", "ResNet", "ResNet-Att", "AlexNet", "Alex-light",
    "MSA-Net", "Alex-CA", "AALNet", "MobileViT", "Model_DSC", "MV2_SE", "MV2_SE_Mb_tr1", "MV2_SE_Mb_tr3", "MV2_NAM",
    "MV2_NAM_Mb_tr1", "MV2_NAM_Mb_tr3", "Mb_SE", "Mb_NAM", "MV2_SE_Mb_NAM", "MV2_NAM_Mb_SE",
)  # fmt: skip
"""The names in Tables 4 and 2."""


def documented():
    """Read the table of the page: architecture -> parameters, "FLOPs", millions of multiply-adds."""
    pattern = r"^\| `([\w-]+)` \|[^|]*\| ([\d,]+)[^|]*\| ([\d,]+)[^|]*\| (\d+) M \|"
    found = re.findall(pattern, PAGE.read_text("utf-8"), re.MULTILINE)
    return {arch: tuple(int(number.replace(",", "")) for number in numbers) for arch, *numbers in found}


def test_the_page_has_a_row_for_every_architecture():
    assert set(documented()) == set(ARCHS)


def test_every_printed_row_but_msa_net_has_an_architecture():
    rows = re.findall(r"^\| `[\w-]+` \| ([^|]*?) \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert set(PRINTED) - set(rows) == {"MSA-Net"}
    papers = PAGE.parent / "papers" / "micronucleus.md"
    assert "**MSA-Net** (3.3 M) is the one row that cannot be built" in papers.read_text("utf-8")


@pytest.mark.parametrize("arch", ARCHS)
def test_the_page_counts_right(arch):
    with torch.device("meta"):  # shapes without numbers
        counted = build_classifier(arch, classes=1000).network
        adds = pytorch_multiply_adds(build_classifier(arch).network)
    assert documented()[arch] == (count_parameters(counted), twice_the_weights(counted), round(adds / 1e6))


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """Crops of both classes from six slides, prepared."""
    root = tmp_path_factory.mktemp("cells")
    for slide in range(6):
        grey = draw_field(slide, size=300).grey
        for name, pixels in (("normal", grey[5:80, 5:80]), ("micronucleus", grey[75:150, 75:150])):
            place = root / "crops" / name / f"slide{slide}"
            place.mkdir(parents=True)
            cv2.imwrite(str(place / f"{name}.png"), pixels)
    words = ["prepare", root / "crops", "-o", root / "dataset", "--splits", "0.34,0.33,0.33", "-q"]
    assert CliRunner().invoke(app, ["micronucleus", *map(str, words)]).exit_code == 0
    return root / "dataset"


@pytest.mark.parametrize(
    "arch", [pytest.param(a, marks=() if a in QUICK else pytest.mark.slow) for a in ARCHS if "vgg16" not in a]
)
def test_every_architecture_trains_and_is_measured(arch, cells, untrained, tmp_path):
    def run(*words):
        result = CliRunner().invoke(app, ["micronucleus", *map(str, words), "--device", "cpu", "-q"])
        assert result.exit_code == 0, result.stderr

    size = ["--input-size", 64, "--batch-size", 2, "--set", "save_every=1000"]
    run("train", cells, "--arch", arch, "--steps", 1, *size, "--finder", untrained["nuclei"], "-o", tmp_path / "run")
    model = tmp_path / "run" / "model.safetensors"
    run("eval", cells, "-m", model, "-m", untrained["nuclei"], "--limit", 2, "-o", tmp_path / "out")
    metrics = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert metrics["models"][-1]["arch"] == arch or metrics["models"][0]["arch"] == arch
    assert metrics["metrics"]["overall"]["classifier.avg_acc"]["n"] == 2


def test_a_model_that_is_trained_on_keeps_its_tone(untrained, tmp_path):
    """Its first layers expect crops as it was trained on them, whatever the options would make of a new network."""
    card, tensors = load_model(untrained["classify"], assay="micronucleus", part="classify")
    plain = tmp_path / "plain.safetensors"
    save_model(plain, tensors, replace(card, arch_args={"classes": 2, "tone": "imagenet"}))
    arch = "googlenet"
    assert _tone(arch, TrainOptions(part="classify", init=str(plain), tone="plain")) == "imagenet"
    assert _tone(arch, TrainOptions(part="classify", init=str(untrained["classify"]), tone="plain")) == "curves"
    assert _tone(arch, TrainOptions(part="classify", init="none", tone="plain")) == "plain"
    assert _tone(arch, TrainOptions(part="classify", init="imagenet", tone="plain")) == "imagenet"
