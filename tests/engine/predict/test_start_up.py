"""What `predict` imports: what takes long and is not needed stays out. (micronucleus has a test of its own.)"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from drawn.histo import tissue
from drawn.nucleus_seg import smear

COMPILER = ("torch._dynamo", "torch._inductor", "sympy", "torch.distributed.fsdp")
NOT_NEEDED = (*COMPILER, "lightning", "matplotlib", "scipy.stats", "scipy.signal", "sklearn")
RUN = """
import json, sys
from cellscope.cli.root import main
sys.argv, wanted = ["cellscope", *sys.argv[2:]], json.loads(sys.argv[1])
try:
    main()
except SystemExit as done:
    assert done.code == 0, done.code
found = [name for name in wanted if name in sys.modules]
assert not found, f"predict imports {found}"
"""


def check(assay: str, image: Path, out: Path, names: tuple[str, ...]) -> None:
    words = [assay, "predict", str(image), "-o", str(out), "--device", "cpu", "--num-workers", "0", "-q"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, json.dumps(names), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
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
def test_a_metaphase_does_without_the_compiler(tmp_path: Path) -> None:
    metaphase = Path(__file__).parents[3] / "examples/metaphase.tif"
    check("karyotype", metaphase, tmp_path / "out", NOT_NEEDED)


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
