"""timm networks with ImageNet weights: from a file, an installed package, timm's cache or a download.

A plain word says where they were sought when there are none.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from huggingface_hub import constants
from huggingface_hub.utils import LocalEntryNotFoundError, get_session
from torch import nn

from cellscope.errors import ModelError
from cellscope.nn.imagenet import PACKAGES, packaged, read_weights
from cellscope.nn.vision import import_timm

timm: Any = import_timm()

PATIENCE = 4.0
"""Seconds in which the hub must answer at all; a download takes what it takes."""
ADVICE = "connect once so that they are cached, give their file with --imagenet, or use --init none"


def timm_network(name: str, *, pretrained: bool = False, weights: Path | None = None, **changes: Any) -> nn.Module:
    """Create a timm network.

    Parameters
    ----------
    name : str
        timm's name.
    pretrained : bool
        With ImageNet weights.
    weights : Path, optional
        The file to take them from, as timm publishes it (.safetensors, .pth or .bin) or as the network's package holds
        it; without one, the installed package, timm's cache or a download. Without `pretrained` it is ignored.
    changes
        Further arguments of `timm.create_model`.

    Raises
    ------
    ModelError
        The weights cannot be had, or the file holds those of another network.
    """
    if not pretrained:
        return timm.create_model(name, **changes)
    if name in PACKAGES and (file := weights or packaged(name)) is not None:
        own = {"state_dict": read_weights(file, name).tensors}
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=own, **changes)
    if weights is None:
        try:
            with hub_or_cache():
                return timm.create_model(name, pretrained=True, **changes)
        except Exception as error:  # whatever a failed download raises in the libraries' many layers
            why = f"timm: {_line(error)}"
            if name in PACKAGES:
                why = f"the package {PACKAGES[name]} is not installed; {why}"
            raise ModelError(
                f"--init imagenet: the ImageNet weights of {name} are not available ({why}); {ADVICE}"
            ) from error
    if not weights.is_file():
        raise ModelError(f"--imagenet {weights}: there is no such file")
    try:
        given = set(timm.models.load_state_dict(str(weights)))
        # timm leaves out one by one what a file does not hold, which may come to everything.
        if len(given & set(timm.create_model(name).state_dict())) < len(given) / 2:
            raise ValueError("most of its layers are not in it")
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(weights)}, **changes)
    except Exception as error:  # unpickling, shapes, names: each layer has its own exceptions
        raise ModelError(f"--imagenet {weights}: no ImageNet weights of {name} ({_line(error)})") from error


@contextlib.contextmanager
def hub_or_cache() -> Iterator[None]:
    """Let timm ask the hub only where it answers, else its cache alone: the hub's own attempts go on for minutes.

    Raises
    ------
    ConnectionError
        The hub does not answer and the cache does not hold what is asked for.
    """
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _answers(PATIENCE)
    try:
        yield
    except LocalEntryNotFoundError as error:
        raise ConnectionError(f"not in the cache, and no connection to {constants.ENDPOINT}") from error
    finally:
        constants.HF_HUB_OFFLINE = before


def _answers(seconds: float) -> bool:
    """Tell whether the hub says anything within some seconds; looking up its name knows no time limit of its own."""
    answered, endpoint = threading.Event(), constants.ENDPOINT

    def ask() -> None:
        with contextlib.suppress(Exception):  # each library below has its own
            get_session().head(endpoint, timeout=seconds)
            answered.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return answered.is_set()


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
