"""The Snakemake workflow of ``examples/``: parts and their merge give what one run gives."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from drawn.nucleus_seg import smear

WORKFLOW = Path(__file__).parents[1] / "examples" / "snakemake"


def tool() -> str:
    beside = Path(sys.executable).with_name("snakemake")
    found = str(beside) if beside.exists() else shutil.which("snakemake")
    return found or pytest.skip("Snakemake is not installed")


@pytest.mark.slow
def test_the_workflow_gives_what_one_run_gives(tmp_path: Path) -> None:
    snakemake = tool()
    (tmp_path / "in").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / "in" / f"{number}.bmp"), smear(number, (60, 60))[0][..., ::-1])
    (tmp_path / "in" / "bad.bmp").write_bytes(b"no image")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "cellscope"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m cellscope "$@"\n')
    command.chmod(0o755)
    root = str(WORKFLOW.parents[1])
    environment = {
        **os.environ, "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
        "PYTHONPATH": root, "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }  # fmt: skip
    options = "-m otsu --device cpu --num-workers 0"
    given = ["assay=nucleus-seg", "inputs=in", "out=parts", "parts=2", "threads=1", f"options={options}"]
    files = ["--snakefile", str(WORKFLOW / "Snakefile"), "--configfile", str(WORKFLOW / "config.yaml")]
    done = subprocess.run(
        [snakemake, "--cores", "1", *files, "--config", *given],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    words = ["nucleus-seg", "predict", "in", "-o", "one", *options.split()]
    one = subprocess.run([str(command), *words], cwd=tmp_path, env=environment, capture_output=True, timeout=300)
    assert one.returncode == 3
    assert (tmp_path / "parts/objects.csv").read_bytes() == (tmp_path / "one/objects.csv").read_bytes()
    assert (tmp_path / "parts/images.csv").read_text().count(",ok,") == 4
    again = subprocess.run(
        [snakemake, "--cores", "1", "--dry-run", *files, "--config", *given],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert "Nothing to be done" in again.stdout + again.stderr
