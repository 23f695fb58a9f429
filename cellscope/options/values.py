"""The types an option can have: how text and TOML values become them, and how they are shown.

Kept apart from :mod:`cellscope.options.resolve` because it knows nothing of fields, flags or files: a type, a value,
a reason why not.
"""

from __future__ import annotations

import json
import math
import os
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_NAMES = {bool: "flag", int: "whole number", float: "number", str: "text", Path: "path"}


@dataclass(frozen=True)
class Kind:
    """The type of an option's value.

    Attributes
    ----------
    base : type
        bool, int, float, str or Path: of the value, or of each element.
    optional : bool
        Whether None is allowed; in text it is written ``none``.
    container : type or None
        tuple or list for several values, written with commas between them.
    length : int or None
        Number of elements when it is fixed.
    choices : tuple or None
        Values of a ``Literal``.
    """

    base: type
    optional: bool = False
    container: type | None = None
    length: int | None = None
    choices: tuple[Any, ...] | None = None

    @property
    def name(self) -> str:
        """The type in words, for documentation and messages."""
        name = _NAMES[self.base]
        if self.container is not None:
            name = (
                f"{name}s, separated by commas" if self.length is None else f"{self.length} {name}s with commas between"
            )
        return name

    def convert(
        self, value: Any, low: float | None = None, high: float | None = None, choices: tuple[Any, ...] | None = None
    ) -> Any:
        """Return `value` as this type after checking it; ValueError says in words what is wrong and what is allowed."""
        if self.optional and (value is None or (isinstance(value, str) and value.strip().lower() == "none")):
            return None
        if self.container is None:
            return self._one(value, low, high, choices or self.choices)
        if isinstance(value, str):
            value = [part for part in value.split(",") if part.strip()]
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{value!r} is not a list of {_NAMES[self.base]}s")
        if self.length is not None and len(value) != self.length:
            raise ValueError(f"{len(value)} values given, but it takes {self.length}")
        return self.container(self._one(item, low, high, choices or self.choices) for item in value)

    def limits(self, low: float | None, high: float | None, choices: tuple[Any, ...] | None) -> str:
        """Return the allowed range or choices in words; empty when there are none."""
        choices = choices or self.choices
        if choices:
            return ", ".join(str(choice) for choice in choices)
        if low is not None and high is not None:
            return f"{_plain(low)} to {_plain(high)}"
        if low is not None:
            return f"at least {_plain(low)}"
        return "" if high is None else f"at most {_plain(high)}"

    def to_text(self, value: Any) -> str:
        """Return `value` as it would be written on the command line; ``none`` for None."""
        if value is None:
            return "none"
        if isinstance(value, (list, tuple)):
            return ",".join(self.to_text(item) for item in value)
        return str(value).lower() if isinstance(value, bool) else str(value)

    def to_toml(self, value: Any) -> str:
        """Return `value` as a TOML value; None becomes the text ``"none"``, which an optional type reads as None."""
        if isinstance(value, (list, tuple)):
            return "[" + ", ".join(self.to_toml(item) for item in value) + "]"
        if value is None or isinstance(value, (str, os.PathLike)):
            text = "none" if value is None else os.fspath(value)
            return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
        return self.to_text(value) if isinstance(value, bool) else repr(value)

    def _one(self, value: Any, low: float | None, high: float | None, choices: tuple[Any, ...] | None) -> Any:
        result = _scalar(value, self.base)
        if choices is not None and result not in choices:
            raise ValueError(f"{self.to_text(result)!r} is not one of {self.limits(None, None, choices)}")
        if (low is not None and result < low) or (high is not None and result > high):
            raise ValueError(f"{self.to_text(result)} is out of range ({self.limits(low, high, None)})")
        return result


def parse_annotation(annotation: Any, name: str) -> Kind:
    """Return the kind of a field's annotation; TypeError naming the field when options cannot have that type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType) and type(None) in arguments and len(arguments) == 2:
        [inner] = [argument for argument in arguments if argument is not type(None)]
        kind = parse_annotation(inner, name)
        return Kind(kind.base, True, kind.container, kind.length, kind.choices)
    if origin is Literal:
        [base] = {type(argument) for argument in arguments}
        return Kind(base, choices=arguments)
    if origin in (tuple, list) and arguments and _is_uniform(arguments):
        element = parse_annotation(arguments[0], name)
        if element.container is None and not element.optional:
            length = None if origin is list or arguments[-1] is ... else len(arguments)
            return Kind(element.base, container=origin, length=length, choices=element.choices)
    if annotation in _NAMES:
        return Kind(annotation)
    raise TypeError(f"the option '{name}' has the type {annotation}, which options cannot have")


def _is_uniform(arguments: Sequence[Any]) -> bool:
    return all(argument in (arguments[0], ...) for argument in arguments)


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _scalar(value: Any, base: type) -> Any:
    if base is bool:
        word = value.strip().lower() if isinstance(value, str) else value
        if isinstance(word, bool):
            return word
        if isinstance(word, str) and word in _TRUE | _FALSE:
            return word in _TRUE
        raise ValueError(f"{value!r} is neither true nor false")
    if base is Path:
        if isinstance(value, (str, os.PathLike)) and os.fspath(value):
            return Path(value).expanduser()
        raise ValueError(f"{value!r} is not a path")
    if base is str:
        if isinstance(value, str):
            return value
        raise ValueError(f"{value!r} is not text")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and (base is float or isinstance(value, int)):
        number = base(value)
    else:
        try:
            if not isinstance(value, str):
                raise ValueError
            number = base(value.strip())
        except ValueError:
            raise ValueError(f"{value!r} is not a {_NAMES[base]}") from None
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not a finite number")
    return number
