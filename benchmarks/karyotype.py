"""A metaphase from file to karyogram with the built-in models, against torchvision's Mask R-CNN R50-FPN forward alone.

usage: python benchmarks/karyotype.py [--image FILE] [--repeats 5] [--copies 1,20,200] [--threads 2]

Both sides run in this process with the same threads, in turn, models loaded beforehand; the ratio is given by the clock
and by processor time, which other work on the machine disturbs less. The peer has random weights,
which costs no less than trained ones up to its final suppression, sees one 768 x 576 image at its own size, and
writes nothing. Then the memory of one whole command is measured, and of the same command over more copies of the image,
which must not grow; every process of a command counts, pages they share in each of them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import torch
from harness import compare, print_table, run_process
from road import CPU, through
from torchvision.models.detection import maskrcnn_resnet50_fpn

from cellscope.assays.karyotype.assay import ASSAY
from cellscope.assays.karyotype.options import PredictOptions
from cellscope.engine.assay import Subject
from cellscope.engine.loading import LoadedModels, load_models
from cellscope.engine.predict.artefacts import write_artefacts
from cellscope.io.read import read

EXAMPLE = Path(__file__).parent.parent / "examples" / "metaphase.tif"


def karyotype_file(path: Path, out: Path, loaded: LoadedModels) -> None:
    """Do what `predict` does with one input: read, detect, classify, draw, write."""
    subject = Subject(path.name, read(path), "metaphase", PredictOptions(), loaded.cards)
    for _, result in through(ASSAY, [subject], loaded):
        write_artefacts(out, "cell", result.artefacts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, default=EXAMPLE)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--copies", type=lambda text: [int(word) for word in text.split(",")], default=[1, 20, 200])
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    loaded = load_models(ASSAY, [], CPU)
    peer = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=576, max_size=768).eval()
    pixels = torch.rand(3, 576, 768)

    def forward() -> None:
        with torch.inference_mode():
            peer([pixels])

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        row = compare(
            "Mask R-CNN R50-FPN, forward only, 768 x 576",
            forward,
            f"cellscope, {arguments.image.name} from file to karyogram",
            lambda: karyotype_file(arguments.image, folder, loaded),
            repeats=arguments.repeats,
        )
        print_table([row], title="karyotype speed")
        print(f"by processor time: {row['processor_ratio']:.2f}\n")
        for copies in arguments.copies:
            inputs = folder / f"in{copies}"
            inputs.mkdir()
            for index in range(copies):
                shutil.copy(arguments.image, inputs / f"cell{index:03d}{arguments.image.suffix}")
            command = [sys.executable, "-m", "cellscope", "karyotype", "predict", str(inputs), "-q"]
            threads = {"OMP_NUM_THREADS": str(arguments.threads)}
            measured = run_process([*command, "-o", str(folder / f"out{copies}")], timeout=7200, env=threads)
            if measured["returncode"]:
                raise RuntimeError(measured["stdout"])
            peak = f"peak memory {measured['peak_mib']:.0f} MiB"
            print(f"{copies} metaphases in one command: {measured['seconds']:.1f} s, {peak}")


if __name__ == "__main__":
    main()
