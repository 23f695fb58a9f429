"""Public functions of cellscope that no test reaches, told from the source alone.

    python benchmarks/untested.py [TREE]

Tests reach what they import and name, and the commands whose words they hold. What is reached reaches what its body
names: a name means what its file defines or imports under it; an attribute means every function, class and method of
that name, since the source does not tell whose it is. So a function that is listed is run by no test; one that is not
listed can be run by one. Methods that take the place of another library's (hooks of Lightning's modules, say) are
reached with their class: that library calls them. Which lines run is measured with ``pytest --cov=cellscope``, which
takes far longer.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from house import ROOT, module_name

Key = tuple[str, str]
"""A module and what it defines: ``function``, ``Class``, ``Class.method`` or a variable."""

WORD = re.compile(r"[A-Za-z_][\w-]*")
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


class Source:
    """One file: what it defines, with the nodes that run when it is used, and what its names mean.

    Parameters
    ----------
    name : str
        Of the module.
    path : Path
    """

    def __init__(self, name: str, path: Path):
        self.name, self.path = name, path
        self.bodies: dict[str, list[ast.AST]] = defaultdict(list)
        self.imports: dict[str, Key] = {}
        self.commands: set[str] = set()
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    self.imports[alias.asname or alias.name] = (alias.name, "")
        for node in tree.body:
            self._define(node)

    def _define(self, node: ast.stmt) -> None:
        if isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef))]
            for method in methods:
                self.bodies[f"{node.name}.{method.name}"].append(method)
            self.bodies[node.name] += [*node.decorator_list, *node.bases, *(x for x in node.body if x not in methods)]
            # what Python itself calls is reached with the class
            self.bodies[node.name] += [method for method in methods if method.name.startswith("_")]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.bodies[node.name].append(node)
            if any(isinstance(one, (ast.Attribute, ast.Call)) for one in node.decorator_list):
                self.commands.add(node.name)
        elif not isinstance(node, (ast.Import, ast.ImportFrom)):
            targets = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
            for name in targets or [""]:
                self.bodies[name].append(node)

    def public(self) -> Iterator[str]:
        """Yield the public functions, classes and methods."""
        for name, (node, *_) in self.bodies.items():
            words = name.split(".")
            if isinstance(node, DEFINITIONS) and not any(word.startswith("_") for word in words):
                yield name


def words_of(nodes: Iterable[ast.AST]) -> tuple[set[str], set[str]]:
    """Return the names and the attributes in nodes; a string that is one word may be an attribute asked for by name."""
    names, attributes = set(), set()
    for node in (one for each in nodes for one in ast.walk(each)):
        if isinstance(node, ast.Name):
            names.add(node.id)
        elif isinstance(node, ast.Attribute):
            attributes.add(node.attr)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            attributes.add(node.value)
    return names, attributes


def untested(tree: Path) -> list[str]:
    """Return ``file: name`` of every public function, class and method that no test reaches."""
    package = {
        name: Source(name, path)
        for path in sorted((tree / "cellscope").rglob("*.py"))
        for name in [module_name(path, tree)]
    }
    by_name: dict[str, list[Key]] = defaultdict(list)
    for module in package.values():
        for name in module.bodies:
            by_name[name.rpartition(".")[2]].append((module.name, name))
    reached: set[Key] = set()
    waiting: list[Key] = []

    def reach(key: Key) -> None:
        module, name = key
        if f"{module}.{name}" in package:  # a module, imported by name
            return
        if module in package and name in package[module].imports and name not in package[module].bodies:
            key = package[module].imports[name]  # handed on by __init__
        if key[0] in package and key[1] in package[key[0]].bodies and key not in reached:
            reached.add(key)
            waiting.append(key)

    def follow(source: Source, nodes: Iterable[ast.AST]) -> None:
        names, attributes = words_of(nodes)
        for name in names:
            reach(source.imports.get(name, (source.name, name)))
        for attribute in attributes:
            for key in by_name.get(attribute, ()):
                reach(key)

    said: set[str] = set()
    for path in [*(tree / "tests").rglob("*.py"), *(tree / "examples").rglob("*.py")]:
        test = Source("", path)
        said |= {word.replace("-", "_") for word in WORD.findall(path.read_text("utf-8"))}
        follow(test, [ast.parse(path.read_text("utf-8"))])
    for module in package.values():
        for name in module.commands & said:  # a command, by its word; typer has it from its decorator
            reach((module.name, name))
        reach((module.name, "ASSAY"))  # found by `find_assay`
        if module.name.startswith("cellscope.cli") or module.name.endswith(".cli"):
            for name in list(module.bodies):
                if not isinstance(module.bodies[name][0], DEFINITIONS):
                    reach((module.name, name))
    hooks = [(module.name, name) for module in package.values() for name in module.public() if "." in name]
    while waiting:
        while waiting:
            module_of, name = waiting.pop()
            follow(package[module_of], package[module_of].bodies[name])
        for key in hooks:  # other libraries call the methods that take the place of theirs
            if key not in reached and (key[0], key[1].partition(".")[0]) in reached and _overrides(*key):
                reach(key)
    public = [(module, name) for module in package.values() for name in module.public()]
    return [f"{module.path.relative_to(tree)}: {name}" for module, name in public if (module.name, name) not in reached]


def _overrides(module: str, name: str) -> bool:
    """Tell whether a method takes the place of one of another library, which calls it."""
    class_, _, method = name.rpartition(".")
    if not class_:
        return False
    bases = getattr(importlib.import_module(module), class_).__mro__
    return any(hasattr(base, method) for base in bases if not base.__module__.startswith("cellscope"))


def main() -> None:
    """List and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?", default=ROOT, help="a checkout; this one when not given")
    missing = untested(parser.parse_args().tree.resolve())
    print("\n".join([*missing, f"{len(missing)} public functions, classes and methods that no test reaches"]))


if __name__ == "__main__":
    main()
