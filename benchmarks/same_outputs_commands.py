"""The commands of ``same_outputs.py``: every assay, kind of input and verb but `train`, in the order they need."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from same_outputs_inputs import draw_inputs

#: Files that commands read, below the folder of a recording.
INPUTS = "in"
OTSU = ("-m", "otsu")


@dataclass(frozen=True)
class Command:
    """A command of cellscope.

    Attributes
    ----------
    name : str
        What it is called in a recording.
    words : tuple of str
        Its words; paths are relative to the folder of the recording.
    out : str or None
        The folder that it writes to, or completes; None for a command that only prints.
    before : callable, optional
        Makes, in the folder of the recording, what the command reads of the results of those before it.
    """

    name: str
    words: tuple[str, ...]
    out: str | None
    before: Callable[[Path], None] | None = None


def roads() -> dict[str, list[Command]]:
    """Return the commands of each assay; within one they run in order, since some read what others wrote."""
    makers = (_karyotype, _histo, _micronucleus, _nucleus_seg, _mitosis)
    return {maker.__name__.strip("_"): list(maker()) for maker in makers}


def write_inputs(folder: Path) -> None:
    """Write all that the first commands read."""
    draw_inputs(folder / INPUTS)


def _commands(assay: str, place: str) -> Callable[..., Command]:
    """Return a function that makes commands of an assay from verb, name, inputs below the assay's and options."""

    def command(
        verb: str, name: str, inputs: str | list[str], *options: str, before: Callable[[Path], None] | None = None
    ) -> Command:
        listed = [inputs] if isinstance(inputs, str) else inputs
        paths = [one if one.startswith("out/") else f"{INPUTS}/{place}/{one}" for one in listed]
        out = f"out/{place}/{name}"
        return Command(f"{assay} {verb}: {name}", (assay, verb, *paths, "-o", out, *options), out, before)

    return command


def _shards(assay: str, place: str, inputs: str, *options: str) -> Iterator[Command]:
    """Two shards of the same inputs, what `status` says between them, and the tables of both joined."""
    out = f"out/{place}/shards"
    for part in ("1/2", "2/2"):
        words = (assay, "predict", f"{INPUTS}/{place}/{inputs}", "-o", out, "--shard", part, *options)
        yield Command(f"{assay} predict: shard {part}", words, out)
        yield Command(f"status: {assay} after shard {part}", ("status", out, "--json"), None)
    yield Command(f"merge: {assay}", ("merge", out), out)


def _karyotype() -> Iterator[Command]:
    command = _commands("karyotype", "karyotype")
    yield command("prepare", "dataset", "masks", "--splits", "0.4,0.2,0.4", "--folds", "2")
    yield command("prepare", "boxes", "boxes")
    yield command("prepare", "classmaps", "classmaps", "--seed", "3")
    yield command("prepare", "folders", "folders", "--json")
    yield command("eval", "eval", "out/karyotype/dataset")
    yield command("predict", "mixed", "mixed")
    yield command("predict", "case", "case", "--group-by", "case", "--karyogram", "svg", "--ideograms")
    options = ("--explain", "--karyogram", "pdf", "--no-assignment", "--score-threshold", "0.4", "--polarity", "bright")
    yield command("predict", "real", "metaphase.tif", *options, "--json")
    yield command("predict", "single", "mixed/single", "--input", "chromosome", "--review-below", "0.95")
    yield command("render", "edited", "out/karyotype/edits", "--images", f"{INPUTS}/karyotype/case", before=_edit)
    yield from _shards("karyotype", "karyotype", "mixed", "--glob", "*/*")


def _edit(folder: Path) -> None:
    """Change two cells as a person does: a class, a turn, a removal, two joined."""
    written = sorted((folder / "out/karyotype/case").glob("*.karyotype.json"))
    for number, path in enumerate(written[:2]):
        document = json.loads(path.read_text("utf-8"))
        labels = [entry["label"] for entry in document["chromosomes"]]
        document["edits"] = [
            {"do": "class", "label": labels[0], "class": "X"},
            {"do": "flip", "label": labels[1]},
            {"do": "remove", "label": labels[2]},
            {"do": "join", "labels": [labels[3], labels[4]], "class": "7"},
        ][number:]
        out = folder / "out/karyotype/edits" / path.name
        out.parent.mkdir(exist_ok=True)
        out.write_text(json.dumps(document), "utf-8")


def _histo() -> Iterator[Command]:
    command = _commands("histo", "histo")
    yield command("prepare", "dataset", "typed", "--splits", "0.4,0.2,0.4")
    yield command("prepare", "untyped", "untyped", "--pixel-size", "0.5", "--folds", "3")
    yield command("eval", "eval", "out/histo/dataset")
    yield command("eval", "eval-otsu", "out/histo/untyped", *OTSU, "--split", "train")
    yield command("predict", "mixed", "mixed", "--group-by", "folder", "--pixel-size", "0.25")
    yield command("predict", "otsu", "mixed", *OTSU, "--limit", "3")
    options = ("--set", "block=128", "--check-grid", "--views", "1", "--no-tissue")
    yield command("predict", "slide", "slide.tif", *options)
    options = ("--roi", f"{INPUTS}/histo/region.geojson", "--no-labels", "--set", "block=128")
    yield command("predict", "region", "slide.tif", *OTSU, *options)
    yield command("predict", "large", "large.png", "--set", "block=96", "--num-workers", "2", "--review-below", "0.7")
    yield from _shards("histo", "histo", "mixed", *OTSU)


def _micronucleus() -> Iterator[Command]:
    command = _commands("micronucleus", "micronucleus")
    yield command("prepare", "dataset", "masks", "--splits", "0.4,0.2,0.4", "--crop-size", "96")
    yield command("prepare", "crops", "crops", "--splits", "0.4,0.2,0.4", "--folds", "2", "--recipe", "paper")
    yield command("eval", "eval", "out/micronucleus/dataset")
    yield command("eval", "eval-crops", "out/micronucleus/crops", "--split", "val", "--threshold", "0.6")
    yield command("predict", "mixed", "mixed")
    yield command("predict", "fields", "fields", "--group-by", "folder")
    options = ("--nuclei", f"{INPUTS}/micronucleus/nuclei", "--specificity", "0.99", "--keep-border", "--gallery", "2")
    yield command("predict", "nuclei", "fields", *options)
    options = ("--corrections", "out/micronucleus/corrections.csv", "--group-by", "folder", "--input", "field")
    yield command("predict", "corrected", "fields", *options, before=_correct)
    table = ("--images", f"{INPUTS}/micronucleus/fields", "--nuclei", "out/micronucleus/fields")
    yield command("prepare", "corrected-cells", "out/micronucleus/corrections.csv", *table)
    yield command("dose", "curve", "calibration.csv")
    yield command("dose", "dose", "out/micronucleus/curve/curve.json", "--cells", "500", "--micronuclei", "25")
    counts = ("--counts", "out/micronucleus/fields", "--model", "linear")
    yield command("dose", "doses", "calibration.csv", *counts)
    yield from _shards("micronucleus", "micronucleus", "fields")


def _correct(folder: Path) -> None:
    """Turn the calls of the first two cells of each field, as the review gallery saves it."""
    columns = ("image", "centroid-0", "centroid-1", "class")
    with (folder / "out/micronucleus/fields/objects.csv").open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["label"] in ("1", "2")]
    with (folder / "out/micronucleus/corrections.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, extrasaction="ignore")
        table.writeheader()
        for row in rows:
            table.writerow(row | {"class": "normal" if row["class"] == "micronucleus" else "micronucleus"})


def _nucleus_seg() -> Iterator[Command]:
    command = _commands("nucleus-seg", "nucleus_seg")
    yield command("prepare", "dataset", "pairs", "--splits", "0.4,0.2,0.4", "--folds", "3")
    yield command("prepare", "held-out", "pairs", "--hold-out", "pairs-dataset2")
    yield command("eval", "eval-otsu", "out/nucleus_seg/dataset", *OTSU)
    yield command("eval", "eval", "out/nucleus_seg/dataset", "--compare", "out/nucleus_seg/eval-otsu")
    yield command("predict", "mixed", "mixed", "--group-by", r"(day\d)")
    yield command("predict", "otsu", "mixed", *OTSU)
    yield command("predict", "smear", "smear.png", "--check-grid", "--pixel-size", "0.2", "--set", "scales=2")
    yield command("predict", "again", "mixed", "--limit", "2")
    words = ("nucleus-seg", "predict", f"{INPUTS}/nucleus_seg/mixed", "-o", "out/nucleus_seg/again", "--skip-existing")
    yield Command("nucleus-seg predict: again, the rest", words, "out/nucleus_seg/again")
    yield from _shards("nucleus-seg", "nucleus_seg", "mixed", "--nucleus-diameter", "28", "--num-workers", "2")


def _mitosis() -> Iterator[Command]:
    command = _commands("mitosis", "mitosis")
    yield command("prepare", "dataset", "classes", "--folds", "3")
    yield command("eval", "eval", "out/mitosis/dataset")
    yield command("predict", "mixed", "mixed", "--group-by", "folder")
    yield command("predict", "sampled", "mixed/day0", "--frames", "sample", "--threshold", "0.3", "--json")
    for name in ("events.csv", "tracks.xml", "01_GT/TRA"):
        options = ("--events", f"{INPUTS}/mitosis/events/{name}", "--input", "movie", "--window", "48")
        yield command("predict", f"movie-{Path(name).stem}", "movie.tif", *options)
    yield from _shards("mitosis", "mitosis", "mixed")
