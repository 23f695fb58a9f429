"""What the fields of a ``karyotype.json`` must be before any is used: people and scripts change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from cellscope.errors import InputError
from cellscope.io.document import misfit

_Pixel = Annotated[int, Field(ge=0, le=2**24)]
_Label = Annotated[int, Field(lt=2**31)] | Annotated[str, Field(max_length=40)] | None


class _Fields(BaseModel):
    """Fields that are used; others may stand beside them. Those left out are missed where they are needed."""

    model_config = ConfigDict(extra="allow")


class _Found(_Fields):
    bbox: list[_Pixel] | None = None
    mask: str | None = None
    score: FiniteFloat = 1.0


class _Chromosome(_Found):
    label: _Label = None
    confidence: FiniteFloat = 1.0
    probability: FiniteFloat | None = None
    probabilities: dict[str, FiniteFloat] | None = None
    edited: list[str] | None = None


class _Document(_Fields):
    height: _Pixel | None = None
    width: _Pixel | None = None
    chromosomes: list[_Chromosome] = []
    left_out: list[_Found] = []
    history: list[dict[str, Any]] = []
    edits: list[Any] = []


def check_fields(document: Mapping[str, Any]) -> None:
    """Raise InputError, naming the field, if one is of another type or size than it can be."""
    try:
        _Document.model_validate(dict(document))
    except ValidationError as error:
        raise InputError(misfit(error)) from None
    except RecursionError:
        raise InputError("it is nested too deep") from None
