"""The built-in micronucleus networks against themselves in float32 and against EfficientNet-B0; a field; all variants.

usage: python benchmarks/micronucleus.py [--repeats 5] [--cells 64] [--only ratios|field|variants]

Both sides of a ratio run in this process with the same threads, in turn, models loaded beforehand. "Eager float32" is
the network as it was trained: batch norms apart, PyTorch's usual layout. "As predict runs it" has the norms folded,
channels last, and the precision that ``--precision auto`` takes on this machine. EfficientNet-B0 (timm, random weights,
which cost no less) sees crops of the same size, both ways.

Then one drawn field of 1024 x 1024 with 200 nuclei goes from file to table with models loaded, and through the whole
command, whose peak memory is measured. On a busy machine the seconds of the processor say more than those of the clock.

``variants`` prints parameters, FLOPs and time of the rows of the paper's Tables 2 to 4 that are defined.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
import timm
import torch
from harness import compare, environment, print_table, run_process, with_bytecode
from road import CPU, through

from cellscope.assays.micronucleus.assay import ASSAY, classify, find
from cellscope.assays.micronucleus.classify.classifiers import ARCHS, build_classifier, rebuild
from cellscope.assays.micronucleus.find.finder import Finder
from cellscope.assays.micronucleus.options import PredictOptions
from cellscope.engine.assay import Subject
from cellscope.engine.device import autocast, pick_precision
from cellscope.engine.loading import load_models
from cellscope.io.read import read
from cellscope.models.file import load_model
from cellscope.models.registry import default_for
from cellscope.nn.cost import count_parameters, pytorch_multiply_adds, twice_the_weights

SIDE, NUCLEI = 1024, 200
PAPER_SECONDS = {
    "mobilevit": 0.0694, "mobilevit-dsc": 0.0633, "mv2-se": 0.0864, "mv2-se-tr1": 0.0799, "mv2-se-tr3": 0.0901,
    "mv2-nam": 0.0702, "mv2-nam-tr1": 0.0691, "mv2-nam-tr3": 0.0714, "mb-se": 0.0742, "mb-nam": 0.0684,
    "mv2-se-mb-nam": 0.1092, "mv2-nam-mb-se": 0.0945,
}  # fmt: skip
"""Column Time of the paper's Table 2; it does not say of what, on which machine."""


def draw_field(path: Path) -> None:
    """Draw 200 nuclei of about 26 pixels, every tenth with a micronucleus."""
    rng = np.random.default_rng(0)
    signal = np.zeros((SIDE, SIDE), np.float32)
    places = [(y, x) for y in range(40, SIDE - 20, 68) for x in range(40, SIDE - 20, 68)]
    for number, index in enumerate(rng.permutation(len(places))[:NUCLEI]):
        y, x = places[index]
        axes = (int(rng.integers(11, 15)), int(rng.integers(11, 15)))
        cv2.ellipse(signal, (x, y), axes, float(rng.uniform(0, 180)), 0, 360, float(rng.uniform(700, 1400)), -1)
        if number % 10 == 0:
            cv2.circle(signal, (x + 18, y), 3, 600.0, -1)
    grey = cv2.GaussianBlur(signal, (0, 0), 1.0) + 120 + rng.normal(0, 9, signal.shape)
    tifffile.imwrite(path, np.clip(grey, 0, 65535).astype(np.uint16))


def plain(part: str) -> torch.nn.Module:
    """Load a built-in network as it was trained, nothing folded."""
    card, tensors = load_model(default_for("micronucleus", part).path, assay="micronucleus", part=part)
    if part == "classify":
        return rebuild(card.arch, card.arch_args, tensors).eval()
    network = Finder(**card.arch_args)
    network.load_state_dict(tensors)
    return network.eval()


def ratios(repeats: int, cells: int) -> None:
    """Compare the built-in networks as predict runs them with eager float32 and with EfficientNet-B0."""
    loaded = load_models(ASSAY, [], CPU)
    dtype = pick_precision("auto", CPU)
    size = int(loaded.cards["classify"].normalisation["input_size"])
    crops, view = torch.rand(cells, 1, size, size), torch.rand(1, 2, SIDE, SIDE)
    eager = {"nuclei": plain("nuclei"), "classify": plain("classify")}
    peer = timm.create_model("efficientnet_b0", num_classes=2).eval()
    quick = timm.create_model("efficientnet_b0", num_classes=2).eval().to(memory_format=torch.channels_last)
    colour = torch.rand(cells, 3, size, size)
    last = colour.contiguous(memory_format=torch.channels_last)

    def mine(part: str) -> Callable[[], Any]:
        forward, batch = (find, list(view)) if part == "nuclei" else (classify, list(crops))

        def run() -> None:
            with torch.inference_mode(), autocast(CPU, dtype):
                forward(loaded.modules[part], batch)

        return run

    def other(network: torch.nn.Module, batch: torch.Tensor, precision: torch.dtype | None) -> Callable[[], Any]:
        def run() -> None:
            with torch.inference_mode(), autocast(CPU, precision):
                network(batch)

        return run

    how = f"as predict runs it ({dtype or torch.float32})".replace("torch.", "")
    pairs = [
        ("nuclei, eager float32", other(eager["nuclei"], view, None), "nuclei"),
        ("classify, eager float32", other(eager["classify"], crops, None), "classify"),
        (f"EfficientNet-B0, {cells} crops of {size}, eager float32", other(peer, colour, None), "classify"),
        (f"EfficientNet-B0, channels last, {dtype or torch.float32}".replace("torch.", ""),
         other(quick, last, dtype), "classify"),
    ]  # fmt: skip
    rows = [compare(name, run, f"{part}, {how}", mine(part), repeats=repeats) for name, run, part in pairs]
    print_table(rows, title="micronucleus speed")
    print("The same ratios by the processor's time, which other work on the machine disturbs less:\n")
    for (name, _, part), row in zip(pairs, rows, strict=True):
        print(f"- {name} : {part} = {row['processor_ratio']:.2f}")
    print()


def field() -> None:
    """Take a field from file to table: models loaded, then the whole command with its memory."""
    loaded = load_models(ASSAY, [], CPU)
    dtype = pick_precision("auto", CPU)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "field.tif"
        draw_field(path)

        def whole_field() -> int:
            subject = Subject(path.name, read(path), "field", PredictOptions(), loaded.cards)
            [(_, result)] = through(ASSAY, [subject], loaded, dtype=dtype)
            return len(result.objects)

        whole_field()
        took = []
        for _ in range(3):
            began, worked = time.perf_counter(), time.process_time()
            found = whole_field()
            took.append((time.perf_counter() - began, time.process_time() - worked))
        clock, processor = (float(np.median(values)) for values in zip(*took, strict=True))
        print(
            f"a field of {SIDE} x {SIDE}, {NUCLEI} nuclei drawn, {found} found, models loaded: {clock:.2f} s by the "
            f"clock, {processor:.2f} s of one processor (medians of 3; {torch.get_num_threads()} threads)"
        )
        words = f"-m cellscope micronucleus predict {path} -o {Path(name) / 'out'} -q --overwrite".split()
        for _ in range(2):  # the first compiles what is imported
            measured = run_process(
                [sys.executable, *words], timeout=3600, env=with_bytecode(Path(name) / "bytecode")
            )  # fmt: skip
            if measured["returncode"]:
                raise RuntimeError(measured["stdout"])
        print(
            f"the whole command: {measured['processor']:.1f} s of one processor, {measured['seconds']:.1f} s by the "
            f"clock, peak memory {measured['peak_mib']:.0f} MiB"
        )


def variants(repeats: int) -> None:
    """Print parameters, FLOPs and time of every architecture: the median time for one crop of 224 pixels, float32."""
    print(f"{environment()}\n")
    print("| --arch | parameters, 1000 classes | paper's FLOPs | multiply-adds, 224 px | ms per crop | paper, s |")
    print("|---|---:|---:|---:|---:|---:|")
    crop = torch.rand(1, 1, 224, 224)
    for arch in ARCHS:
        counted = build_classifier(arch, classes=1000).network
        network = build_classifier(arch).eval()
        times = []
        with torch.inference_mode():
            network(crop)
            for _ in range(repeats):
                began = time.process_time()
                network(crop)
                times.append(time.process_time() - began)
        adds = pytorch_multiply_adds(network.network)
        flops = f"{twice_the_weights(counted):,}"
        seconds = f"{PAPER_SECONDS[arch]:.4f}" if arch in PAPER_SECONDS else ""
        print(
            f"| `{arch}` | {count_parameters(counted):,} | {flops} | {adds / 1e6:.0f} M | "
            f"{1000 * float(np.median(times)):.1f} | {seconds} |",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cells", type=int, default=64)
    parser.add_argument("--only", choices=("ratios", "field", "variants"))
    arguments = parser.parse_args()
    if arguments.only in (None, "ratios"):
        ratios(arguments.repeats, arguments.cells)
    if arguments.only in (None, "field"):
        field()
    if arguments.only in (None, "variants"):
        variants(arguments.repeats)


if __name__ == "__main__":
    main()
