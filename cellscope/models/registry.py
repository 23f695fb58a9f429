"""The built-in weights: names, files and hashes.

``cellscope/weights/registry.json`` lists them. It may be missing or empty: a source tree before the first release of
weights has none, and everything but the built-in names works.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from cellscope.errors import ModelError, UsageError
from cellscope.models.file import check_purpose, read_card, sha256
from cellscope.options.resolve import nearest

FORMAT = 1
REGISTRY = "registry.json"
SUFFIX = ".safetensors"


@dataclass(frozen=True)
class BuiltIn:
    """One entry of the registry.

    Attributes
    ----------
    name : str
        What ``-m`` takes, for example ``karyotype-detect``.
    file : str
        File name beside the registry.
    assay, part : str
        What the model serves.
    sha256 : str
        Of the whole file.
    bytes : int
        Size of the file.
    default : bool
        Whether it is taken when no model is named for its part.
    """

    name: str
    file: str
    assay: str
    part: str
    sha256: str
    bytes: int
    default: bool

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return weights_folder() / self.file


def weights_folder() -> Path:
    """Return the folder of the built-in weights inside the installed package."""
    return Path(str(resources.files("cellscope"))) / "weights"


def builtin() -> list[BuiltIn]:
    """Return the built-in models in the order of the registry; an empty list when there is no registry.

    ModelError if the registry cannot be read.
    """
    path = weights_folder() / REGISTRY
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    if not text.strip():
        return []
    try:
        content = json.loads(text)
        if content["format"] != FORMAT:
            raise ModelError(f"{path}: registry format {content['format']!r}, this cellscope reads {FORMAT}; reinstall")
        return [BuiltIn(**entry) for entry in content["models"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: the registry of built-in models is damaged; reinstall cellscope") from error


def locate(name_or_path: str) -> Path:
    """Return the file of a built-in name or of a path.

    ModelError with the nearest built-in name if it is neither.
    """
    entry = _entry(name_or_path)
    if entry is not None:
        return entry.path
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    if path.is_dir() and (path / f"model{SUFFIX}").is_file():
        return path / f"model{SUFFIX}"  # the run folder of a training
    if path.suffix or path.name != name_or_path:
        raise ModelError(f"{name_or_path}: no such model file")
    names = [known.name for known in builtin()]
    advice = nearest(name_or_path, names) or (f"; there are {', '.join(names)}" if names else "; there are none yet")
    raise ModelError(f"{name_or_path}: neither a model file nor a built-in model{advice}")


def default_for(assay: str, part: str) -> BuiltIn:
    """Return the built-in model of a part; ModelError if there is none."""
    for entry in builtin():
        if entry.default and (entry.assay, entry.part) == (assay, part):
            return entry
    raise ModelError(
        f"there is no built-in model for the part '{part}' of {assay}; train one with "
        f"`cellscope {assay} train --part {part}` and give it with -m"
    )


def verify(entry: BuiltIn) -> list[str]:
    """Return what is wrong with a built-in model, one sentence each; an empty list when nothing is."""
    path = entry.path
    if not path.is_file():
        return [f"{path}: the file is missing"]
    problems = []
    size = path.stat().st_size
    if size != entry.bytes:
        problems.append(f"{path}: {size} bytes instead of {entry.bytes}")
    try:
        if sha256(path) != entry.sha256:
            problems.append(f"{path}: its SHA-256 is not the one in the registry")
        check_purpose(path, read_card(path), assay=entry.assay, part=entry.part)
    except ModelError as error:
        problems.append(str(error))
    return problems


def choose(assay: str, parts: Sequence[str], given: Sequence[str]) -> dict[str, Path]:
    """Return the model file of every part.

    Parameters
    ----------
    assay : str
    parts : sequence of str
        The parts needed, in the order of the result.
    given : sequence of str
        Model files or built-in names from ``-m``, in any order; the parts come from the files themselves.

    Returns
    -------
    dict of str to Path
        Parts that are not given have the built-in default.

    Raises
    ------
    ModelError
        For a model of another assay or an unknown part, two for one part, a part without any, or a damaged built-in.
    """
    chosen: dict[str, Path] = {}
    for name in given:
        path = locate(name)
        entry = _entry(name)
        if entry is not None:
            _require_intact(entry)
        card = read_card(path)
        check_purpose(path, card, assay=assay)
        if card.part not in parts:
            raise ModelError(f"{path}: this model is the part '{card.part}'; here it can be {' or '.join(parts)}")
        if card.part in chosen:
            raise ModelError(f"{path}: a second model for the part '{card.part}' beside {chosen[card.part]}; give one")
        chosen[card.part] = path
    for part in parts:
        if part not in chosen:
            entry = default_for(assay, part)
            _require_intact(entry)
            chosen[part] = entry.path
    return {part: chosen[part] for part in parts}


def register(path: str | os.PathLike[str], name: str, default: bool = True) -> None:
    """Copy a trained model beside the registry and list it there under `name`, in place of one that had the name.

    A tool for maintainers, used when weights are released.

    Raises
    ------
    UsageError
        If `name` is not lower-case words joined by hyphens.
    ModelError
        If the file is not a sound model file.
    """
    if not name or not all(word.isascii() and word.isalnum() and word.islower() for word in name.split("-")):
        raise UsageError(f"'{name}' is not a model name; use lower-case words joined by hyphens")
    from cellscope.io.write import atomic
    from cellscope.models.file import load_model

    source = Path(path)
    card, _ = load_model(source, assay=read_card(source).assay)
    folder = weights_folder()
    target = folder / f"{name}{SUFFIX}"
    if source.resolve() != target.resolve():
        with atomic(target) as temporary:
            shutil.copyfile(source, temporary)
    entry = BuiltIn(name, target.name, card.assay, card.part, sha256(target), target.stat().st_size, default)
    entries = [asdict(known) for known in builtin() if known.name != name]
    if default:  # a part has one default
        entries = [_demoted(known) if _same_purpose(known, card.assay, card.part) else known for known in entries]
    entries = sorted([*entries, asdict(entry)], key=lambda known: (known["assay"], known["part"], known["name"]))
    with atomic(folder / REGISTRY) as temporary:
        text = json.dumps({"format": FORMAT, "models": entries}, indent=2)
        Path(temporary).write_text(text + "\n", encoding="utf-8")


def _entry(name: str) -> BuiltIn | None:
    return next((entry for entry in builtin() if entry.name == name), None)


def _require_intact(entry: BuiltIn) -> None:
    problems = verify(entry)
    if problems:
        raise ModelError(f"the built-in model {entry.name} is damaged ({problems[0]}); reinstall cellscope")


def _same_purpose(known: Mapping[str, Any], assay: str, part: str) -> bool:
    return (known["assay"], known["part"]) == (assay, part)


def _demoted(known: Mapping[str, Any]) -> dict[str, Any]:
    return {**known, "default": False}
