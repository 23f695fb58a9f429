"""An option as a dataclass field: made by :func:`option`, described by :class:`Spec`, validated by :func:`check`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, get_type_hints

from cellscope.errors import UsageError
from cellscope.options.values import Kind, parse_annotation

ENV_PREFIX = "CELLSCOPE_"

T = TypeVar("T")

_KEY = "cellscope.option"
_known: dict[Any, dict[str, Spec]] = {}


@dataclass(frozen=True)
class Option:
    """What is known about one option besides its name, type and default; see :func:`option`."""

    help: str
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    flag: str | None = None
    short: str | None = None
    metavar: str | None = None
    cli: bool = True
    recipe: bool = False
    fallback: Any = None
    tuned: bool = False
    repeat: bool = False


class Spec(NamedTuple):
    """One settable value of an options dataclass, groups flattened."""

    key: str
    """Dotted name."""
    kind: Kind
    default: Any
    option: Option
    panel: str | None = None
    """Heading in ``--help``: the ``panel`` of the class that defines the field."""

    @property
    def flag(self) -> str:
        """The long command-line flag."""
        return self.option.flag or "--" + self.key.replace(".", "-").replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable."""
        return ENV_PREFIX + self.key.replace(".", "_").upper()

    def limits(self) -> str:
        """Return the allowed range or choices in words; empty when there are none."""
        return self.kind.limits(self.option.low, self.option.high, self.option.choices)

    def convert(self, value: Any) -> Any:
        """Convert and validate a value of any source; ValueError says what is wrong with it."""
        return self.kind.convert(value, self.option.low, self.option.high, self.option.choices)


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: Sequence[Any] | None = None,
    flag: str | None = None,
    short: str | None = None,
    metavar: str | None = None,
    cli: bool = True,
    recipe: bool = False,
    tuned: bool = False,
    repeat: bool = False,
) -> Any:
    """Make a dataclass field that is an option.

    Parameters
    ----------
    default : Any
        The default; a list, dict or dataclass instance is copied for each new object.
    help : str
        One or two sentences for ``--help`` and the documentation, with the unit.
    low, high : float, optional
        Inclusive range; for a tuple or list, of each element.
    choices : sequence, optional
        The only values allowed; for a tuple or list, of each element.
    flag : str, optional
        Long flag; by default the name with hyphens.
    short : str, optional
        Short flag such as ``-q``.
    metavar : str, optional
        Stands for the value in ``--help``.
    cli : bool
        Whether a flag is generated. ``--set``, the config file and the environment reach the option in any case.
    recipe : bool
        Whether a recipe may decide (`cellscope.options.recipes`): the field is None until its class has been filled,
        and `default` holds where no recipe says otherwise.
    tuned : bool
        Whether the model file may hold a value of this name, for an option whose default is None.
    repeat : bool
        Of a tuple or list: the flag is given once for each element, whose text may hold commas.

    Returns
    -------
    dataclasses.Field
        Typed as Any so that the field can have the type of its value.
    """
    allowed = None if choices is None else tuple(choices)
    fallback = default if recipe else None
    known = Option(help, low, high, allowed, flag, short, metavar, cli, recipe, fallback, tuned, repeat)
    metadata = {_KEY: known}
    if recipe:
        return dataclasses.field(default=None, metadata=metadata)
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    if dataclasses.is_dataclass(default) and not isinstance(default, type):
        return dataclasses.field(default_factory=lambda: dataclasses.replace(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def specs(cls: Any) -> dict[str, Spec]:
    """Return every settable value of an options dataclass by dotted name, in order of definition.

    TypeError if a field has a type that options cannot have.
    """
    if cls in _known:  # a class never changes, and a run asks many times
        return _known[cls]
    hints = get_type_hints(cls)
    found: dict[str, Spec] = {}
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        annotation = hints[field.name]
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            for key, spec in specs(annotation).items():
                default = getattr(default_of(field), key) if "." not in key else spec.default
                found[f"{field.name}.{key}"] = spec._replace(key=f"{field.name}.{key}", default=default)
            continue
        known = field.metadata.get(_KEY, Option(""))
        kind = parse_annotation(annotation, field.name)
        default = default_of(field)
        if known.recipe:
            default = known.fallback
        found[field.name] = Spec(field.name, kind, default, known, _panel(cls, field.name))
    _known[cls] = found
    return found


def check(instance: Any) -> None:
    """Validate every option of a dataclass instance; call it in ``__post_init__``.

    Raises
    ------
    UsageError
        Naming the field, its value and what is allowed.
    """
    for field in dataclasses.fields(instance):
        spec = specs(type(instance)).get(field.name)
        if spec is None:
            continue  # a group, which checks itself, or a field that is not set from outside
        value = getattr(instance, field.name)
        if value is None and spec.option.recipe:
            continue  # open until the steps of the training are known
        try:
            if spec.convert(value) != value:  # text that resolve would convert; here it would stay text
                raise ValueError(f"{value!r} is not a {spec.kind.name}")
        except ValueError as error:
            raise UsageError(f"{field.name}: {error}") from error


def extended(options: Any, cls: type[T]) -> T:
    """Return the options of a verb as those of another that has more; what it has not keeps its default.

    Parameters
    ----------
    options : instance of a dataclass that `cls` extends
        `cls` itself included.
    cls : type
        The class of the result.
    """
    fields = (field for field in dataclasses.fields(options) if field.init)
    return cls(**{field.name: getattr(options, field.name) for field in fields})


def default_of(field: dataclasses.Field[Any]) -> Any:
    """Return a field's default, a new one if it is made by a factory; TypeError if it has none."""
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    if field.default is dataclasses.MISSING:
        raise TypeError(f"the option '{field.name}' needs a default")
    return field.default


def _panel(cls: type, name: str) -> str | None:
    [*_, owner] = [base for base in cls.__mro__ if name in base.__dict__.get("__dataclass_fields__", ())]
    return owner.__dict__.get("panel")
