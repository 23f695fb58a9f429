"""The functions that one command calls, in the order of their first call: the path of an image through the code.

    python benchmarks/call_path.py [--tree CHECKOUT] karyotype predict examples/metaphase.tif -o OUT --num-workers 0

Only functions of the engine and of assays are listed, one line per file visited; a file that comes again was returned
to. The last line counts files and returns.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import runpy
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

SHOWN = ("engine", "assays")


def main() -> None:
    """Run the command under a profile function and print the visits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, default=Path(__file__).parents[1])
    given, command = parser.parse_known_args()
    sys.path.insert(0, str(given.tree.resolve()))
    package = given.tree.resolve() / "cellscope"
    calls: dict[tuple[str, str], None] = {}

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(str(package)) or code.co_name.startswith("<"):
            return
        if not code.co_flags & inspect.CO_OPTIMIZED:
            return  # the body of a class, run by an import
        file = Path(code.co_filename).relative_to(package)
        if file.parts[0] in SHOWN:
            calls.setdefault((file.as_posix(), code.co_qualname if hasattr(code, "co_qualname") else code.co_name))

    sys.argv = ["cellscope", *command]
    threading.setprofile(note)
    sys.setprofile(note)
    with contextlib.suppress(SystemExit):
        runpy.run_module("cellscope", run_name="__main__")
    sys.setprofile(None)
    visits: list[tuple[str, list[str]]] = []
    for file, name in calls:
        if not visits or visits[-1][0] != file:
            visits.append((file, []))
        visits[-1][1].append(name)
    for file, names in visits:
        print(f"{file}: {', '.join(names)}")
    files = {file for file, _ in visits}
    folders = {str(Path(file).parent) for file in files}
    returns = len(visits) - len(files)
    print(f"{len(folders)} folders, {len(files)} files, {returns} returns to a file, {len(calls)} functions")


if __name__ == "__main__":
    main()
