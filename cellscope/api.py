"""The four verbs as Python functions: the options, results and errors of the commands."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.errors import CellscopeError, UsageError
from cellscope.options.common import BaseOptions, PrepareOptions, RunOptions, ShardOptions
from cellscope.options.fields import specs
from cellscope.options.resolve import nearest, resolve_all

if TYPE_CHECKING:
    import numpy as np

    from cellscope.results import Evaluation, Run

    PathLike = str | os.PathLike[str]
    Images = PathLike | np.ndarray | Sequence[PathLike | np.ndarray] | Mapping[str, np.ndarray]

_ARRAY = "array"
"""What the image of an array is called; several are numbered from 0."""

_NARROWEST = 8
"""Pixels of a row of a movie at least."""


def predict(
    assay: str,
    images: Images,
    out: PathLike | None = None,
    *,
    model: PathLike | Iterable[PathLike] | None = None,
    **options: Any,
) -> Run:
    """Run an assay over images, as ``cellscope ASSAY predict`` does.

    Parameters
    ----------
    assay : str
        ``karyotype``, ``mitosis``, ``nucleus-seg``, ``micronucleus`` or ``histo``.
    images : path, array, or a list of these, or a mapping of names to arrays
        Files and folders as on the command line. Arrays are (H, W) grey or (H, W, 3) RGB, of mitosis also
        (T, H, W) and (T, C, H, W), unsigned integers or floats; the option ``pixel_size`` is their pixel size in
        micrometres. ``image`` in the tables is the name in the mapping, otherwise ``array``, or ``array0``, ``array1``
        and so on, always with the suffix ``.tif``.
    out : path, optional
        The output folder. Without it results are kept in a temporary folder as long as the `Run` exists.
    model : path or str, or a list of these
        Model files or built-in names, one per part; the built-in models when not given.
    **options
        The options of the command by their names in the configuration file: ``pixel_size=0.25``, ``overwrite=True``.
        ``CELLSCOPE_*`` variables hold for those that are not given.

    Returns
    -------
    Run
        Tables and pictures, with ``shard`` those of the part. Inputs that failed are in `Run.failures`.

    Raises
    ------
    UsageError
        Before any work: unknown options, no inputs, results already in `out`.
    CellscopeError
        All inputs failed, or `out` cannot be written.
    """
    from cellscope.results import Run

    function = _function(assay, "predict")
    run, own = _resolve(f"{assay} predict", [RunOptions, _options_of(function)], options)
    name = function(own)
    from cellscope.engine.find import find_assay
    from cellscope.engine.predict.plan import predict as work
    from cellscope.engine.predict.shards import tables_folder

    kept: list[Any] = []
    inputs = _inputs(images, kept)
    if out is None:
        kept.append(tempfile.TemporaryDirectory(prefix="cellscope-"))
        run = dataclasses.replace(run, overwrite=True)
        out = kept[-1].name
    given = [model] if isinstance(model, (str, os.PathLike)) else list(model or [])
    outcome = work(
        find_assay(name), inputs, Path(out), run=run, options=own, models=[os.fspath(one) for one in given],
        argv=_argv(assay, "predict", inputs, options),
    )  # fmt: skip
    failures = outcome.told.get("failures", [])
    if outcome.counts["failed"] and not outcome.counts["ok"] + outcome.counts["skipped"]:
        raise CellscopeError(f"all inputs failed; the first: {failures[0]['error']}")
    return Run(Path(out), kept=kept, tables=tables_folder(Path(out), run.shard_pair))


def prepare(assay: str, sources: PathLike | Iterable[PathLike], out: PathLike, **options: Any) -> Path:
    """Convert annotated images to a prepared dataset, as ``cellscope ASSAY prepare`` does.

    Parameters
    ----------
    assay : str
    sources : path or list of paths
        Folders or files of the source data.
    out : path
        The dataset's folder.
    **options
        As of `predict`.

    Returns
    -------
    Path
        `out`.

    Raises
    ------
    DatasetError, UsageError
        What is wrong with the source, or an option.
    """
    function = _function(assay, "prepare")
    (own,) = _resolve(f"{assay} prepare", [_options_of(function, PrepareOptions)], options)
    listed = [sources] if isinstance(sources, (str, os.PathLike)) else list(sources)
    _done(function(own)([Path(source) for source in listed], Path(out), own), f"{assay} prepare")
    return Path(out)


def train(assay: str, dataset: PathLike, out: PathLike, **options: Any) -> Path:
    """Train a network on a prepared dataset, as ``cellscope ASSAY train`` does.

    Parameters
    ----------
    assay : str
    dataset : path
        From `prepare`.
    out : path
        The training's folder.
    **options
        As of `predict`; ``part``, ``init``, ``steps`` and so on.

    Returns
    -------
    Path
        `out`, which `predict` and `evaluate` take as ``model``.

    Raises
    ------
    DatasetError, ModelError, UsageError
        Before any work.
    CellscopeError
        The training failed.
    """
    function = _function(assay, "train")
    own, _base = _resolve(f"{assay} train", [_options_of(function), BaseOptions], options)
    from cellscope.engine.train.data import say
    from cellscope.engine.train.describe import describe_trained

    work, argv = function(own), _argv(assay, "train", [os.fspath(dataset)], options)
    _done(work(Path(dataset), Path(out), own, argv=argv), f"{assay} train")
    describe_trained(Path(dataset), Path(out), own, say=say)
    return Path(out)


def evaluate(
    assay: str,
    dataset: PathLike,
    out: PathLike,
    *,
    model: PathLike | Iterable[PathLike] | None = None,
    split: str = "test",
    compare: Iterable[PathLike] = (),
    **options: Any,
) -> Evaluation:
    """Evaluate models on a split of a prepared dataset, as ``cellscope ASSAY eval`` does.

    Parameters
    ----------
    assay : str
    dataset : path
        From `prepare`.
    out : path
    model : path or str, or a list of these
        As of `predict`.
    split : str
        ``train``, ``val``, ``test``, ``left-out`` or ``folds``.
    compare : list of paths
        Folders of other evaluations of the same items.
    **options
        As of `predict`.

    Returns
    -------
    Evaluation

    Raises
    ------
    DatasetError, ModelError, UsageError
        Before any work.
    CellscopeError
        No item could be measured.
    """
    from cellscope.results import Evaluation

    function = _function(assay, "eval")
    own, run = _resolve(f"{assay} eval", [_options_of(function), ShardOptions], options)
    given = [model] if isinstance(model, (str, os.PathLike)) else list(model or [])
    code = function(own)(
        Path(dataset), Path(out), run=run, options=own, models=[os.fspath(one) for one in given], split=split,
        argv=_argv(assay, "eval", [os.fspath(dataset)], options), compare=[Path(folder) for folder in compare],
    )  # fmt: skip
    if code not in (0, 3):
        raise CellscopeError(f"{assay} eval failed")
    return Evaluation(Path(out))


def export(
    run: Run | PathLike, to: str, target: PathLike, *, images: PathLike | None = None, overwrite: bool = False
) -> Path:
    """Write a finished run in the files of another program, as ``cellscope export`` does.

    Parameters
    ----------
    run : Run or path
        The run, or its folder.
    to : str
        ``parquet``, ``anndata``, ``spatialdata``, ``ome-zarr``, ``imagej-rois`` or ``labkit``.
    target : path
        File or folder to write.
    images : path, optional
        Folder of the images, if they were moved.
    overwrite : bool
        Replace an earlier export.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    UsageError
        No such format; a package is missing; the run has no outlines; `target` is there.
    CellscopeError
        `target` cannot be written.
    """
    import warnings

    from cellscope.exports.formats import export as write
    from cellscope.exports.results import Results

    out = Path(run) if isinstance(run, (str, os.PathLike)) else run.out
    results = Results(out, None if images is None else Path(images))
    write(results, to, Path(target), overwrite=overwrite, told=lambda text: warnings.warn(text, stacklevel=4))
    return Path(target)


def _function(assay: str, verb: str) -> Callable[..., Any]:
    """Give what an assay's command calls: the same that the command line uses."""
    module = f"cellscope.assays.{assay.replace('-', '_')}"
    try:
        verbs = importlib.import_module(f"{module}.cli").verbs
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.cli".startswith(error.name):
            raise
        import pkgutil

        assays = importlib.import_module("cellscope.assays")
        known = [found.name.replace("_", "-") for found in pkgutil.iter_modules(assays.__path__)]
        raise UsageError(f"no assay is called {assay!r}{nearest(assay, known)}; there are {', '.join(known)}") from None
    function: Callable[..., Any] = verbs.functions[verb]
    return function


def _options_of(function: Callable[..., Any], default: type | None = None) -> Any:
    parameter = inspect.signature(function, eval_str=True).parameters.get("options")
    return default if parameter is None else parameter.annotation


def _resolve(command: str, classes: Sequence[type], options: Mapping[str, Any]) -> list[Any]:
    """Turn keyword arguments into options, each checked as its flag would be."""
    known = [key for cls in classes for key in specs(cls)]
    for key in options:
        if key not in known:
            raise UsageError(f"{command} has no option {key!r}{nearest(key, known)}")
    flags = {key: _plain(value) for key, value in options.items() if value is not None}
    return list(resolve_all(list(classes), flags=flags, sets={}, env=os.environ, config=None))


def _plain(value: Any) -> Any:
    """Give a value as a configuration file could hold it."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value.item() if hasattr(value, "item") else value


def _inputs(images: Images, kept: list[Any]) -> list[str]:
    """Give the arguments of the command; arrays are written to a temporary folder, which is added to `kept`."""
    if isinstance(images, Mapping):
        listed: list[Any] = list(images.values())
        names = [str(name) for name in images]
    elif isinstance(images, (list, tuple)):
        listed, names = list(images), [f"{_ARRAY}{number}" for number in range(len(images))]
    else:
        listed, names = [images], [_ARRAY]
    if not any(hasattr(one, "__array__") for one in listed):
        return [os.fspath(one) for one in listed]
    kept.append(tempfile.TemporaryDirectory(prefix="cellscope-"))
    arguments = []
    for one, name in zip(listed, names, strict=True):
        if not hasattr(one, "__array__"):
            arguments.append(os.fspath(one))
            continue
        path = Path(kept[-1].name) / f"{name}.tif"
        if not path.resolve().is_relative_to(Path(kept[-1].name).resolve()):
            raise UsageError(f"{name!r} cannot be the name of an image")
        _write_array(path, one)
        arguments.append(str(path))
    return arguments


def _write_array(path: Path, array: Any) -> None:
    import numpy as np
    import tifffile

    pixels = np.asarray(array)
    if pixels.ndim == 3 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    colour = pixels.ndim == 3 and pixels.shape[-1] in (3, 4)
    # so narrow a picture is channels, which stand last in no other array: its rows would be taken for frames
    odd = pixels.ndim > 2 and not colour and pixels.shape[-1] < _NARROWEST
    if pixels.ndim not in (2, 3, 4) or odd or pixels.dtype.kind not in "uifb" or not pixels.size:
        raise UsageError(
            f"an image is an array (H, W), (H, W, 3), (T, H, W) or (T, C, H, W) of numbers, not {pixels.shape} of "
            f"{pixels.dtype}"
        )
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.ndim == 2 or colour:
        tifffile.imwrite(path, pixels, photometric="rgb" if colour else "minisblack")
    else:
        axes = "TYX" if pixels.ndim == 3 else "TCYX"
        tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata={"axes": axes})


def _argv(assay: str, verb: str, inputs: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Give what ``run.json`` keeps in place of a command line."""
    return ["cellscope", assay, verb, *inputs, *(f"{key}={value}" for key, value in options.items())]


def _done(code: int, command: str) -> None:
    if code != 0:
        raise CellscopeError(f"{command} failed")
