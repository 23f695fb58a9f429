"""An assay by its name, for jobs that are made of names and values."""

from __future__ import annotations

import importlib
from typing import Any

from cellscope.engine.assay import Assay
from cellscope.errors import UsageError


def find_assay(name: str) -> Assay:
    """Find an assay by name.

    Parameters
    ----------
    name
        ``karyotype`` stands for ``cellscope.assays.karyotype.assay:ASSAY``; any other ``module:attribute`` may be
        given. The engine knows assays only by such names, so that a job is a picklable function of names and values.

    Raises
    ------
    UsageError
        No such assay.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute:
        module_name, attribute = f"cellscope.assays.{name.replace('-', '_')}.assay", "ASSAY"
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name is None or not module_name.startswith(error.name):
            raise  # the assay exists, but something it needs does not: that is another story
        raise UsageError(f"no assay is called {name!r}; `cellscope --help` lists them") from None
    if not isinstance(found, Assay):
        raise UsageError(f"{name!r} is not an assay")
    return found


def find_predict_options(name: str) -> Any:
    """Make the predict options of an assay with nothing set.

    Parameters
    ----------
    name
        As for `find_assay`; an assay of a ``module:attribute`` keeps its ``PredictOptions`` in that module.
    """
    module_name, _, attribute = name.partition(":")
    if not attribute:
        module_name = f"cellscope.assays.{name.replace('-', '_')}.options"
    return importlib.import_module(module_name).PredictOptions()


def find_evaluate(name: str) -> tuple[Any, Any]:
    """Find the function that evaluates models of an assay, and the class of its options, by the assay's name."""
    folder = f"cellscope.assays.{name.replace('-', '_')}"
    evaluate = importlib.import_module(f"{folder}.evaluation.evaluate").evaluate
    return evaluate, importlib.import_module(f"{folder}.options").EvalOptions
