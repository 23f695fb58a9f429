"""While this is imported, a stage that opens a data file fails its subject: reading is done before (`Assay.load`)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

#: What an assay's inputs, and files beside them, end in.
DATA = (
    ".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp", ".npy", ".npz", ".mat", ".svs", ".avi", ".mp4",
    ".json", ".geojson", ".gz", ".csv", ".tsv", ".txt", ".xml",
)  # fmt: skip
#: Where libraries keep files of their own, such as fonts.
_LIBRARIES = (sys.prefix, sys.base_prefix, str(Path.home() / ".cache"), str(Path.home() / ".config"))
_STEP = os.path.join("predict", "step.py")


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not isinstance(arguments[0], (str, bytes)):
        return
    path = os.fsdecode(arguments[0])
    if os.path.splitext(path)[1].lower() not in DATA or os.path.abspath(path).startswith(_LIBRARIES):
        return
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "advance" and frame.f_code.co_filename.endswith(_STEP):
            raise AssertionError(f"a stage opened {path}; `load` reads files")
        frame = frame.f_back


sys.addaudithook(_refuse)
