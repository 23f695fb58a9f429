"""``cellscope karyotype``: the four verbs and `render`. Options only; what they need is imported when one runs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from cellscope.assays.karyotype.config import ImportOptions, PredictOptions, RenderOptions, TrainOptions
from cellscope.assays.karyotype.presets import PRESETS, preset
from cellscope.engine.options import BaseOptions, PrepareOptions, RunOptions
from cellscope.groups import Group
from cellscope.options import with_options
from cellscope.verbs import Dataset, Inputs, Models, Out, Sources, Split, finish, report_inputs, speaking

ASSAY = "karyotype"

Karyotypes = Annotated[
    list[str],
    typer.Argument(
        metavar="KARYOTYPE", help="karyotype.json files, folders of them (searched recursively) and @list.txt."
    ),
]

app = typer.Typer(cls=Group, help="Metaphase chromosomes: find, classify and arrange them into a karyogram.")


def _tuned(arguments: Mapping[str, Any]) -> dict[str, float]:
    """Return what the model files set: the thresholds tuned on validation data."""
    from cellscope.models.registry import thresholds

    return thresholds(ASSAY, arguments["models"] or [])


@app.command("prepare")
@with_options
def prepare(sources: Sources, options: PrepareOptions, out: Out = Path("karyotype-prepare")) -> int:
    """Turn public data sets into a prepared dataset, split by patient or slide.

    SOURCE is a folder in the layout of BioImLab (COCO masks, single chromosomes), Tseng (boxes) or ADIR (class maps).
    """
    from cellscope.assays.karyotype.prepare import prepare as run

    with speaking(options, hush=True):
        code = run(
            sources,
            out,
            format=options.format,
            seed=options.seed,
            splits=options.splits,
            folds=options.folds,
            overwrite=options.overwrite,
        )
    return finish("karyotype prepare", out, code, as_json=options.json)


def _preset(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what --preset sets."""
    return preset(arguments["preset"])


Preset = Annotated[
    Optional[str],  # noqa: UP045  Typer reads it at run time, also on older versions
    typer.Option("--preset", metavar="NAME", help=f"Options by name: {', '.join(PRESETS)}."),
]


@app.command("train")
@partial(with_options, model=_preset)
def train(
    dataset: Dataset,
    options: TrainOptions,
    base: BaseOptions,
    argv: list[str],
    out: Out = Path("karyotype-train"),
    preset: Preset = None,
) -> int:
    """Train the detector or the classifier on a prepared dataset."""
    from cellscope.assays.karyotype.learn import train as run

    with speaking(base, options, hush=True):
        code = run(dataset, out, options, argv=argv)
    return finish("karyotype train", out, code, as_json=base.json)


@app.command("eval")
@partial(with_options, model=_tuned)
def evaluate(
    dataset: Dataset,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("karyotype-eval"),
    models: Models = None,
    split: Split = "test",
) -> int:
    """Measure models on a split of a prepared dataset, with 95 % intervals."""
    from cellscope.assays.karyotype.evaluate import evaluate as measure

    with speaking(run, options, hush=True):
        code = measure(dataset, out, run=run, options=options, models=list(models or []), split=split, argv=argv)
    return finish("karyotype eval", out, code, as_json=run.json)


@app.command("predict")
@partial(with_options, model=_tuned)
def predict(
    inputs: Inputs,
    options: PredictOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("karyotype-predict"),
    models: Models = None,
) -> int:
    """Karyotype metaphase images, or classify images of single chromosomes (--input metaphase|chromosome)."""
    from cellscope.engine.predict import predict as run_assay

    if options.backend == "detectron2":
        from cellscope.assays.karyotype.detectron2.assay import ASSAY as assay
    else:
        from cellscope.assays.karyotype.predict import ASSAY as assay
    with speaking(run, options):
        code = run_assay(assay, inputs, out, run=run, options=options, models=list(models or []), argv=argv)
    counts = report_inputs(out, run)
    return finish("karyotype predict", out, code, as_json=run.json, **counts)


@app.command("import-detectron2")
@with_options
def import_detectron2(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A checkpoint of detectron2: .pth or .pkl.")],
    options: ImportOptions,
    out: Annotated[Path, typer.Option("-o", "--out", metavar="MODEL", help="The model file to write.")] = Path(
        "detectron2.safetensors"
    ),
) -> int:
    """Turn detectron2's PointRend, Mask R-CNN or Faster R-CNN into a model file with the same results."""
    from cellscope.assays.karyotype.detectron2.importing import import_checkpoint

    with speaking(options):
        code = import_checkpoint(file, out, options)
    return finish("karyotype import-detectron2", out, code, as_json=options.json)


@app.command("render")
@with_options
def render(
    inputs: Karyotypes,
    options: RenderOptions,
    run: RunOptions,
    argv: list[str],
    out: Out = Path("karyotype-render"),
    models: Models = None,
) -> int:
    """Draw cells anew from karyotype.json files that a person has changed, in the report's page or by hand."""
    from cellscope.assays.karyotype.render import render as run_render

    with speaking(run, options):
        code = run_render(inputs, out, run=run, options=options, models=list(models or []), argv=argv)
    counts = report_inputs(out, run)
    return finish("karyotype render", out, code, as_json=run.json, **counts)
