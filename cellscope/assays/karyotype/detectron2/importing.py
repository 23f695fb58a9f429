"""``cellscope karyotype import-detectron2``: a checkpoint in, a model file out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cellscope.assays.karyotype.detectron2.convert import convert
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.assays.karyotype.options import ImportOptions
from cellscope.errors import ModelError, UsageError
from cellscope.models.file import save_model, sha256
from cellscope.models.foreign import read_checkpoint, read_yaml


def import_checkpoint(file: Path, out: Path, options: ImportOptions) -> int:
    """Convert a checkpoint of detectron2.

    Parameters
    ----------
    file : Path
        ``.pth`` or ``.pkl``.
    out : Path
        The model file to write.
    options : ImportOptions

    Returns
    -------
    int
        Exit code 0.

    Raises
    ------
    UsageError
        If `out` exists and is not to be replaced, or options do not fit the checkpoint.
    ModelError
        If the checkpoint cannot be read or holds another kind of network.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"{out}: give the model file a name that ends in .safetensors")
    if out.exists() and not options.overwrite:
        raise UsageError(f"{out} exists; use --overwrite or another name")
    config: dict[str, Any] | None = read_yaml(options.configuration) if options.configuration else None
    card, tensors = convert(
        read_checkpoint(file), config, classes=list(options.classes), score_threshold=options.keep_above
    )
    card.training.update(file=file.name, sha256=sha256(file))
    try:
        ChrRender(**card.arch_args).load_state_dict(tensors)
    except (RuntimeError, ModelError) as error:
        raise ModelError(f"{file}: the weights do not fit together: {str(error).splitlines()[0]}") from error
    out.parent.mkdir(parents=True, exist_ok=True)
    save_model(out, tensors, card, half=options.half)
    return 0
