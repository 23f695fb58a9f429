"""The benchmark harness, which is not part of the package and is loaded by its path."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[1] / "benchmarks" / "harness.py"


@pytest.fixture(scope="module")
def harness():
    if not HARNESS.is_file():
        pytest.skip("no benchmarks folder beside the tests")
    spec = importlib.util.spec_from_file_location("harness", HARNESS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pairs_run_in_turn_after_the_warm_up(harness, monkeypatch):
    calls = []
    clock = iter([0, 4, 10, 12, 20, 29, 30, 33, 40, 41, 50, 51])  # A takes 4, 9, 1; B takes 2, 3, 1
    monkeypatch.setattr(harness.time, "perf_counter", lambda: next(clock))
    processor = iter([0, 3, 3, 4, 4, 5, 5, 6, 6, 14, 14, 16])  # A takes 3, 1, 8; B takes 1, 1, 2
    monkeypatch.setattr(harness.time, "process_time", lambda: next(processor))
    result = harness.compare("a", lambda: calls.append("a"), "b", lambda: calls.append("b"), repeats=3, warmup=2)
    assert "".join(calls) == "ababababab"
    assert result["times_a"] == [4, 9, 1]
    assert result["times_b"] == [2, 3, 1]
    assert (result["median_a"], result["median_b"]) == (4, 2)
    assert (result["ratio"], result["ratio_low"], result["ratio_high"]) == (2, 1, 3)
    assert result["processor_ratio"] == 3


def test_nonsense_is_refused(harness):
    for arguments in ({"repeats": 0}, {"warmup": -1}):
        with pytest.raises(ValueError, match="at least"):
            harness.compare("a", int, "b", int, **arguments)


def test_the_table_is_markdown_with_an_environment_line(harness, capsys):
    row = {"name_a": "loop", "name_b": "pool", "median_a": 2.0, "median_b": 0.0125, "ratio": 160.0}
    row |= {"ratio_low": 150.0, "ratio_high": 170.0, "repeats": 5}
    harness.print_table([row], title="predict")
    printed = capsys.readouterr().out
    assert "| loop | pool | 2 s | 12.5 ms | 160.00 | 150.00 to 170.00 | 5 |" in printed
    assert printed.startswith("### predict\n")
    assert f"Python {sys.version_info.major}.{sys.version_info.minor}" in printed
    assert harness.seconds(3.2e-5) == "32 µs"


def test_a_process_works_or_sleeps(harness, tmp_path):
    code = "import time, json.tool; start = time.process_time()\nwhile time.process_time() - start < 0.3: pass"
    busy = harness.run_process([sys.executable, "-c", code], env=harness.with_bytecode(tmp_path))
    idle = harness.run_process([sys.executable, "-c", "import time; time.sleep(0.3)"])
    assert 0.3 < busy["processor"] < 3
    assert idle["processor"] < busy["processor"]
    assert idle["seconds"] > 0.3
    assert list(tmp_path.rglob("tool.*.pyc"))


def test_memory_of_a_process_and_its_children_is_seen(harness):
    child = "import time; block = bytearray(b'x') * (60 << 20); time.sleep(0.3)"
    small = harness.run_process([sys.executable, "-c", "import time; time.sleep(0.2); print('done')"])
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    large = harness.run_process([sys.executable, "-c", nested])
    assert small["returncode"] == large["returncode"] == 0
    assert small["stdout"] == "done\n"
    assert small["seconds"] > 0.2
    assert 60 < large["peak_mib"] - small["peak_mib"] < 110


def test_a_process_that_fails_or_hangs_is_reported(harness):
    failed = harness.run_process([sys.executable, "-c", "import sys; sys.exit('no')"])
    assert (failed["returncode"], failed["stdout"].strip()) == (1, "no")
    with pytest.raises(subprocess.TimeoutExpired):
        harness.run_process([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3)
