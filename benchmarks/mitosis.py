"""Sequences per second, batched with bfloat16, against plain eager float32 of the same network, one at a time.

usage: python benchmarks/mitosis.py [--sequences 32] [--repeats 5] [--dataset DATASET] [--only speed|movie]

Both sides run in this process with the same threads, in turn. The built-in model runs as ``predict`` runs it (batches
of four, the precision that ``auto`` chooses); ResNet50 with the paper's head has random weights, and the
batches are of 8. The networks of the other side are as they were trained; those of ``predict`` have their batch norms
folded. The ratio is given by the clock and by the processor's seconds, which a busy machine disturbs less. The largest
change of a probability is printed beside the speed. Then the peak memory of
``predict`` over a generated movie of 721 frames of 1024 x 1024 pixels, two channels, with 200 events is measured.
"""

from __future__ import annotations

import argparse
import copy
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from harness import compare, print_table, run_process

from cellscope.assays.mitosis.assay import ASSAY, build
from cellscope.assays.mitosis.datasets.batches import plain_batch
from cellscope.assays.mitosis.datasets.sequences import load_sequences
from cellscope.assays.mitosis.networks.registry import arguments_of, build_classifier, build_network, probabilities
from cellscope.engine.device import autocast, pick_precision
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import load_model
from cellscope.models.registry import locate
from cellscope.nn.folding import fold_norms

CPU = torch.device("cpu")
#: Sequences that `predict` gives the networks at once on a CPU.
ON_CPU = ASSAY.stages[0].cpu_batch


def both_ways(
    name: str,
    eager: torch.nn.Module,
    network: torch.nn.Module,
    sequences: torch.Tensor,
    batch: int,
    repeats: int,
    flips: bool,
) -> None:
    """Compare a network as it was trained with the one ``predict`` runs, on (N, 12, 2, size, size)."""
    count, size = len(sequences), sequences.shape[-1]
    eager = eager.to(memory_format=torch.contiguous_format).eval()
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
    print(f"by the processor's seconds {row['processor_ratio']:.2f}")
    print(f"precision {dtype}; largest change of a probability {change:.5f}\n")


def views(dataset: Path | None, count: int, settings: dict[str, Any]) -> torch.Tensor:
    """Give sequences as a network sees them: of a prepared dataset, evenly spread, or noise."""
    if dataset is None:
        size = int(settings["size"])
        return torch.rand(count, 12, 2, size, size, generator=torch.Generator().manual_seed(0))
    prepared = PreparedDataset.open(dataset, assay="mitosis")
    rows = prepared.items.iloc[np.linspace(0, len(prepared.items) - 1, count).astype(int)]
    loaded = load_sequences(prepared, rows, prepared.info["classes"], measured=False)
    return plain_batch(loaded, range(count), settings)


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
    parser.add_argument("--dataset", type=Path, help="take sequences of this prepared dataset instead of noise")
    parser.add_argument("--only", choices=("speed", "movie"))
    arguments = parser.parse_args()
    if arguments.only != "movie":
        speed(arguments.sequences, arguments.repeats, arguments.dataset)
    if arguments.only != "speed":
        memory()


def speed(sequences: int, repeats: int, dataset: Path | None) -> None:
    """Compare the built-in networks over frames, and ResNet50 with the paper's head."""
    card, tensors = load_model(locate("mitosis-classify"), assay="mitosis", part="classify")
    eager = build_classifier(card.arch_args, len(card.classes), {key: value.float() for key, value in tensors.items()})
    built_in = build(card, tensors)
    name = "built-in networks over frames"
    both_ways(name, eager.views, built_in.views, views(dataset, sequences, card.normalisation), ON_CPU, repeats, True)
    torch.manual_seed(0)
    resnet = build_network(arguments_of("resnet50-lstm"), 2).eval()
    folded = copy.deepcopy(resnet)
    fold_norms(folded)
    both_ways(
        "resnet50-lstm", resnet, folded, views(dataset, sequences, arguments_of("resnet50-lstm")), 8, repeats, False
    )


def memory() -> None:
    """Measure ``predict`` over a long movie."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_movie(folder / "movie.tif", folder / "events.csv")
        command = ["-m", "cellscope", "mitosis", "predict", str(folder / "movie.tif"), "-q"]
        command += ["--events", str(folder / "events.csv"), "-o", str(folder / "out")]
        measured = run_process([sys.executable, *command], timeout=3600)
        print(f"movie, 200 events: {measured['seconds']:.1f} s, peak memory {measured['peak_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
