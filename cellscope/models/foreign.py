"""Checkpoints of other programs: tensors by name, and nothing else that may be inside.

A ``.pth`` is read with ``weights_only``. A ``.pkl`` is read here, in the one place of cellscope that imports pickle,
by an unpickler that can build dictionaries, lists, numbers, texts and numpy arrays of numbers, and refuses everything
else before it is called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cellscope.errors import ModelError, UsageError
from cellscope.io.text import one_line


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Read the weights of a ``.pth``, ``.pt`` or ``.pkl`` checkpoint.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to Tensor
        What stands under ``model`` or ``state_dict``, or everything where there is no such entry. On the CPU.

    Raises
    ------
    ModelError
        If the file is missing, holds anything but weights, or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint")
    if path.suffix == ".pkl":
        content = _numpy_only(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a broken or hostile file makes the unpickler say
            reason = one_line(str(error).partition("\n")[0] or type(error).__name__)[:200]
            raise ModelError(f"{path}: not a checkpoint of weights only ({reason}); nothing in it was run") from error
    if isinstance(content, Mapping) and "blobs" in content:
        raise ModelError(f"{path}: a Caffe2 model; only models in detectron2's own format can be read")
    for entry in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
    if not isinstance(content, Mapping) or not content:
        raise ModelError(f"{path}: holds no weights by name")
    weights = {str(name): _tensor(value) for name, value in content.items()}
    odd = [name for name, value in weights.items() if value is None]
    if odd:
        raise ModelError(f"{path}: '{odd[0]}' is not an array of numbers")
    return {name: value for name, value in weights.items() if value is not None}


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.array(value, order="C"))
    return value.detach() if isinstance(value, Tensor) else None


def _as_bytes(text: str, encoding: str) -> bytes:
    """Stand in for the codec call by which protocol 2 writes bytes; only latin1, which it always is."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"an encoding {encoding!r}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Any] = {("numpy", "ndarray"): np.ndarray, ("numpy", "dtype"): np.dtype}
for _core in ("numpy.core", "numpy._core"):  # its name before and since numpy 2
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = np.zeros(1).__reduce__()[0]
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = np.zeros(1).__reduce_ex__(5)[0]
_ALLOWED["_codecs", "encode"] = _as_bytes


class _NumpyOnly(pickle.Unpickler):
    """An unpickler that knows numpy's arrays and not one name more."""

    def find_class(self, module: str, name: str) -> Any:
        """Give what an array is made of; refuse every other name."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}") from None


def _numpy_only(path: Path) -> Any:
    try:
        return _NumpyOnly(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except pickle.UnpicklingError as error:
        raise ModelError(f"{path}: holds more than numpy arrays ({error}); nothing in it was run") from error
    except Exception as error:  # a damaged stream can raise anything
        raise ModelError(f"{path}: not a readable pickle of numpy arrays ({type(error).__name__})") from error


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a configuration that another program wrote: plain values by name, nested.

    Raises
    ------
    UsageError
        If the file is missing or holds anything but plain values.
    """
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such configuration") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"{path}: cannot be read as a configuration ({reason})") from error
    if not isinstance(content, dict):
        raise UsageError(f"{path}: holds no settings by name")
    return content
