"""What a run or an evaluation left in its folder, as tables and pictures."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from cellscope.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    PathLike = str | os.PathLike[str]

_TEXT = dict.fromkeys(("image", "class", "error", "status", "kind", "group"), str)
_SHOWN = 3
"""Pictures that a notebook shows of a run."""


def open(folder: PathLike) -> Run:
    """Open the folder of a finished run.

    Raises
    ------
    UsageError
        It is none.
    """
    return Run(Path(folder))


class _Folder:
    """Results in a folder: the record, and its tables."""

    record_name = ""

    def __init__(self, out: Path, *, kept: list[Any] | None = None, tables: Path | None = None):
        self.out = Path(out)
        self._folder = Path(tables or out)  # of the record and the tables: of a shard not that of the pictures
        self._kept = kept or []  # temporary folders that live as long as this
        self._tables: dict[str, Any] = {}
        try:
            self.record: dict[str, Any] = json.loads((self._folder / self.record_name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(
                f"{self._folder}: there is no {self.record_name}; is this the folder of finished results?"
            ) from None
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._folder / self.record_name} cannot be read: {error}") from None

    def table(self, name: str) -> pd.DataFrame:
        """Read ``<name>.csv`` of the folder; only empty cells are undefined.

        Raises
        ------
        UsageError
            There is none; the message lists those that are.
        """
        import pandas as pd

        if name not in self._tables:
            path = self._folder / f"{name}.csv"
            if not path.is_file():
                there = ", ".join(sorted(found.stem for found in self._folder.glob("*.csv")))
                raise UsageError(f"{self._folder} has no table {name!r}; there are {there}")
            self._tables[name] = pd.read_csv(path, dtype=_TEXT, keep_default_na=False, na_values=[""])
        found: pd.DataFrame = self._tables[name].copy()
        return found


class Run(_Folder):
    """A finished run of ``predict``.

    Attributes
    ----------
    out : Path
        Its folder, with the files that [Outputs](outputs.md) describes.
    record : dict
        ``run.json``: models, options, versions, warnings of every input.
    """

    record_name = "run.json"

    @property
    def images(self) -> pd.DataFrame:
        """``images.csv``: a row per input, those that failed too."""
        return self.table("images")

    @property
    def objects(self) -> pd.DataFrame:
        """``objects.csv``: a row per object over all inputs."""
        return self.table("objects")

    @property
    def failures(self) -> dict[str, str]:
        """Inputs that failed: ``image`` -> why."""
        return {one["image"]: one["error"] for one in self.record["inputs"] if one["status"] == "failed"}

    @property
    def warnings(self) -> dict[str, list[str]]:
        """``image`` -> what is doubtful about its results; images without a warning are left out."""
        return {one["image"]: one["warnings"] for one in self.record["inputs"] if one["warnings"]}

    def labels(self, image: int | str = 0) -> np.ndarray:
        """Give the label image: (H, W) uint16 or uint32, 0 is background.

        Parameters
        ----------
        image : int or str
            Its row in `images`, or its name.

        Raises
        ------
        UsageError
            No such image, or it has no label image.
        """
        import tifffile

        found: np.ndarray = tifffile.imread(self.file(image, ".labels.tif"))
        return found

    def overlay(self, image: int | str = 0) -> np.ndarray:
        """Give the picture with what was found drawn in: (h, w, 3) uint8. Parameters and errors as of `labels`."""
        return self._picture(image, ".overlay.png")

    def karyogram(self, image: int | str = 0) -> np.ndarray:
        """Give the karyogram of a metaphase: (h, w, 3) uint8. Parameters and errors as of `labels`."""
        return self._picture(image, ".karyogram.png")

    def filmstrip(self, image: int | str = 0) -> np.ndarray:
        """Give the frames of a cell division: (h, w, 3) uint8. Parameters and errors as of `labels`."""
        return self._picture(image, ".filmstrip.png")

    def file(self, image: int | str, suffix: str) -> Path:
        """Find an output file of an image by the end of its name, such as ``.geojson``; errors as of `labels`."""
        entry = self._entry(image)
        name = next((name for name in entry["outputs"] if name.endswith(suffix)), None)
        if name is None:
            kinds = ", ".join(PurePosixPath(output).name for output in entry["outputs"]) or "no files"
            raise UsageError(f"{entry['image']} has no *{suffix}; it has {kinds}")
        return self.out / str(name)

    def _entry(self, image: int | str) -> dict[str, Any]:
        entries: list[dict[str, Any]] = self.record["inputs"]
        if isinstance(image, str):
            found = next((one for one in entries if one["image"] == image), None)
        else:
            found = entries[image] if -len(entries) <= image < len(entries) else None
        if found is None:
            raise UsageError(
                f"{self.out} has no image {image!r}; it has {len(entries)}, such as {entries[0]['image']!r}"
            )
        return found

    def _picture(self, image: int | str, suffix: str) -> np.ndarray:
        import numpy as np
        from PIL import Image

        with Image.open(self.file(image, suffix)) as picture:
            return np.asarray(picture.convert("RGB"))

    def __len__(self) -> int:
        """Count the inputs."""
        return len(self.record["inputs"])

    def __repr__(self) -> str:
        """Say what the run is in one line."""
        what = f"{self.record['assay']} {self.record['command']}"
        return f"<{what}: {len(self)} images, {self.record['counts']['objects']} objects, {self.out}>"

    def _repr_html_(self) -> str:
        """Show the table of images and the first pictures in a notebook."""
        parts = [f"<p>{html.escape(repr(self))}</p>", self.images.head(20).to_html(index=False)]
        endings = [suffix for suffixes in self.record.get("figures", {}).values() for suffix in suffixes]
        shown = [
            (entry["image"], name)
            for entry in self.record["inputs"]
            for name in entry["outputs"]
            if any(name.endswith(suffix) for suffix in endings)
        ][:_SHOWN]
        parts += [_figure(self.out / name, image) for image, name in shown]
        return "\n".join(parts)


def _figure(path: Path, caption: str) -> str:
    """Give a picture, at most 1200 pixels wide, as HTML that needs no file."""
    import base64
    import io

    from PIL import Image

    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((1200, 1200))
        held = io.BytesIO()
        small.save(held, "PNG")
    data = base64.b64encode(held.getvalue()).decode()
    text = html.escape(caption)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


class Evaluation(_Folder):
    """A finished evaluation.

    Attributes
    ----------
    out : Path
        Its folder.
    record : dict
        ``eval.json``.
    """

    record_name = "eval.json"

    @property
    def metrics(self) -> pd.DataFrame:
        """The metrics: ``value``, its 95 % interval ``low`` and ``high``, ``n``, ``convention``; by name."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.record["metrics"]["overall"], orient="index")

    @property
    def per_image(self) -> pd.DataFrame:
        """``per_image.csv``: a row per item."""
        return self.table("per_image")

    def __repr__(self) -> str:
        """Say what was evaluated in one line."""
        return f"<{self.record['assay']} eval: {self.record['n']} items of {self.record['split']}, {self.out}>"

    def _repr_html_(self) -> str:
        """Show the metrics in a notebook."""
        return f"<p>{html.escape(repr(self))}</p>" + self.metrics.to_html()
