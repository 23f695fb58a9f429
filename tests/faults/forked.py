"""Commands forked from a process that has imported cellscope, each in a process group of its own.

Importing takes far longer than a small command, and writes nothing. Forked, a command begins within milliseconds, so
that hundreds can be run, and one that is killed at a random moment is killed at work.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from pathlib import Path

ASSAYS = ("histo", "karyotype", "micronucleus", "mitosis", "nucleus_seg")
PRELOAD = [
    *(f"cellscope.assays.{assay}.{module}" for assay in ASSAYS for module in ("cli", "assay")),
    *(f"cellscope.engine.{module}" for module in ("predict.plan", "predict.merge", "eval.run", "train.fit")),
    "cellscope.cli.root",
]
"""What the server of `multiprocessing` imports; with it come the libraries, which are what takes long."""


def be(words: list[str], said: str, patch: str) -> None:
    """Be the command ``cellscope`` with these words, standard error in the file `said`, after running `patch`."""
    os.setsid()
    for number, name in enumerate((os.devnull, os.devnull, said)):
        opened = os.open(name, os.O_RDWR)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["cellscope", *words]
    exec(patch, {})
    from cellscope.cli.root import main

    main()


class Command:
    """A command that runs.

    Parameters
    ----------
    words : list of str
        What follows ``cellscope``.
    patch : str
        Python that is run before it in its process.
    """

    def __init__(self, words: list[str], patch: str = ""):
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        number, name = tempfile.mkstemp(suffix=".txt")
        os.close(number)
        self.said = Path(name)
        self.process = context.Process(target=be, args=(words, name, patch))
        self.process.start()

    def wait(self, after: float | None = None) -> tuple[int, str]:
        """Wait for its end; kill its process group (SIGKILL) after some seconds.

        Returns
        -------
        tuple of int and str
            The exit code, negative for the signal that ended it, and what it wrote to standard error.
        """
        self.process.join(after)
        if self.process.exitcode is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)  # type: ignore[arg-type]
            except ProcessLookupError:  # it has no group of its own yet
                self.process.kill()
            self.process.join()
        said = self.said.read_text(encoding="utf-8", errors="replace")
        self.said.unlink()
        assert self.process.exitcode is not None
        return self.process.exitcode, said


def run(words: list[str], after: float | None = None, patch: str = "") -> tuple[int, str]:
    """Run a command to its end, or kill it after some seconds: `Command.wait`."""
    return Command(words, patch).wait(after)
