"""``cellscope doctor``: check the installation and report problems."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from cellscope import __version__
from cellscope.errors import EXIT_FAILED, EXIT_OK

SCHEMA = "cellscope.doctor/1"
OPTIONAL = {"openslide-python": "whole slides of scanners: pip install openslide-python openslide-bin"}
MODULES = ("torch", "torchvision", "timm", "lightning", "cv2", "skimage", "tifffile", "imagecodecs", "pycocotools.mask")
"""Modules with compiled parts: that the package is installed does not mean that it loads on this system."""

LEAST_FREE_BYTES = 2**30


@dataclass
class Findings:
    """What the checks saw.

    Attributes
    ----------
    facts : dict of str to dict
        By section, then by name.
    problems : list of str
        Something does not work; the exit code is 1.
    notes : list of str
        Worth knowing.
    """

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_doctor(*, as_json: bool) -> int:
    """Run every check, print the findings on stdout and return 0, or 1 when something is wrong."""
    findings = examine()
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "schema": SCHEMA,
                    "ok": not findings.problems,
                    "problems": findings.problems,
                    "notes": findings.notes,
                    **findings.facts,
                },
                indent=2,
            )
        )
    else:
        _print(findings)
    return EXIT_FAILED if findings.problems else EXIT_OK


def examine() -> Findings:
    """Run every check; one that breaks is itself a problem and does not stop the others."""
    findings = Findings()
    checks: tuple[Callable[[Findings], None], ...] = (
        check_versions,
        check_imports,
        check_devices,
        check_operators,
        check_models,
        check_disk,
    )
    for check in checks:
        try:
            check(findings)
        except Exception as error:
            name = check.__name__.removeprefix("check_")
            findings.problems.append(f"the check of {name} failed: {_one_line(error)}")
    return findings


def check_versions(findings: Findings) -> None:
    """Compare what is installed with what cellscope requires."""
    versions: dict[str, Any] = {"cellscope": __version__, "python": platform.python_version()}
    try:
        requirements = importlib.metadata.requires("cellscope") or []
    except importlib.metadata.PackageNotFoundError:
        findings.notes.append("cellscope runs from a source tree and is not installed; its requirements are unknown")
        requirements = []
    for name, least in sorted(required(requirements).items()):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            findings.problems.append(f"{name} is not installed; run pip install '{name}>={least}'")
            continue
        if _numbers(versions[name]) < _numbers(least):
            findings.problems.append(f"{name} {versions[name]} is older than {least}; run pip install -U {name}")
    for name, purpose in OPTIONAL.items():
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            findings.notes.append(f"{name} is not installed ({purpose})")
    findings.facts["versions"] = versions


def required(requirements: list[str]) -> dict[str, str]:
    """Return name and lower bound of the requirements that apply here, without those of extras."""
    from packaging.requirements import Requirement

    found = {}
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            least = [bound.version for bound in requirement.specifier if bound.operator == ">="]
            found[requirement.name] = least[0] if least else "0"
    return found


def check_imports(findings: Findings) -> None:
    """Import what has compiled parts."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except Exception as error:  # a broken library can raise anything
            findings.problems.append(f"{name} cannot be imported: {_one_line(error)}")


def check_devices(findings: Findings) -> None:
    """Look for processors, their threads and their number formats."""
    import torch

    from cellscope.engine.device import available_cpus, has_fast_bfloat16, pick_device

    cpu = torch.device("cpu")
    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    findings.facts["devices"] = {
        "auto": str(pick_device("auto")),
        "cpu": platform.processor() or platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cpu_fast_bfloat16": has_fast_bfloat16(cpu),
        "cpus": available_cpus(),
        "threads": torch.get_num_threads(),
        "cuda": cuda,
        "cuda_version": torch.version.cuda,
        "mps": torch.backends.mps.is_available(),
    }
    if not has_fast_bfloat16(cpu):
        findings.notes.append("this CPU has no bfloat16 units: --precision bf16 would be slow on it; auto takes 32")
    if shutil.which("nvidia-smi") and not cuda:
        findings.notes.append(
            "an NVIDIA driver is installed, but this PyTorch finds no GPU; see pytorch.org/get-started"
        )


def check_operators(findings: Findings) -> None:
    """Call torchvision's compiled non-maximum suppression: it is missing when torch and torchvision do not match."""
    import torch
    from torchvision.ops import nms

    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 9.0], [20.0, 20.0, 30.0, 30.0]])
    kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
    if kept != [0, 2]:
        findings.problems.append(f"torchvision::nms keeps boxes {kept} instead of [0, 2]; reinstall torchvision")
    findings.facts["operators"] = {"torchvision::nms": "works" if kept == [0, 2] else "wrong"}


def check_models(findings: Findings) -> None:
    """Check the built-in models against their hashes."""
    from cellscope.models.registry import builtin, verify

    models = {}
    for entry in builtin():
        problems = verify(entry)
        findings.problems.extend(problems)
        models[entry.name] = {"sha256": entry.sha256, "bytes": entry.bytes, "ok": not problems}
    if not models:
        findings.problems.append("there are no built-in models in this installation; give your own with -m")
    findings.facts["models"] = models


def check_disk(findings: Findings) -> None:
    """Write a temporary file and look at the free space."""
    folder = Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"cellscope")
    except OSError as error:
        findings.problems.append(f"{folder}: temporary files cannot be written ({error.strerror}); set TMPDIR")
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        findings.problems.append(f"{folder}: only {free / 2**20:.0f} MiB free; set TMPDIR to a folder with more")
    if not os.access(Path.cwd(), os.W_OK):
        findings.notes.append(f"{Path.cwd()}: cannot be written, so the default of -o would fail here; give -o")
    findings.facts["disk"] = {"temporary": str(folder), "free_bytes": free}


def _numbers(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, enough to compare with a lower bound: 2.10.3rc1 -> (2, 10, 3)."""
    numbers = []
    for part in version.split("+")[0].split("."):
        digits = re.match(r"\d+", part)
        if not digits:
            break
        numbers.append(int(digits[0]))
        if digits[0] != part:
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()  # 2.0 is 2
    return tuple(numbers)


def _print(findings: Findings) -> None:
    for section, facts in findings.facts.items():
        typer.echo(section)
        for name, value in facts.items():
            typer.echo(f"  {name:<24} {_show(value)}")
        if not facts:
            typer.echo("  none")
    for note in findings.notes:
        typer.echo(f"note: {note}")
    for problem in findings.problems:
        typer.echo(f"wrong: {problem}")
    if not findings.problems:
        typer.echo("everything works")


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_show(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if value is None:
        return "not there"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
