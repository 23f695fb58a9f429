"""``measure``: objects that a person or another program outlined, measured as `predict` measures its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cellscope.engine.assay import Assay, Subject
from cellscope.engine.predict.plan import predict
from cellscope.engine.predict.read import plan_inputs
from cellscope.errors import InputError, UsageError
from cellscope.io.annotations.given import Given, find_given, read_given
from cellscope.io.annotations.tally import Tally, gathering
from cellscope.io.text import one_line

if TYPE_CHECKING:
    from cellscope.engine.predict.session import RunOutcome
    from cellscope.models.card import ModelCard
    from cellscope.options.common import RunOptions

GIVEN = "outlines"
"""What stands in place of a model's name: the outlines were given."""

Partners = Mapping[str, "tuple[Path, list[Path]]"]
"""``image`` -> the file with its objects, and others that belong to it too."""


def measure(
    assay: Assay,
    make: Callable[[Partners, Path], Assay],
    source: Path,
    arguments: list[str],
    out: Path,
    *,
    run: RunOptions,
    options: Any,
    argv: list[str],
) -> RunOutcome:
    """Measure given objects and write what ``predict`` writes.

    Parameters
    ----------
    assay
        Says which inputs there are.
    make
        ``make(partners, source)`` -> the assay that measures; it reads the objects of an image with `load`.
    source
        A file with the objects of one image, or a folder of such files.
    arguments
        Images, folders, ``@list.txt``.
    out, run, options, argv
        As of `cellscope.engine.predict.plan.predict`.

    Raises
    ------
    UsageError
        No inputs, or one file for several images.
    """
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder of outlines")
    plan = plan_inputs(assay, arguments, out, run, options)
    partners = {}
    for entry in plan:
        try:
            partners[entry.image] = find_given(source, entry.image, entry.path)
        except InputError:
            continue  # said when its turn comes
    used = {found.resolve() for found, _ in partners.values()}
    used |= {other.resolve() for _, others in partners.values() for other in others}
    plan = [entry for entry in plan if entry.path.resolve() not in used]
    if source.is_file() and len(plan) > 1:
        raise UsageError(
            f"{source} holds the objects of one image, but there are {len(plan)} inputs; give the folder of their files"
        )
    if not plan:
        raise UsageError("no inputs: all files found are outlines of others")
    return predict(
        make(partners, source), arguments, out, run=run, options=options, models=[GIVEN], argv=argv, plan=plan,
        command="measure",
    )  # fmt: skip


def load_given(partners: Partners, source: Path, subject: Subject, *, binary: str) -> tuple[Given, list[str]]:
    """Read the objects of an image in a reading thread.

    Returns
    -------
    given : Given
    notes : list of str
        What was left out or doubted, one line each.

    Raises
    ------
    InputError
        There are none for this image, they cannot be read, or do not fit it.
    """
    path, others = partners.get(subject.name) or find_given(source, subject.name, Path(subject.name))
    tally = Tally()
    with gathering(tally):
        given = read_given(path, Path(subject.name), (subject.image.height, subject.image.width), binary=binary)
    names = ", ".join(one_line(other.name) for other in others)
    notes = [f"{one_line(path.name)} was measured, not {names}, which belongs to the image too"] if others else []
    return given, notes + [line.removeprefix("warning: ") for line in tally.lines()[1:] if "no object" not in line]


def no_network(_card: ModelCard, _tensors: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Build nothing: the outlines are there."""
    return torch.nn.Identity()
