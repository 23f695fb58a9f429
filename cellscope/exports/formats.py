"""The formats of ``cellscope export``: what writes each, what it needs, and where it is put."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.errors import CellscopeError, UsageError

if TYPE_CHECKING:
    from cellscope.exports.results import Results

MARK = "export.json"
"""Says of a folder that it is an export, which ``--overwrite`` may replace."""

Told = Callable[[str], None]
"""Takes a warning."""


@dataclass(frozen=True)
class Format:
    """One of the formats.

    Attributes
    ----------
    ending : str
        Of the default name of what is written.
    needs : tuple of str
        Packages of the extra ``export``.
    outlines : bool
        Only images with outlined objects can be written.
    writer : str
        ``module:function`` of ``function(results, target, told)``.
    """

    ending: str
    needs: tuple[str, ...]
    outlines: bool
    writer: str


FORMATS = {
    "parquet": Format("-parquet", ("pyarrow",), False, "tables:write_parquet"),
    "anndata": Format(".h5ad", ("anndata",), False, "tables:write_anndata"),
    "spatialdata": Format(".spatialdata.zarr", ("spatialdata",), True, "spatial:write_spatialdata"),
    "ome-zarr": Format("-ome-zarr", ("ome_zarr",), True, "ome_zarr_images:write_ome_zarr"),
    "imagej-rois": Format("-imagej-rois", (), True, "rois:write_rois"),
    "labkit": Format("-labkit", (), True, "labkit:write_labkit"),
}


def export(results: Results, to: str, target: Path, *, overwrite: bool, told: Told) -> None:
    """Write a run in another format: all of it, or nothing.

    Parameters
    ----------
    results : Results
    to : str
        One of `FORMATS`.
    target : Path
        File or folder to write.
    overwrite : bool
        Replace an earlier export.
    told : callable
        Takes warnings.

    Raises
    ------
    UsageError
        No such format; a package is missing; the run has no outlines; `target` is there.
    CellscopeError
        `target` cannot be written.
    """
    format = needed(to)
    if format.outlines and not any(image.file(".labels.tif") for image in results):
        raise UsageError(
            f"{results.out} has no outlines (its inputs are crops, sequences or single chromosomes), which "
            f"--to {to} needs; --to parquet and --to anndata take its tables"
        )
    _check_target(target, results.out, overwrite=overwrite)
    module, _, name = format.writer.partition(":")
    write = getattr(importlib.import_module(f"cellscope.exports.{module}"), name)
    temporary = target.with_name(f".cellscope-{secrets.token_hex(8)}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what libraries say to programmers about their next versions
            write(results, temporary, told)
        if temporary.is_dir() and not _is_export(temporary):
            (temporary / MARK).write_text(json.dumps(about(results), indent=2) + "\n", encoding="utf-8")
        _remove(target)
        os.replace(temporary, target)
    except OSError as error:
        raise CellscopeError(f"{target} cannot be written ({error.strerror or error}); choose another place") from error
    finally:
        _remove(temporary)


def needed(to: str) -> Format:
    """Find a format and check that what it needs is installed.

    Raises
    ------
    UsageError
        No such format, or a package is missing.
    """
    from cellscope.options.resolve import nearest

    if to not in FORMATS:
        raise UsageError(f"--to: there is no format {to!r}{nearest(to, FORMATS)}; there are {', '.join(FORMATS)}")
    missing = [name for name in FORMATS[to].needs if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"--to {to} needs {missing[0].replace('_', '-')}: pip install 'cellscope[export]'")
    return FORMATS[to]


def about(results: Results) -> dict[str, Any]:
    """Say where an export comes from: the run, its models and options, and where its images are."""
    record = results.run.record
    kept = ("assay", "command", "version", "started", "finished", "models", "options")
    return {
        "schema": "cellscope.export/1",
        "run": {name: record[name] for name in kept if name in record},
        "corrected": results.corrected,
        "images": {entry["image"]: entry["path"] for entry in record["inputs"]},
    }


def _check_target(target: Path, out: Path, *, overwrite: bool) -> None:
    if target.resolve() == out.resolve() or out.resolve().is_relative_to(target.resolve()):
        raise UsageError(f"{target} holds the run itself; choose another place")
    if not target.exists():
        return
    if not overwrite:
        raise UsageError(f"{target} is already there; --overwrite replaces it")
    if target.is_dir() and not _is_export(target):
        raise UsageError(f"{target} is a folder that no export made; choose another place")


def _is_export(folder: Path) -> bool:
    if (folder / MARK).is_file():
        return True
    try:  # a Zarr store keeps it among its attributes
        attributes = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError):
        return False
    return "cellscope" in attributes


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
