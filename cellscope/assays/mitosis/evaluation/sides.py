"""Which classes count as normal and as abnormal when a model is measured on a dataset."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellscope.assays.mitosis.sequences.names import abnormal_classes, normal_class
from cellscope.errors import UsageError
from cellscope.io.prepared import PreparedDataset

if TYPE_CHECKING:
    from cellscope.models.card import ModelCard


@dataclass(frozen=True)
class Sides:
    """Which classes are abnormal, of a model and of the truth.

    Attributes
    ----------
    positive : tuple of int
        Numbers of the model's classes that count as abnormal.
    truth : dict
        Class of the dataset -> the class of the model that it counts as: its own, or for one that the model does not
        know its normal or the first of its abnormal ones.
    """

    positive: tuple[int, ...]
    truth: Mapping[str, int]

    @classmethod
    def of(cls, card: ModelCard, prepared: PreparedDataset, held: Collection[str]) -> Sides:
        """Compare a model's classes with a dataset's.

        Raises
        ------
        UsageError
            Which of the dataset's classes is the normal one is not known, or the model says otherwise.
        """
        classes = card.classes
        counted = abnormal_classes(classes, card.training)
        normal = prepared.info.get("normal") or normal_class(prepared.info["classes"])
        unknown = sorted(set(held) - set(classes))
        if unknown and normal is None:
            raise UsageError(
                f"the model knows {', '.join(classes)}; the dataset also has {', '.join(unknown)}, and does not say "
                "which class is the normal one: prepare it with --normal CLASS"
            )
        if normal in counted:
            raise UsageError(f"the dataset's normal class, {normal}, is one of the model's abnormal classes")
        positive = tuple(n for n, name in enumerate(classes) if name in counted)
        own = next(n for n in range(len(classes)) if n not in positive)
        truth = {name: own if name == normal else positive[0] for name in unknown}
        return cls(positive, {name: n for n, name in enumerate(classes)} | truth)

    @classmethod
    def usual(cls, classes: tuple[str, ...]) -> Sides:
        """Take the first class for the normal one, as `prepare` orders them."""
        return cls(tuple(range(1, len(classes))), {name: n for n, name in enumerate(classes)})
