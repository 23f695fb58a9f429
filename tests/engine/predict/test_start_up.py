"""What `predict` imports: what takes long and is not needed stays out. (micronucleus has a test of its own.)"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from drawn.histo import tissue
from drawn.imported import NOT_NEEDED, assert_without
from drawn.nucleus_seg import smear


def check(assay: str, image: Path, out: Path, names: tuple[str, ...]) -> None:
    words = [assay, "predict", str(image), "-o", str(out), "--device", "cpu", "--num-workers", "0", "-q"]
    assert_without(names, words)
    assert (out / "report.html").is_file()


def test_a_smear_needs_neither_torchvision_nor_timm(tmp_path: Path) -> None:
    picture = smear(0)[0]
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    check("nucleus-seg", tmp_path / "a.png", tmp_path / "out", (*NOT_NEEDED, "timm", "torchvision", "huggingface_hub"))


def test_a_tile_does_without_the_compiler(tmp_path: Path) -> None:
    picture = tissue(0)[0]
    cv2.imwrite(str(tmp_path / "a.png"), picture[..., ::-1])
    check("histo", tmp_path / "a.png", tmp_path / "out", NOT_NEEDED)


@pytest.mark.slow
def test_a_metaphase_does_without_the_compiler_and_timm(tmp_path: Path) -> None:
    metaphase = Path(__file__).parents[3] / "examples/metaphase.tif"
    check("karyotype", metaphase, tmp_path / "out", (*NOT_NEEDED, "timm", "huggingface_hub"))


def test_torchvision_asks_the_compiler_itself() -> None:
    code = """
import sys
import cellscope.nn.vision
assert "torch._dynamo" not in sys.modules and "torchvision.ops" in sys.modules
asked = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
import torch._dynamo.utils as compiler
assert asked == compiler.is_compile_supported("cpu") and compiler.__file__
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_timm_is_imported_as_it_is_after_the_compiler() -> None:
    code = """
import torch, torch._dynamo, timm.layers
kept = torch.compiler.disable
from cellscope.nn.vision import import_timm
assert import_timm() is timm and torch.compiler.disable is kept
"""
    subprocess.run([sys.executable, "-c", code], check=True)
