"""A network of `predict` in other runtimes: PyTorch as it runs it, frozen TorchScript, ONNX Runtime, OpenVINO.

    python benchmarks/runtimes.py histo TILE Compact [--repeats 9]

The name is that of the network's class; it is taken from a run of `predict` on the image, with what it was given. What
changes with the image (proposals, points) is no part of it: of karyotype's detector, take its `Trunk`. All sides run in
one process on one thread, in turn; what is printed are processor times, medians of ratios of pairs, and the largest
difference from PyTorch's outputs. Runtimes that are not installed are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import environment
from torch import Tensor, nn

import cellscope.api

OPSET = 18
Runs = Callable[[tuple[Tensor, ...]], list[np.ndarray]]


class Flat(nn.Module):
    """A network whose outputs are a tuple of tensors."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the network."""
        outputs = self.network(*inputs)
        if isinstance(outputs, dict):
            outputs = tuple(outputs.values())
        found = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(each for each in found if each is not None)


def seen(assay: str, image: Path, name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Run `predict` and give the network of a class and the last inputs that it got."""
    found: list[tuple[nn.Module, tuple[Tensor, ...]]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if type(module).__name__ == name:
            found[:] = [(module, tuple(each.clone(memory_format=torch.preserve_format) for each in inputs))]

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    with tempfile.TemporaryDirectory() as folder:
        cellscope.api.predict(assay, image, folder, device="cpu", num_workers=0, overwrite=True, quiet=True)
    hook.remove()
    if not found:
        raise SystemExit(f"{assay} runs no network called {name} on this image")
    return found[0]


def by_torch(network: nn.Module) -> Runs:
    """Run it as `predict` does."""

    def run(inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
        with torch.inference_mode():
            return [output.float().numpy() for output in network(*inputs)]

    return run


def frozen(network: nn.Module, inputs: tuple[Tensor, ...]) -> Runs:
    """Trace and freeze it."""
    with torch.inference_mode():
        traced = torch.jit.freeze(torch.jit.trace(network, inputs, check_trace=False).eval())
        for _ in range(3):
            traced(*inputs)
    return by_torch(traced)


def write_onnx(network: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> None:
    """Write it as ONNX for inputs of these shapes."""
    with torch.inference_mode(), contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(network, inputs, path, input_names=names(inputs), opset_version=OPSET, dynamo=False)


def names(inputs: tuple[Tensor, ...]) -> list[str]:
    """Name the inputs."""
    return [f"input{number}" for number in range(len(inputs))]


def by_onnxruntime(path: Path) -> Runs:
    """Run it in ONNX Runtime on one thread."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])

    def run(inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
        arrays = (np.ascontiguousarray(value.numpy()) for value in inputs)
        return list(session.run(None, dict(zip(names(inputs), arrays, strict=True))))

    return run


def by_openvino(path: Path) -> Runs:
    """Run it in OpenVINO on one thread, in float32."""
    import openvino

    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    request = compiled.create_infer_request()

    def run(inputs: tuple[Tensor, ...]) -> list[np.ndarray]:
        outputs = request.infer([np.ascontiguousarray(value.numpy()) for value in inputs])
        return [outputs[number] for number in range(len(compiled.outputs))]

    return run


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assay")
    parser.add_argument("image", type=Path)
    parser.add_argument("network", help="its class")
    parser.add_argument("--repeats", type=int, default=9)
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    module, inputs = seen(wanted.assay, wanted.image, wanted.network)
    network = Flat(module).eval()
    ways: dict[str, Runs] = {"PyTorch": by_torch(network), "TorchScript, frozen": frozen(network, inputs)}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        write_onnx(network, inputs, path)
        for title, package, make in (
            ("ONNX Runtime", "onnxruntime", by_onnxruntime),
            ("OpenVINO", "openvino", by_openvino),
        ):
            if importlib.util.find_spec(package) is not None:
                ways[title] = make(path)
    expected = ways["PyTorch"](inputs)
    differences = {
        title: max(float(np.abs(one - other).max()) for one, other in zip(run(inputs), expected, strict=True))
        for title, run in ways.items()
    }
    times: dict[str, list[float]] = {title: [] for title in ways}
    for _ in range(wanted.repeats):
        for title, run in ways.items():
            start = time.process_time()
            run(inputs)
            times[title].append(time.process_time() - start)
    shapes = ", ".join(str(tuple(value.shape)) for value in inputs)
    print(f"{environment()}\n\n{wanted.assay}, {wanted.network}, {shapes}\n")
    print("| runtime | ms | PyTorch / this | largest difference |\n|---|---:|---:|---:|")
    for title, spent in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["PyTorch"], spent, strict=True))
        print(f"| {title} | {1e3 * statistics.median(spent):.1f} | {ratio:.2f} | {differences[title]:.2g} |")


if __name__ == "__main__":
    main()
