"""Sequences per second, batched with bfloat16, against plain eager float32 of the same network, one at a time.

usage: python benchmarks/mitosis.py [--sequences 32] [--repeats 5] [--no-movie]

Both sides run in this process with the same threads, in turn. The built-in model runs as ``predict`` runs it (batches
of 16, channels last, the precision that ``auto`` chooses); ResNet50 with the paper's head has random weights, and the
batches are of 8. The largest change of a probability is printed beside the speed. Then the peak memory of
``predict`` over a generated movie of 721 frames of 1024 x 1024 pixels, two channels, with 200 events is measured.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import tifffile
import torch
from harness import compare, print_table, run_process

from cellscope.assays.mitosis.model import arguments_of, build_network, probabilities
from cellscope.assays.mitosis.predict import ASSAY
from cellscope.engine.device import autocast, pick_precision
from cellscope.engine.predict import load_models

CPU = torch.device("cpu")


def both_ways(
    name: str, network: torch.nn.Module, size: int, batch: int, count: int, repeats: int, flips: bool
) -> None:
    """Compare one network with itself and print the ratio and the largest change of a probability."""
    generator = torch.Generator().manual_seed(0)
    sequences = torch.rand(count, 12, 2, size, size, generator=generator)
    plain = {key: value.clone(memory_format=torch.contiguous_format) for key, value in network.state_dict().items()}
    eager = type_copy(network)
    eager.load_state_dict(plain)
    dtype = pick_precision("auto", CPU)

    def one_at_a_time() -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([probabilities(eager, sequences[i : i + 1], flips=flips) for i in range(count)])

    def batched() -> torch.Tensor:
        with torch.inference_mode(), autocast(CPU, dtype):
            return torch.cat([probabilities(network, part, flips=flips) for part in sequences.split(batch)])

    change = float((one_at_a_time() - batched()).abs().max())
    row = compare(
        f"{name}, eager float32, one at a time", one_at_a_time, f"{name}, as predict", batched, repeats=repeats
    )
    print_table([row], title=f"{name}: {count} sequences of 12 frames of {size} x {size}")
    print(f"precision {dtype}; largest change of a probability {change:.5f}\n")


def type_copy(network: torch.nn.Module) -> torch.nn.Module:
    """Copy a network into the default memory format."""
    import copy

    return copy.deepcopy(network).to(memory_format=torch.contiguous_format).eval()


def write_movie(path: Path, events: Path, frames: int = 721, side: int = 1024, count: int = 200) -> None:
    """Write a movie of noise frame by frame, and a table of events all over it."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 3, (2, side, side))
    level = np.array([110, 20])[:, None, None]

    def pages():
        for t in range(frames):
            yield from np.clip(level + np.roll(noise, t, axis=2), 0, 255).astype(np.uint8)

    tifffile.imwrite(
        path, pages(), shape=(frames * 2, side, side), dtype=np.uint8, photometric="minisblack",
        description=f'ImageJ=1.53\nimages={frames * 2}\nchannels=2\nframes={frames}\nhyperstack=true\n', metadata=None,
    )  # fmt: skip
    rows = [f"{rng.integers(0, frames)},{rng.integers(0, side)},{rng.integers(0, side)}" for _ in range(count)]
    events.write_text("frame,y,x\n" + "\n".join(rows) + "\n", encoding="utf-8")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-movie", action="store_true")
    arguments = parser.parse_args()
    loaded = load_models(ASSAY, [], CPU)
    size = int(loaded.cards["classify"].normalisation["size"])
    built_in = loaded.modules["classify"].views.to(memory_format=torch.channels_last)
    both_ways("built-in networks over frames", built_in, size, 16, arguments.sequences, arguments.repeats, True)
    torch.manual_seed(0)
    resnet = build_network(arguments_of("resnet50-lstm"), 2).eval()
    both_ways("resnet50-lstm", resnet, 78, 8, arguments.sequences, arguments.repeats, False)
    if arguments.no_movie:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_movie(folder / "movie.tif", folder / "events.csv")
        command = ["-m", "cellscope", "mitosis", "predict", str(folder / "movie.tif"), "-q"]
        command += ["--events", str(folder / "events.csv"), "-o", str(folder / "out")]
        measured = run_process([sys.executable, *command], timeout=3600)
        print(f"movie, 200 events: {measured['seconds']:.1f} s, peak memory {measured['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
