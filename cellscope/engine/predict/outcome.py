"""What becomes of a subject: a result or a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cellscope.engine.subject import Subject


@dataclass(eq=False)
class Done:
    """A subject that is through all stages.

    Attributes
    ----------
    subject
        Without its state.
    result
        What ``conclude`` made of it.
    """

    subject: Subject
    result: Any


@dataclass(eq=False)
class Failure:
    """An input, or a piece of one, of which nothing came.

    Attributes
    ----------
    name, kind, seconds, piece
        As of its `Subject`; the kind is empty where it could not be read.
    error
        Why.
    """

    name: str
    error: Exception
    seconds: float = 0.0
    kind: str = ""
    piece: int | None = None

    @classmethod
    def of(cls, subject: Subject, error: Exception) -> Failure:
        """Say what became of a subject."""
        return cls(subject.name, error, subject.seconds, subject.kind, subject.piece)
