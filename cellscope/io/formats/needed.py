"""Libraries that one format needs: imported when such a file comes."""

from __future__ import annotations

import importlib
from types import ModuleType

from cellscope.io.convert import Refused
from cellscope.io.text import reason


def library(name: str, what: str, package: str | None = None) -> ModuleType:
    """Import a reader's library.

    Parameters
    ----------
    name : str
        Of the module.
    what : str
        What it reads, plural, for the message.
    package : str, optional
        What to install, where it is called otherwise.

    Raises
    ------
    Refused
        It is not there, or cannot be loaded on this machine.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise Refused(f"{what} need the package {package or name}: pip install {package or name}") from error
    except OSError as error:
        raise Refused(f"{what} need {package or name}, which cannot be loaded here ({reason(error)})") from error
