"""How long ``cellscope --help`` takes beside a bare Typer app with as many commands: at most 1.3 times is the aim."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from harness import compare, print_table

from cellscope.cli.root import ASSAYS

AIM = 1.3
VERBS = ("prepare", "train", "eval", "predict")
BARE = """
import typer

app = typer.Typer(help="A bare app.")
{commands}
app()
"""


def bare_app() -> str:
    """Write a Typer app with the same tree of commands, none of which has options or does anything."""
    lines = []
    groups = {**dict.fromkeys(ASSAYS, VERBS), "models": ("list", "show", "verify")}
    for name, members in groups.items():
        lines.append(f"group = typer.Typer(help='Group {name}.')")
        for member in members:
            lines.append(f"@group.command('{member}')\ndef command() -> None:\n    'Command {member}.'")
        lines.append(f"app.add_typer(group, name='{name}')")
    for name in ("merge", "status", "doctor"):
        lines.append(f"@app.command('{name}')\ndef command() -> None:\n    'Command {name}.'")
    return BARE.format(commands="\n".join(lines))


def process(*words: str) -> Callable[[], None]:
    """Return a function that shows a help page in a new Python process, which may write compiled files."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

    def run() -> None:
        subprocess.run([sys.executable, *words, "--help"], check=True, stdout=subprocess.DEVNULL, env=variables)

    return run


def main() -> None:
    """Compare and print; exit code 1 if the aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # a module beside a one-line script, so that both sides start from compiled code
        Path(folder, "bare_app.py").write_text(bare_app(), encoding="utf-8")
        script = Path(folder, "start.py")
        script.write_text("import bare_app\n", encoding="utf-8")
        bare, own = process(str(script)), process("-m", "cellscope")
        row = compare("cellscope --help", own, "bare Typer --help", bare, repeats=arguments.repeats, warmup=2)
    print_table([row])
    sys.exit(row["ratio"] > AIM)


if __name__ == "__main__":
    main()
