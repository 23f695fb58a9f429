"""Options as dataclasses: each is described once; command line, config file and documentation follow from that.

A field made with :func:`option` carries its help text, range and choices. :func:`resolve` fills a dataclass from the
places a value can come from, the first that has one winning: flag, environment variable ``CELLSCOPE_<FIELD>``, config
file, default. A field whose type is itself a dataclass is a group; its members have dotted names such as
``optimiser.rate``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from cellscope.errors import UsageError
from cellscope.options.fields import check, default_of, option, specs

__all__ = [
    "Settings",
    "check",
    "describe",
    "nearest",
    "option",
    "parse_set",
    "read_config",
    "resolve",
    "resolve_all",
    "to_toml",
    "with_thresholds",
]

T = TypeVar("T")


class Settings(dict[str, Any]):
    """Values by dotted name that remember where they came from, for error messages."""

    def __init__(self, values: Mapping[str, Any], source: str):
        super().__init__(values)
        self.source = source


def resolve(
    cls: type[T],
    *,
    flags: Mapping[str, Any],
    env: Mapping[str, str] = os.environ,
    config: Mapping[str, Any] | None = None,
) -> T:
    """Make an options object: flag > ``CELLSCOPE_*`` variable > config file > default.

    What recipes and model files set ranks before the default: `cellscope.options.recipes`, `with_thresholds`.

    Parameters
    ----------
    cls : type
        An options dataclass.
    flags : mapping
        The values given on the command line, by dotted name, and no others.
    env : mapping
        Environment variables; an empty one counts as absent.
    config : mapping, optional
        A config file as :func:`read_config` returns it, or nested or dotted names.

    Returns
    -------
    instance of cls

    Raises
    ------
    UsageError
        For an unknown name (the nearest known one is suggested) or a bad value, naming where it was set.
    """
    [instance] = resolve_all([cls], flags=flags, env=env, config=config)
    return instance


def resolve_all(
    classes: Sequence[type],
    *,
    flags: Mapping[str, Any],
    sets: Mapping[str, Any] | None = None,
    env: Mapping[str, str] = os.environ,
    config: Mapping[str, Any] | None = None,
) -> list[Any]:
    """Make several options objects from one command line and one config file; see :func:`resolve`.

    A name that several of `classes` have goes to each of them. `sets` holds what ``--set`` gave: it has the rank of a
    flag, and giving the same option both ways is refused.
    """
    known = [key for cls in classes for key in specs(cls)]
    sets = _flat(sets or {}, "--set", known)
    flags = _flat(flags, "the command line", known)
    settings = _flat(config or {}, "the configuration", known)
    for key in sets:
        if key in flags:
            raise UsageError(f"option '{key}' is given both as a flag and with --set; give it once")
    made = []
    for cls in classes:
        values = {}
        for key, spec in specs(cls).items():
            for source, layer, name in (
                (spec.flag, flags, key),
                (f"--set {key}", sets, key),
                (spec.env, env, spec.env),
                (f"'{key}' in {settings.source}", settings, key),
            ):
                if name not in layer or (layer is env and not env[name].strip()):
                    continue
                try:
                    values[key] = spec.convert(layer[name])
                except ValueError as error:
                    raise UsageError(f"{source}: {error}") from error
                break
        made.append(_build(cls, values))
    return made


def with_thresholds(options: T, thresholds: Sequence[Mapping[str, float]]) -> T:
    """Give tuned options that nobody set what the models were tuned to; the first model that has a value wins.

    Parameters
    ----------
    options : instance of an options dataclass
        Options made with ``tuned=True`` are filled where they are None.
    thresholds : sequence of mapping
        Of each model card: value by name of the option. Other names are passed over.

    Raises
    ------
    UsageError
        A model's value is none that the option can have.
    """
    found: dict[str, Any] = {}
    for key, spec in specs(type(options)).items():
        values = [tuned[key] for tuned in thresholds if key in tuned]
        if spec.option.tuned and getattr(options, key) is None and values:
            try:
                found[key] = spec.convert(values[0])
            except ValueError as error:
                raise UsageError(f"'{key}' of the model: {error}") from error
    return dataclasses.replace(options, **found) if found else options  # type: ignore[type-var]


def read_config(path: str | os.PathLike[str]) -> Settings:
    """Read a TOML file of options into a flat mapping by dotted name.

    Raises
    ------
    UsageError
        If the file is missing, unreadable or not TOML.
    """
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomli as tomllib

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such config file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as a config file ({error})") from error
    try:
        return Settings(_flatten(tomllib.loads(text)), str(path))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from error


def parse_set(assignments: Iterable[str]) -> Settings:
    """Turn the values of ``--set`` (``"optimiser.rate=1e-3"``) into a mapping by dotted name; values stay text.

    UsageError if an assignment has no ``=`` or an option is set twice.
    """
    values = Settings({}, "--set")
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        key = _normalise(key)
        if not equals or not key:
            raise UsageError(f"--set {assignment}: write it as key=value")
        if key in values:
            raise UsageError(f"--set {key}: given twice")
        values[key] = value.strip()
    return values


def to_toml(instance: Any) -> str:
    """Write an options object as TOML that :func:`read_config` and :func:`resolve` turn back into an equal object."""
    lines: list[str] = []
    group = ""
    # TOML wants the top-level values before the first table.
    for key, spec in sorted(specs(type(instance)).items(), key=lambda item: "." in item[0]):
        table, _, name = key.rpartition(".")
        if table != group:
            lines += ["", f"[{table}]"]
            group = table
        value: Any = instance
        for part in key.split("."):
            value = getattr(value, part)
        if spec.option.help:
            lines.append(f"# {spec.option.help}")
        # TOML has no null. "none" is understood, but only needed where leaving the line out means something else.
        absent = value is None and (spec.default is None or spec.option.recipe)
        lines.append(f"# {name} is not set" if absent else f"{name} = {spec.kind.to_toml(value)}")
    return "\n".join(lines).lstrip("\n") + "\n"


def describe(cls: type) -> list[dict[str, str]]:
    """Return one row per option for the documentation: name, flag, type, default, allowed, env, help."""
    return [
        {
            "name": key,
            "flag": ", ".join(filter(None, (spec.option.short, spec.flag))) if spec.option.cli else "",
            "type": spec.kind.name,
            "default": spec.kind.to_text(spec.default),
            "allowed": spec.limits(),
            "env": spec.env,
            "help": spec.option.help,
        }
        for key, spec in specs(cls).items()
    ]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` with the nearest of `known`, or nothing when none is near."""
    import difflib

    known = list(known)
    found = difflib.get_close_matches(word, known, n=1)
    if not found:  # 'rate' for 'optimiser.rate'
        found = [key for key in known if key.rpartition(".")[2] == word.rpartition(".")[2]][:1]
    return f"; did you mean '{found[0]}'?" if found else ""


def _build(cls: type, values: Mapping[str, Any]) -> Any:
    arguments: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        annotation = hints[field.name]
        if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
            prefix = field.name + "."
            inner = {key[len(prefix) :]: value for key, value in values.items() if key.startswith(prefix)}
            default = default_of(field)
            missing = {key: getattr(default, key) for key in specs(annotation) if key not in inner and "." not in key}
            arguments[field.name] = _build(annotation, {**missing, **inner})
        elif field.name in values:
            arguments[field.name] = values[field.name]
    return cls(**arguments)


def _flat(values: Mapping[str, Any], source: str, known: list[str]) -> Settings:
    flat = Settings(_flatten(values), getattr(values, "source", source))
    groups = {key.rpartition(".")[0] for key in known} - {""}
    for key in flat:
        if key in groups:
            members = ", ".join(name for name in known if name.startswith(key + "."))
            raise UsageError(f"option '{key}' in {flat.source} is a group; set {members}")
        if key not in known:
            raise UsageError(f"unknown option '{key}' in {flat.source}{nearest(key, known)}")
    return flat


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = prefix + _normalise(key)
        if isinstance(value, Mapping):
            flat.update(_flatten(value, name + "."))
        else:
            flat[name] = value
    return flat


def _normalise(key: str) -> str:
    return key.strip().replace("-", "_")
