"""What a whole command imports, seen in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable

COMPILER = ("torch._dynamo", "torch._inductor", "sympy", "torch.distributed.fsdp")
NOT_NEEDED = (*COMPILER, "lightning", "matplotlib", "scipy.stats", "scipy.signal", "sklearn")
"""What takes long to import and predicting does without, whatever the assay."""

_RUN = """
import json, sys
from cellscope.cli.root import main
sys.argv, wanted = ["cellscope", *sys.argv[2:]], json.loads(sys.argv[1])
try:
    main()
except SystemExit as done:
    assert done.code == 0, done.code
found = [name for name in wanted if name in sys.modules]
assert not found, f"{sys.argv[1:3]} imports {found}"
"""


def assert_without(names: Iterable[str], words: Iterable[str]) -> None:
    """Run ``cellscope WORDS`` and see that none of the modules was imported."""
    command = [sys.executable, "-c", _RUN, json.dumps(list(names)), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
