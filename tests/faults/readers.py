"""Everything that reads a file of somebody else: by name, how a good file is made and how it is read."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Attributes
    ----------
    make : callable
        Folder -> the files to damage; it writes them and what lies beside them.
    read : callable
        Takes the damaged file and its folder.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path, Path], Any]


def one(write: Callable[[Path], Any], name: str) -> Callable[[Path], list[Path]]:
    """Make a single file."""

    def make(folder: Path) -> list[Path]:
        write(folder / name)
        return [folder / name]

    return make


# ---- images, slides, movies


def make_images(folder: Path) -> list[Path]:
    from drawn import formats
    from drawn.spoilt import GOOD

    for name, data in GOOD.items():
        (folder / name).write_bytes(data)
    stack = formats.stack()
    for write, name in (
        (formats.write_ome, "a.ome.tif"), (formats.write_imagej, "imagej.tif"), (formats.write_stk, "a.stk"),
    ):  # fmt: skip
        write(folder / name, stack)
    formats.write_lif(folder / "a.lif", {"one": stack})
    formats.write_jpeg2000(folder / "a.jp2", stack[0, 0, 0])
    return sorted(folder.iterdir())


def read_image(path: Path, _: Path) -> None:
    from cellscope.errors import InputError
    from cellscope.io.choice import Choice
    from cellscope.io.read import describe, read

    with contextlib.suppress(InputError):
        describe(path)
    read(path, choice=Choice(channel="0") if path.name in ("a.ome.tif", "imagej.tif", "a.lif") else Choice())


def make_slides(folder: Path) -> list[Path]:
    from drawn.scanners import write_ndpi
    from drawn.slides import draw_slide, write_pyramid

    image = draw_slide(1, 128, 10, 8)
    write_pyramid(folder / "a.tif", image, tile=32)
    write_pyramid(folder / "b.ome.tif", image, tile=32, ome=True, compression="jpeg")
    write_pyramid(folder / "c.tif", image, tile=32, compression=None)
    write_ndpi(folder / "d.ndpi", image[:128, :128])
    return sorted(folder.iterdir())


def read_slide(path: Path, _: Path) -> None:
    from cellscope.io.wsi import open_slide

    slide = open_slide(path)
    if slide is not None:
        slide.thumbnail(256)
        with_reader = slide.open()
        try:
            with_reader.read(0, 10, 10, 60, 60)
        finally:
            with_reader.close()


def make_movies(folder: Path) -> list[Path]:
    import tifffile
    from drawn.formats import stack, write_ome

    planes = stack(4, 1, 1)
    tifffile.imwrite(folder / "a.tif", planes[:, 0, 0], photometric="minisblack")
    write_ome(folder / "b.ome.tif", stack(4, 2, 1))
    return sorted(folder.iterdir())


def read_movie(path: Path, _: Path) -> None:
    from cellscope.io.choice import Choice
    from cellscope.io.movie import open_movie

    movie = open_movie(path, choice=Choice(channel="0") if path.name == "b.ome.tif" else Choice())
    for _ in movie.iterate():
        pass


# ---- annotations


def annotated(write: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        from faults.annotated import write as write_annotation

        return write_annotation(write, folder)

    return make


def prepare_nuclei(_: Path, folder: Path) -> None:
    from cellscope.assays.nucleus_seg.datasets.prepare import prepare
    from cellscope.assays.nucleus_seg.options import NucleusPrepareOptions

    with out_of(folder) as out:
        prepare([folder], out, NucleusPrepareOptions())


def prepare_histo(_: Path, folder: Path) -> None:
    from cellscope.assays.histo.datasets.prepare import prepare
    from cellscope.assays.histo.options import HistoPrepareOptions

    with out_of(folder) as out:
        prepare([folder], out, HistoPrepareOptions())


def prepare_karyotype(_: Path, folder: Path) -> None:
    from cellscope.assays.karyotype.datasets.prepare import prepare
    from cellscope.options.common import PrepareOptions

    with out_of(folder) as out:
        prepare([folder], out, PrepareOptions())


class out_of:
    """A folder for results beside the folder that is read, removed at the end."""

    def __init__(self, folder: Path):
        self.path = folder.with_name("out")

    def __enter__(self) -> Path:
        shutil.rmtree(self.path, ignore_errors=True)
        return self.path

    def __exit__(self, *_: Any) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def make_mat(folder: Path) -> list[Path]:
    from drawn.histo import tissue
    from scipy.io import savemat

    from cellscope.io.write import write_png

    (folder / "Images").mkdir()
    (folder / "Labels").mkdir()
    image, labels, _ = tissue(0, 96, 8)
    write_png(folder / "Images/a.png", image)
    types = [[1.0 + number % 7] for number in range(int(labels.max()))]
    savemat(folder / "Labels/a.mat", {"inst_map": labels.astype(float), "inst_type": types})
    return [folder / "Labels/a.mat"]


def make_regions(folder: Path) -> list[Path]:
    ring = [[10, 10], [80, 10], [80, 90], [10, 90], [10, 10]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring, ring[:4]]},
               "properties": {"name": "a", "classification": {"name": "Tumor"}}}  # fmt: skip
    text = json.dumps({"type": "FeatureCollection", "features": [feature, feature]})
    (folder / "a.geojson").write_text(text)
    (folder / "a.geojson.gz").write_bytes(gzip.compress(text.encode()))
    return sorted(folder.iterdir())


def use_regions(path: Path, _: Path) -> None:
    import numpy as np

    from cellscope.io.regions import read_regions

    read_regions.cache_clear()
    regions = read_regions(path)
    regions.mask((60, 70), 0.5)
    regions.area((100, 120))
    regions.contains(np.arange(5.0), np.arange(5.0))


# ---- tables of movies and options


def make_events(folder: Path) -> list[Path]:
    from drawn.mitosis import write_event_tables

    csv, xml, challenge = write_event_tables(folder, [(3, 20, 20), (5, 30, 40)], (60, 60))
    return [csv, xml, challenge / "man_track.txt", *sorted(challenge.glob("*.tif"))]


def use_events(path: Path, folder: Path) -> None:
    from cellscope.errors import CellscopeError
    from cellscope.io.tracks import check_events, events_of, read_events

    events = read_events(path if path.suffix != ".tif" else path.parent)
    found, _ = events_of(events, folder / "movie.tif", "events.csv")
    try:
        check_events(found, (8, 60, 60), "events.csv")
    except CellscopeError:
        return


def make_tables(folder: Path) -> list[Path]:
    (folder / "a.csv").write_text("id,split,group\na,train,g1\nb,val,g2\nc,test,g3\n")
    (folder / "config.toml").write_text('seed = 1\n[train]\nsteps = 10\nlearning_rate = 0.1\narch = "x"\n')
    return [folder / "a.csv", folder / "config.toml"]


def use_table(path: Path, _: Path) -> None:
    from cellscope.io.splits import Item, fixed_by
    from cellscope.options.resolve import read_config

    if path.suffix == ".toml":
        read_config(path)
    else:
        fixed_by([Item(name, f"g{n}", f"{name}.png") for n, name in enumerate("abc", 1)], path)


# ---- models, checkpoints, datasets


def make_model(folder: Path) -> list[Path]:
    import torch
    from fake_assay import write_models

    written = write_models(folder)
    torch.save({"global_step": 3, "state_dict": {"a": torch.zeros(3)}}, folder / "last.ckpt")
    torch.save({"model": {"a": torch.zeros(3)}}, folder / "foreign.pth")
    return [*map(Path, written), folder / "last.ckpt", folder / "foreign.pth"]


def use_model(path: Path, _: Path) -> None:
    from cellscope.engine.train.folder import bring_best_back, find_resume, steps_taken
    from cellscope.models.file import load_model
    from cellscope.models.foreign import read_checkpoint

    if path.suffix == ".ckpt":
        resume = find_resume(path.parent, str(path))
        assert resume is not None
        steps_taken(resume)
        bring_best_back(path.parent, resume)
    elif path.suffix == ".pth":
        read_checkpoint(path)
    else:
        load_model(path, assay="fake")


def make_dataset(folder: Path) -> list[Path]:
    from drawn.nucleus_seg import write_wbc

    from cellscope.assays.nucleus_seg.datasets.prepare import prepare
    from cellscope.assays.nucleus_seg.options import NucleusPrepareOptions

    write_wbc(folder / "source", 4, 0)
    prepare([folder / "source"], folder / "dataset", NucleusPrepareOptions(splits=(0.5, 0.25, 0.25), folds=2))
    return [folder / "dataset/items.csv", folder / "dataset/dataset.json"]


def use_dataset(path: Path, _: Path) -> None:
    from cellscope.errors import DatasetError, UsageError
    from cellscope.io.leave_out import each_of
    from cellscope.io.prepared import PreparedDataset

    dataset = PreparedDataset.open(path.parent, assay="nucleus-seg")
    with contextlib.suppress(UsageError):  # one source alone
        each_of(dataset.items, "source")
    with contextlib.suppress(DatasetError):  # one group alone
        dataset.folded(1)
    for split in ("train", "val", "test", "all"):
        try:
            dataset.splits(split)
        except DatasetError:
            continue


# ---- what a run leaves


def make_run(folder: Path) -> list[Path]:
    from faults.runs import run_fake

    return run_fake(folder)


def use_run(path: Path, folder: Path) -> None:
    from faults.runs import continue_fake

    continue_fake(path, folder)


def make_karyotype(folder: Path) -> list[Path]:
    from drawn.karyotype import metaphase
    from drawn.named_cells import named

    from cellscope.assays.karyotype.cell.document import as_karyotype
    from cellscope.io.write import write_json

    document = as_karyotype(named(metaphase(1)), "a.png")
    document["edits"] = [
        {"do": "class", "label": 1, "class": "3"},
        {"do": "join", "labels": [2, 3]},
        {"do": "split", "label": 4, "line": [[0, 0], [500, 400]], "classes": ["1", "2"]},
    ]
    write_json(folder / "a.karyotype.json", document)
    return [folder / "a.karyotype.json"]


def use_karyotype(path: Path, _: Path) -> None:
    from cellscope.assays.karyotype.cell.document import read_karyotype
    from cellscope.assays.karyotype.editing.edits import apply_edits
    from cellscope.errors import CellscopeError, UsageError
    from cellscope.io.document import read_json

    document = read_json(path)
    if not isinstance(document, dict):  # as `render` refuses it
        raise UsageError("no karyotype.json")
    document.pop("edits" if path.stat().st_mtime_ns % 2 else "", None)
    try:
        document = apply_edits(document)
    except CellscopeError:
        document.pop("edits", None)
    read_karyotype(document, review_below=0.9)


FORMATS = ("geojson", "labelme", "via", "cvat", "aperio", "imagej", "coco-polygons", "coco-runs")

TARGETS: dict[str, Target] = {
    "images": Target(make_images, read_image),
    "slides": Target(make_slides, read_slide),
    "movies": Target(make_movies, read_movie),
    **{name: Target(annotated(name), prepare_nuclei) for name in FORMATS},
    "coco-karyotype": Target(annotated("coco-karyotype"), prepare_karyotype),
    "mat": Target(make_mat, prepare_histo),
    "regions": Target(make_regions, use_regions),
    "events": Target(make_events, use_events),
    "tables": Target(make_tables, use_table),
    "models": Target(make_model, use_model),
    "datasets": Target(make_dataset, use_dataset),
    "runs": Target(make_run, use_run),
    "karyotype-json": Target(make_karyotype, use_karyotype),
}
"""Name -> kind of file."""


def listed(names: str) -> Iterator[str]:
    """Give the names of a comma-separated list; all of them where it is empty."""
    yield from [name for name in names.split(",") if name] or TARGETS
