"""How busy `predict` keeps a device: images per second, and the share of the time in which the device works.

    python benchmarks/device.py histo TILE [--count 64] [--device auto] [--batch-sizes 0,1,4,16] [--precision auto]

One image, or several, stand for many: they are linked under other names until there are `--count`. A first run of a
few warms everything up. The share is the time in which at least one kernel or copy runs on the device (CUDA, from
PyTorch's profiler), of the time from the first input to the last file; on a CPU, which does everything itself, it is
the time in which a network runs. A batch size of 0 is that of each stage. Without a GPU, the script shows that it works
and where the processor's time goes; what it is for are GPUs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from harness import environment

import cellscope.api
from cellscope.engine.assay import Assay
from cellscope.engine.device import pick_device
from cellscope.engine.find import find_assay

WARM = 4
"""Images of the first run, which is not counted."""

Interval = tuple[float, float]


def union(intervals: Iterable[Interval]) -> float:
    """Return the length of what intervals (start, end) cover together."""
    covered, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return covered


@contextlib.contextmanager
def watched_networks(assay: Assay) -> Iterator[list[Interval]]:
    """Note when networks run, by the clock of the host."""
    intervals: list[Interval] = []

    def watched(forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return forward(*arguments)
            finally:
                intervals.append((start, time.perf_counter()))

        return run

    forwards = [stage.forward for stage in assay.stages]
    for stage in assay.stages:
        object.__setattr__(stage, "forward", watched(stage.forward))
    try:
        yield intervals
    finally:
        for stage, forward in zip(assay.stages, forwards, strict=True):
            object.__setattr__(stage, "forward", forward)


@contextlib.contextmanager
def watched_kernels(device: torch.device) -> Iterator[list[Interval]]:
    """Note when kernels and copies run on a CUDA device, in seconds; nothing for other devices."""
    intervals: list[Interval] = []
    if device.type != "cuda":
        yield intervals
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        yield intervals
        torch.cuda.synchronize(device)
    intervals += [
        (event.time_range.start * 1e-6, event.time_range.end * 1e-6)
        for event in profile.events() or ()
        if event.device_type == torch.autograd.DeviceType.CUDA
    ]


def link(images: list[Path], count: int, folder: Path) -> Path:
    """Link images into a folder under `count` names."""
    folder.mkdir()
    for number in range(count):
        image = images[number % len(images)]
        os.symlink(image.absolute(), folder / f"{number:05d}{image.suffix}")
    return folder


def measure(assay: Assay, inputs: Path, out: Path, device: torch.device, **options: Any) -> dict[str, float]:
    """Run `predict` once: ``seconds``, ``networks`` and ``device`` (seconds in which they work), ``memory`` (MiB)."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with watched_networks(assay) as networks, watched_kernels(device) as kernels:
        start = time.perf_counter()
        cellscope.api.predict(assay.name, inputs, out, device=str(device), overwrite=True, quiet=True, **options)
        seconds = time.perf_counter() - start
    in_networks = union(networks)
    return {
        "seconds": seconds,
        "networks": in_networks,
        "device": union(kernels) if device.type == "cuda" else in_networks,
        "memory": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0,
    }


def main() -> None:
    """Measure each batch size and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assay")
    parser.add_argument("images", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch-sizes", default="0", help="separated by commas")
    parser.add_argument("--num-workers", type=int, help="processes around the networks")
    wanted = parser.parse_args()
    assay, device = find_assay(wanted.assay), pick_device(wanted.device)
    options = {"precision": wanted.precision}
    if wanted.num_workers is not None:
        options["num_workers"] = wanted.num_workers
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    print(f"{environment()}\n{name}, {wanted.count} images, precision {wanted.precision}\n")
    print("| batch size | images per second | device busy | host in networks | MiB on the device |")
    print("|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        few = link(wanted.images, min(WARM, wanted.count), Path(folder) / "few")
        many = link(wanted.images, wanted.count, Path(folder) / "many")
        for size in map(int, wanted.batch_sizes.split(",")):
            chosen = options | ({"batch_size": size} if size else {})
            measure(assay, few, Path(folder) / "out", device, **chosen)
            found = measure(assay, many, Path(folder) / "out", device, **chosen)
            busy, inside = (100 * found[key] / found["seconds"] for key in ("device", "networks"))
            print(
                f"| {size or 'of the stage'} | {wanted.count / found['seconds']:.2f} | {busy:.0f} % | {inside:.0f} % "
                f"| {found['memory']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
