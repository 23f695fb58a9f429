"""The command line as a process: what a help page imports, signals, pipes, completion."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import cellscope
from cellscope.cli.root import ASSAYS

HEAVY = ("torch", "torchvision", "cv2", "numpy", "pandas", "lightning", "matplotlib", "scipy", "skimage", "timm")
VERBS = ("prepare", "train", "eval", "predict")
PAGES = [
    [],
    ["models"],
    *(["models", verb] for verb in ("list", "show", "verify")),
    ["merge"],
    ["status"],
    ["doctor"],
    *([assay] for assay in ASSAYS),
    *([assay, verb] for assay in ASSAYS for verb in VERBS),
]

LOOK = """
import json, sys
from cellscope.cli.root import main
pages, heavy = json.loads(sys.argv[1])
for page in pages:
    verb = len(page) == 2 and page[0] != "models"
    for flag in ("--help", "-h", "--help-all")[: 3 if verb else 2]:
        sys.argv = ["cellscope", *page, flag]
        try:
            main()
        except SystemExit as done:
            assert done.code == 0, (page, done.code)
        found = sorted(set(heavy) & set(sys.modules))
        assert not found, f"cellscope {' '.join(page)} {flag} imports {found}"
"""

SLOW = """
import sys, types, time
from cellscope.cli.root import main
def merge(out):
    print("started", flush=True)
    try:
        time.sleep(60)
    except Exception:  # what isolates failures must not swallow a signal
        pass
fake = types.ModuleType("cellscope.engine.predict.merge")
fake.merge = merge
sys.modules["cellscope.engine.predict.merge"] = fake
sys.argv = ["cellscope", "merge", "x"]
main()
"""


def run(*words, **settings):
    command = [sys.executable, "-m", "cellscope", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **settings)


def test_no_help_page_imports_anything_heavy():
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps([PAGES, HEAVY])], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for expected in ("karyotype", "models", "merge", "status", "doctor", "--shard", "--splits", "--resume", "--split"):
        assert expected in done.stdout, expected


def test_the_first_help_page_imports_no_assay():
    code = (
        "import sys; from cellscope.cli.root import main; sys.argv = ['cellscope', '--help']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert not [name for name in sys.modules if name.startswith(('cellscope.assays', 'cellscope.cli.commands'))]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_version_and_module():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"cellscope {cellscope.__version__}\n")


@pytest.mark.parametrize("words", [[], ["karyotype"]])
def test_without_a_command_the_help_is_shown(words):
    done = run(*words)
    assert done.returncode == 2
    assert "Usage: cellscope" in done.stdout


def test_usage_error():
    done = run("karyotype", "predict")
    assert done.returncode == 2
    assert done.stderr == "error: missing argument 'INPUT'; see `cellscope karyotype predict --help`\n"
    assert done.stdout == ""


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize(
    ("number", "code", "message"),
    [(signal.SIGTERM, 143, "error: terminated\n"), (signal.SIGINT, 130, "error: interrupted\n")],
)
def test_signals(number, code, message):
    def listen():  # a shell ignores SIGINT in what it starts in the background, tests among them
        signal.signal(number, signal.SIG_DFL)

    with subprocess.Popen(
        [sys.executable, "-c", SLOW], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    ) as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert errors == message


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_closed_pipe_is_quiet():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "cellscope", "--version"], stdout=closed, stderr=subprocess.PIPE, check=False
        )
    assert done.stderr == b""
    assert done.returncode == 1


def complete(line, index):
    environment = {
        **os.environ,
        "_CELLSCOPE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(index),
    }
    return run(env=environment).stdout.split()


def test_completion():
    assert "karyotype" in complete("cellscope k", 1)
    assert set(complete("cellscope karyotype ", 2)) == {*VERBS, "render", "import-detectron2", "iscn"}
    assert complete("cellscope karyotype predict --precision b", 4) == ["bf16"]
    assert "--pixel-size" in complete("cellscope karyotype predict --pi", 3)
    script = run("--show-completion", "bash", env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert "_CELLSCOPE_COMPLETE" in script.stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_without_standard_streams(closed: str) -> None:
    code = (
        "import sys; from cellscope.cli.root import open_standard_streams; open_standard_streams(); sys.stdin.read(0);"
        "sys.stdout.write('x'); sys.stderr.write('y'); sys.exit(open(sys.executable, 'rb').fileno() < 3)"
    )
    words = ["bash", "-c", f'"$@" {closed}', "bash", sys.executable, "-c", code]
    assert subprocess.run(words, capture_output=True).returncode == 0
