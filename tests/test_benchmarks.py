"""Benchmarks are run by hand: what they take from cellscope must still be there."""

import ast
import importlib
from pathlib import Path

import pytest
from untested import untested

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("script", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_a_benchmark_names_what_there_is(script: Path) -> None:
    taken = [
        (node.module, name.name)
        for node in ast.walk(ast.parse(script.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "cellscope"
        for name in node.names
    ]
    for module, name in taken:
        found = importlib.import_module(module)
        if not hasattr(found, name):
            importlib.import_module(f"{module}.{name}")


@pytest.mark.slow
def test_every_public_function_is_reached_by_a_test() -> None:
    assert untested(FOLDER.parent) == []


def test_what_no_test_reaches_is_listed(tmp_path: Path) -> None:
    files = {
        "cellscope/__init__.py": "",
        "cellscope/one.py": "from cellscope.two import g\n\ndef f():\n    return g()\n\ndef lost():\n    return f()\n",
        "cellscope/two.py": "def g():\n    return 1\n\ndef f():\n    return 2\n\ndef _own():\n    return f()\n",
        "tests/test_one.py": "from cellscope.one import f\n\ndef test_f():\n    assert f() == 1\n",
    }
    for name, source in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    assert untested(tmp_path) == ["cellscope/one.py: lost", "cellscope/two.py: f"]
