"""A finished run, opened for corrections: its record, its images and what was found in each."""

from __future__ import annotations

import csv
import io
import json
import threading
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.find import find_assay
from cellscope.engine.predict import journal as journals
from cellscope.engine.predict.again import options_of, read_again
from cellscope.engine.predict.finish import IMAGES_CSV, read_record
from cellscope.engine.predict.journal import Entry
from cellscope.engine.predict.tables import Sheet, SheetReader, printable, read_rows
from cellscope.errors import ModelError, UsageError
from cellscope.io.annotations.geojson import features
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.document import read_json
from cellscope.io.inputs import stem
from cellscope.io.open import MAX_PIXELS
from cellscope.review.protocol import Original, Review, find_review

if TYPE_CHECKING:
    import pandas as pd

    from cellscope.engine.loading import LoadedModels
    from cellscope.io.image import Image
    from cellscope.models.card import ModelCard

GEOJSON = (".geojson", ".geojson.gz")


class PackedSheets(Mapping[str, Sheet]):
    """Image -> its rows, a tenth of the size of their texts one by one."""

    def __init__(self, sheets: Iterable[tuple[str, Sheet]]):
        self._packed = {
            image: zlib.compress(json.dumps([sheet.columns, list(sheet.rows)]).encode(), 1) for image, sheet in sheets
        }

    def __getitem__(self, image: str) -> Sheet:
        """Unpack the rows of an image."""
        return Sheet(*json.loads(zlib.decompress(self._packed[image])))

    def __iter__(self) -> Iterator[str]:
        """Go over the images."""
        return iter(self._packed)

    def __len__(self) -> int:
        """Count the images."""
        return len(self._packed)


class OpenRun:
    """A run that is reviewed. Nothing here writes.

    Parameters
    ----------
    out : Path
        The folder of a finished ``predict``.
    images : Path, optional
        Folder of the images, or the image, if they were moved.

    Attributes
    ----------
    entries : list of Entry
        Every input of the run, in the order of its tables.
    sheets : dict
        Table -> image -> rows, packed: a run may have a million.
    correctable : list of str
        The images that can be corrected, in order.
    reviewable : list of str
        Of these, those that the browser shows: no slides.

    Raises
    ------
    UsageError
        Not a finished run, one of shards that are not merged, or of an assay whose results cannot be reviewed.
    """

    def __init__(self, out: Path, images: Path | None = None):
        if not out.is_dir():
            raise UsageError(f"{out} is not a folder; give the output folder of `predict`")
        record = read_record(out)
        if record is None:
            hint = "merge its shards first" if (out / "shards").is_dir() else "give the output folder of `predict`"
            raise UsageError(f"{out} holds no finished run; {hint}")
        if (out / journals.NAME).exists() or record.get("status") != "complete":
            raise UsageError(f"the run in {out} is not finished; run it again with --skip-existing")
        self.out = out
        self.images = images
        self.record = record
        self.assay: Assay = find_assay(record["assay"])
        self.review: Review = find_review(record["assay"])
        self.entries = self._entries()
        self.sheets = self._sheets()
        self._by_image = {entry.image: entry for entry in self.entries}
        able = [entry for entry in self.entries if self._can(entry)]
        self.correctable = [entry.image for entry in able]
        self.reviewable = [entry.image for entry in able if entry.row["kind"] in self.review.page]
        self.options = SimpleNamespace(**options_of(record))
        self._loading = threading.Lock()

    def _entries(self) -> list[Entry]:
        header, rows = read_rows(self.out / IMAGES_CSV)
        known = {printable(entry["image"]): entry for entry in self.record["inputs"]}
        found = []
        for image, *cells in rows:
            row, about = dict(zip(header[1:], cells, strict=True)), known[image]
            found.append(
                Entry(
                    about["image"], row["status"], row, about["path"], about["outputs"], about["warnings"],
                    scene=about.get("scene"),
                )
            )  # fmt: skip
        return found

    def _sheets(self) -> dict[str, PackedSheets]:
        found = {}
        for table in self.record["columns"]:
            path = self.out / f"{table}.csv"
            if path.is_file():
                reader = SheetReader(path)
                found[table] = PackedSheets((entry.image, reader.read(entry.image)) for entry in self.entries)
                reader.check_end()
        return found

    def _can(self, entry: Entry) -> bool:
        suffixes = self.review.originals.get(entry.row.get("kind", ""))
        return (
            entry.status == "ok"
            and suffixes is not None
            and all((self.out / f"{stem(entry.image)}{suffix}").is_file() for suffix in suffixes)
        )

    def entry(self, image: str) -> Entry:
        """Give what is known of an image."""
        return self._by_image[image]

    @property
    def name(self) -> str:
        """Name the run, so that corrections are not applied to another one of the same folder."""
        return f"{self.record['assay']} {self.record['started']} {self.record['finished']}"

    def original(self, image: str) -> Original:
        """Read what `predict` found in an image.

        Raises
        ------
        InputError
            A file is damaged.
        """
        entry = self._by_image[image]
        artefacts: dict[str, Any] = {}
        kind = entry.row["kind"]
        for suffix in (*self.review.originals[kind], *self.review.beside.get(kind, ())):
            path = self.out / f"{stem(image)}{suffix}"
            if suffix not in self.review.originals[kind] and not path.is_file():
                continue
            if suffix.endswith(GEOJSON):
                artefacts[suffix] = features(path)
            elif suffix.endswith("json"):
                artefacts[suffix] = read_json(path)
            elif suffix.endswith(".tif"):
                artefacts[suffix] = read_label_image(path).values
        tables = {name: frame_of(sheets[image]) for name, sheets in self.sheets.items()}
        rows = tables.pop("objects")
        return Original(image, artefacts, rows, entry.row, tables)

    @cached_property
    def _loaded(self) -> LoadedModels:
        import torch

        from cellscope.engine.loading import load_models

        parts = self.assay.parts if self.review.parts is None else tuple(self.review.parts)
        names = [
            model["path"] if Path(model["path"]).is_file() else model["name"]
            for model in self.record["models"]
            if model["part"] in parts
        ]
        return load_models(replace(self.assay, parts=parts), names, torch.device("cpu"))

    @cached_property
    def _other_cards(self) -> dict[str, ModelCard]:
        """Read what is known of parts that do not run again; nothing where their file is gone."""
        from cellscope.models.file import read_card
        from cellscope.models.registry import locate

        found = {}
        for model in self.record["models"]:
            if self.review.parts is not None and model["part"] not in self.review.parts:
                with suppress(ModelError):
                    path = Path(model["path"])
                    found[model["part"]] = read_card(path if path.is_file() else locate(model["name"]))
        return found

    def loaded(self) -> LoadedModels:
        """Load the models of the run, once: for what a person adds, and for their classes and thresholds."""
        with self._loading:
            return self._loaded

    def subject(self, image: str, assay: Assay, pixels: Image) -> Subject:
        """Make a subject for the stages of `assay`."""
        kind = self._by_image[image].row["kind"]
        subject = Subject(
            image, pixels, kind, self.options, {**self._other_cards, **self.loaded().cards}, assay.state()
        )
        if self.assay.inputs.load is not None and self.review.reads_image:
            self.assay.inputs.load(subject, MAX_PIXELS)
        return subject

    def read_image(self, image: str) -> Image:
        """Read an input again, as `predict` read it.

        Raises
        ------
        InputError
            It is not where it was, or cannot be read.
        """
        entry = self._by_image[image]
        about = {"image": entry.image, "path": entry.path, "scene": entry.scene}
        return read_again(self.record, about, images=self.images)


def frame_of(sheet: Sheet) -> pd.DataFrame:
    """Turn rows of text into a frame with numbers where they are numbers, as a reader of the file would."""
    import pandas as pd

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([sheet.columns, *sheet.rows])
    text.seek(0)
    kept = dict.fromkeys(("class", "kind", "reasons"), str)
    return pd.read_csv(text, dtype=kept, keep_default_na=False, na_values=[""])
