"""What all inputs of a run came to together: ask the assay, write it down, name it in ``run.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from cellscope.engine.assay import Assay, RunSummary
from cellscope.engine.familiarity.together import together
from cellscope.engine.predict.artefacts import write_artefacts
from cellscope.engine.predict.grouping import COLUMN, ungrouped
from cellscope.errors import error_line, show_traceback
from cellscope.io.write import write_csv

if TYPE_CHECKING:
    import pandas as pd

    from cellscope.models.file import ModelCard

KEY = "summary"
"""Its folder in ``run.json``: files, figures and warnings; null for a shard and for an assay without a summary."""


def group_spec(record: Mapping[str, Any]) -> str | None:
    """Return what ``--group-by`` was given to a run."""
    spec: str | None = record.get("options", {}).get("run", {}).get("group_by")
    return spec


class Summariser:
    """Makes and writes the summary of a run whose tables are written.

    Parameters
    ----------
    assay
        The assay; without ``summarise`` nothing is made.
    cards
        Model card per part.
    """

    def __init__(self, assay: Assay, cards: Mapping[str, ModelCard]):
        self.assay = assay
        self.cards = cards

    def __call__(self, folder: Path, record: dict[str, Any], images: pd.DataFrame, objects: pd.DataFrame) -> RunSummary:
        """Write the summary to `folder` and name its files in ``record["summary"]``.

        A summary that fails costs no result: it becomes a warning.
        """
        made = RunSummary()
        if self.assay.summarise is not None:
            options = SimpleNamespace(**record["options"].get(self.assay.name, {}))
            try:
                made = self.assay.summarise(images, objects, options, self.cards)
            except Exception as error:  # the tables of a long run are worth more than what is made from them
                show_traceback(error)
                made = RunSummary(warnings=[f"no summary over all inputs could be made: {error_line(error)}"])
        if group_spec(record) is not None:
            without = ungrouped(dict(zip(images["image"], images[COLUMN], strict=True)))
            if without:
                made.warnings.append(f"--group-by gives no group to {len(without)} inputs, such as {without[0]}")
        made.warnings += together(images)
        for name, frame in made.tables.items():
            write_csv(folder / f"{name}.csv", frame)
        files = [f"{name}.csv" for name in made.tables] + write_artefacts(folder, "", made.artefacts)
        record[KEY] = {"files": files, "figures": list(made.figures), "warnings": list(made.warnings)}
        return made


def summary_files(record: Mapping[str, Any] | None) -> list[str]:
    """Return the files of a run's summary, relative to OUT, from its ``run.json``."""
    return list(((record or {}).get(KEY) or {}).get("files", []))


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove the files of an earlier summary; only names directly in `folder` are taken for such."""
    for name in names:
        if Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
