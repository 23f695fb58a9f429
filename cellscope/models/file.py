"""The model file: one safetensors file that holds one part of an assay and everything needed to run it.

The tensors are stored as safetensors stores them. The string metadata has a single key, ``cellscope``, with one JSON
object: the :class:`ModelCard` plus ``tensors_sha256``, a digest of the tensors themselves. One key, because safetensors
does not promise an order between several, and the same model must always give the same bytes. Nothing here can
unpickle: a file is read as a length, a JSON header and raw numbers.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellscope.errors import ModelError
from cellscope.models.card import DESCRIBED, FORMAT, ModelCard, to_json

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["FORMAT", "ModelCard", "check_purpose", "load_model", "raw_tensors", "read_card", "save_model", "sha256"]

METADATA_KEY = "cellscope"
MAX_HEADER_BYTES = 100_000_000
"""The safetensors library's own limit on the header; a larger length means that the file is something else."""

_DIGEST_KEY = "tensors_sha256"
_LATER = "familiarity"
"""The key of a card that models without a description lack."""
_LENGTH_BYTES = 8


def save_model(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], card: ModelCard, *, half: bool = False
) -> None:
    """Write a model file. The same tensors and card always give the same bytes.

    Parameters
    ----------
    path : path-like
        The file to write, ending in ``.safetensors``; replaced only once the new one is complete.
    tensors : mapping of str to Tensor
        A network's ``state_dict()``, on any device.
    card : ModelCard
        What the tensors are.
    half : bool
        Store floating tensors as float16. Integer tensors keep their type, and a tensor with finite values too large
        for float16 keeps float32.

    Raises
    ------
    ModelError
        If there are no tensors, one of them holds NaN, or the card holds something JSON cannot (NaN, an object).
    """
    import torch
    from safetensors.torch import save

    from cellscope.io.write import atomic

    path = Path(path)
    if not tensors:
        raise ModelError(f"{path}: there are no tensors to save")
    stored: dict[str, Tensor] = {}
    for name in sorted(tensors):
        # clone: safetensors refuses tensors that share memory (tied weights, views of one buffer)
        tensor = tensors[name].detach().to("cpu").contiguous().clone()
        if tensor.is_floating_point():
            if bool(torch.isnan(tensor).any()):
                raise ModelError(
                    f"{path}: tensor '{name}' holds NaN, so training must have diverged; nothing was saved"
                )
            if half:
                small = tensor.to(torch.float16)
                lost = torch.isinf(small) & torch.isfinite(tensor)
                tensor = tensor.to(torch.float32) if bool(lost.any()) else small
        stored[name] = tensor
    # The digest covers names, types, shapes and numbers, none of which depend on the metadata that will hold it.
    digest = _tensor_digest(*_split(save(stored)))
    about = asdict(card)
    if not any(name.startswith(DESCRIBED) for name in stored):
        del about[_LATER]  # of a model whose weights were taken over without the description
    try:
        text = to_json({**about, _DIGEST_KEY: digest})
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: the model card cannot be written as JSON: {error}") from error
    raw = save(stored, metadata={METADATA_KEY: text})
    with atomic(path) as temporary:
        Path(temporary).write_bytes(raw)


def read_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read what a model file is from its header, without reading the tensors.

    Parameters
    ----------
    path : path-like
        A model file.

    Returns
    -------
    ModelCard

    Raises
    ------
    ModelError
        If the file is missing, not a safetensors file, truncated, not written by cellscope, of another format version,
        or lacks a key.
    """
    path = Path(path)
    header = _read_header(path)
    return _card(path, _description(path, header))


def load_model(
    path: str | os.PathLike[str], *, assay: str, part: str | None = None
) -> tuple[ModelCard, dict[str, Tensor]]:
    """Read a model file after checking that it is the right one and undamaged.

    Parameters
    ----------
    path : path-like
        A model file.
    assay : str
        The assay that will use it.
    part : str, optional
        The part that will use it; any part when None.

    Returns
    -------
    card : ModelCard
    tensors : dict of str to Tensor
        The weights, on the CPU, writable. float16 and bfloat16 tensors come back as float32, others as stored.

    Raises
    ------
    ModelError
        For everything :func:`read_card` refuses, another assay or part, or tensors that do not match their digest.
    """
    import torch

    path = Path(path)
    card = read_card(path)
    check_purpose(path, card, assay=assay, part=part)
    widened = (torch.float16, torch.bfloat16)
    tensors = raw_tensors(path)
    return card, {name: value.float() if value.dtype in widened else value for name, value in tensors.items()}


def raw_tensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the weights of a model file as they are stored.

    Parameters
    ----------
    path : path-like
        A model file.

    Returns
    -------
    dict of str to Tensor
        On the CPU, writable.

    Raises
    ------
    ModelError
        The file is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    description = _description(path, _read_header(path))
    _card(path, description)
    try:
        raw = path.read_bytes()
        if _tensor_digest(*_split(raw)) != description[_DIGEST_KEY]:
            raise ModelError(
                f"{path}: the tensors do not match their hash; the file is damaged, fetch or train it again"
            )
        loaded = load(raw)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: the safetensors data is not valid ({_one_line(error)})") from error
    # clone: what safetensors hands out are views of the file's bytes
    return {name: value.clone() for name, value in loaded.items() if not name.startswith(DESCRIBED)}


def check_purpose(path: Path, card: ModelCard, *, assay: str, part: str | None = None) -> None:
    """Raise :class:`ModelError` naming the file if `card` serves another assay or part than the one asked for."""
    if card.assay != assay:
        raise ModelError(f"{path}: this model is for the assay '{card.assay}', not '{assay}'")
    if part is not None and card.part != part:
        raise ModelError(f"{path}: this model is the part '{card.part}' of {assay}, not '{part}'")


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a whole file as 64 hexadecimal digits; ModelError if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    return digest.hexdigest()


def _read_header(path: Path) -> dict[str, Any]:
    """Return the safetensors header, checked against the file's size: a truncated file is found without reading it."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            first = stream.read(_LENGTH_BYTES)
            length = int.from_bytes(first, "little")
            if len(first) < _LENGTH_BYTES or not 2 <= length <= MAX_HEADER_BYTES:
                raise ModelError(f"{path}: not a safetensors file{_what_instead(first)}")
            text = stream.read(length)
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such model file") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    if len(text) < length:
        if not text.startswith(b"{"):
            raise ModelError(f"{path}: not a safetensors file{_what_instead(first)}")
        raise ModelError(f"{path}: truncated: the file ends inside its header")
    try:
        header = json.loads(text)
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: not a safetensors file (its header is not valid)") from error
    expected = _LENGTH_BYTES + length + max(ends, default=0)
    if size < expected:
        raise ModelError(f"{path}: truncated: {size} of {expected} bytes are there; copy or train it again")
    if size > expected:
        raise ModelError(f"{path}: {size - expected} unexpected bytes after the tensors; the file is damaged")
    return header


def _description(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    text = metadata.get(METADATA_KEY) if isinstance(metadata, dict) else None
    if not isinstance(text, str):
        raise ModelError(f"{path}: a safetensors file, but not a cellscope model (no '{METADATA_KEY}' in its metadata)")
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: its '{METADATA_KEY}' metadata is not valid JSON") from error
    if not isinstance(description, dict):
        raise ModelError(f"{path}: its '{METADATA_KEY}' metadata is not a JSON object")
    found = description.get("format")
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        advice = "update cellscope" if newer else "train it again"
        raise ModelError(f"{path}: model format version {found!r}, but this cellscope reads version {FORMAT}; {advice}")
    return description


def _card(path: Path, description: dict[str, Any]) -> ModelCard:
    names = [field.name for field in fields(ModelCard) if field.name != _LATER or _LATER in description]
    for name in [*names, _DIGEST_KEY]:
        if name not in description:
            raise ModelError(f"{path}: its model card lacks '{name}'")
    try:
        return ModelCard(**{name: description[name] for name in names})
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _split(raw: bytes) -> tuple[dict[str, Any], memoryview]:
    """Return the header without its metadata, and the tensors' bytes."""
    length = int.from_bytes(raw[:_LENGTH_BYTES], "little")
    header = json.loads(raw[_LENGTH_BYTES : _LENGTH_BYTES + length])
    header.pop("__metadata__", None)
    return header, memoryview(raw)[_LENGTH_BYTES + length :]


def _tensor_digest(entries: dict[str, Any], payload: memoryview) -> str:
    digest = hashlib.sha256(json.dumps(entries, sort_keys=True, separators=(",", ":")).encode())
    digest.update(payload)
    return digest.hexdigest()


def _what_instead(first: bytes) -> str:
    if not first:
        return " (it is empty)"
    if first.startswith(b"PK") or first.startswith(b"\x80"):
        return " but a PyTorch pickle, which cellscope never loads; give the .safetensors that `train` writes"
    return ""


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
