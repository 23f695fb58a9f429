"""The model card: the description of a model, stored in its file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from cellscope.errors import ModelError

FORMAT = 1
"""Version of the JSON object in the metadata. Raised when an older cellscope could not read a newer file."""

DESCRIBED = "familiarity."
"""Names of tensors that begin so are no weights: they describe the training images."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is: everything ``predict`` and ``eval`` need besides the tensors, and where it came from.

    Attributes
    ----------
    assay, part : str
        The assay and the part of it this file serves, for example ``karyotype`` and ``detect``.
    arch : str
        Name of the architecture, as ``--arch`` takes it.
    arch_args : dict
        Keyword arguments that rebuild the network.
    classes : tuple of str
        Class names in the order of the network's outputs.
    channels : tuple of str
        Input channel names in the order the network expects.
    normalisation : dict
        How pixel values are scaled before they enter the network.
    pixel_size_um : float or None
        Pixel size in micrometres the network was trained at; None when unknown or irrelevant.
    thresholds : dict of str to float
        Decision thresholds tuned on validation data.
    training : dict
        Training data with licences, and how the model was trained.
    metrics : dict
        Measured quality; undefined values are None, never NaN.
    cellscope_version : str
        Version of cellscope that wrote the file.
    format : int
        Format version of this description.
    familiarity : dict
        How the training images are described, by which `predict` tells images that are unlike them; empty for a model
        without.

    Raises
    ------
    ModelError
        If a field has the wrong type, a name is empty, classes are not unique or a number is not finite.
    """

    assay: str
    part: str
    arch: str
    arch_args: dict[str, Any]
    classes: tuple[str, ...]
    channels: tuple[str, ...]
    normalisation: dict[str, Any]
    pixel_size_um: float | None
    thresholds: dict[str, float]
    training: dict[str, Any]
    metrics: dict[str, Any]
    cellscope_version: str
    format: int = FORMAT
    familiarity: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("assay", "part", "arch", "cellscope_version"):
            if not isinstance(getattr(self, name), str) or not getattr(self, name):
                raise ModelError(f"model card: '{name}' must be a non-empty text, not {_shown(getattr(self, name))}")
        for name in ("classes", "channels"):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item for item in value):
                raise ModelError(f"model card: '{name}' must be a list of non-empty texts, not {_shown(value)}")
            object.__setattr__(self, name, tuple(value))
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ModelError(
                f"model card: 'classes' must be one or more different names, not {_shown(list(self.classes))}"
            )
        for name in ("arch_args", "normalisation", "thresholds", "training", "metrics", "familiarity"):
            if not isinstance(getattr(self, name), dict):
                raise ModelError(
                    f"model card: '{name}' must be an object of named values, not {_shown(getattr(self, name))}"
                )
        if not all(_is_number(value) for value in self.thresholds.values()):
            raise ModelError(f"model card: 'thresholds' must hold finite numbers, not {_shown(self.thresholds)}")
        if self.pixel_size_um is not None and not (_is_number(self.pixel_size_um) and self.pixel_size_um > 0):
            raise ModelError(
                f"model card: 'pixel_size_um' must be a positive number or null, not {_shown(self.pixel_size_um)}"
            )
        if type(self.format) is not int:
            raise ModelError(f"model card: 'format' must be a whole number, not {_shown(self.format)}")

    @classmethod
    def weightless(cls, assay: str, part: str, arch: str, classes: tuple[str, ...], **more: Any) -> ModelCard:
        """Give the card of a built-in method without weights that takes colour images as they are."""
        nothing: dict[str, Any] = {"arch_args": {}, "thresholds": {}, "training": {}, "metrics": {}}
        defaults = {"channels": ("red", "green", "blue"), "normalisation": {"kind": "none"}, "pixel_size_um": None}
        return cls(assay, part, arch, classes=classes, cellscope_version="1", **(nothing | defaults | more))

    def as_dict(self) -> dict[str, Any]:
        """Return the card as a plain dictionary that JSON can hold (tuples become lists)."""
        plain: dict[str, Any] = json.loads(to_json(asdict(self)))
        return plain


def to_json(value: Any) -> str:
    """Return `value` as JSON, always the same for equal values; ValueError or TypeError if JSON cannot hold it."""
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    """JSON form of numpy and torch scalars and arrays and of paths, which find their way into training records."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} {value!r} is neither text, number, list nor object")


@contextlib.contextmanager
def rebuilding(card: ModelCard) -> Iterator[None]:
    """Say in one line that a card's arguments or a file's tensors are not those of the architecture.

    Raises
    ------
    ModelError
        In place of what networks raise: TypeError, KeyError or RuntimeError.
    """
    try:
        yield
    except (TypeError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"the model's tensors do not fit its architecture {card.arch}: {reason}") from error


def _shown(value: Any) -> str:
    """Show a wrong value in a message, which stays one short line whatever it is."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
