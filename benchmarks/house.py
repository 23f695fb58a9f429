"""How large the house is: files, lines of code, the longest chain of imports, and circles between files.

    python benchmarks/house.py [TREE]

Reads the source alone (`ast`), so that any checkout can be measured. Imports are counted twice: all of them, also those
inside functions and those under ``if TYPE_CHECKING``, which tie files together as well; and those alone that loading a
file runs.
"""

from __future__ import annotations

import argparse
import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

#: Which imports are counted: title, those inside functions, those under ``if TYPE_CHECKING``.
COUNTED = (
    ("all imports", True, True),
    ("imports that loading a file runs", False, False),
)


def code_lines(source: str) -> int:
    """Count lines that hold code: neither blank, nor comment, nor docstring."""
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            held.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        # text that stands alone as a statement: docstrings, of attributes too
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            held.difference_update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(held)


def module_name(path: Path, tree: Path) -> str:
    """Return the dotted name of a file."""
    parts = path.relative_to(tree).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def nodes(node: ast.AST, *, late: bool, types: bool) -> Iterator[ast.AST]:
    """Yield all nodes below this one: with `late` those inside functions, with `types` those for a type checker."""
    for child in ast.iter_child_nodes(node):
        if not late and isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if not types and isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from nodes(child, late=late, types=types)


def imports(path: Path, name: str, modules: set[str], *, late: bool, types: bool) -> set[str]:
    """Return the modules of the package that a file imports; `late` and `types` as `nodes` takes them."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    found: set[str] = set()
    for node in nodes(ast.parse(path.read_text("utf-8")), late=late, types=types):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{whole}.{alias.name}"
                found.add(full if full in modules else whole)
    return (found & modules) - {name}


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of files that import one another, however far around (Tarjan's components of two and more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


def longest_chain(graph: dict[str, set[str]], around: list[list[str]]) -> list[str]:
    """Return the longest chain of imports; a group of files that import one another counts as one link."""
    owner = {name: group[0] for group in around for name in group}
    links: dict[str, set[str]] = {}
    for name, others in graph.items():
        own = owner.get(name, name)
        links.setdefault(own, set()).update({owner.get(other, other) for other in others} - {own})
    best: dict[str, list[str]] = {}

    def chain(name: str) -> list[str]:
        if name not in best:
            best[name] = [name, *max((chain(other) for other in sorted(links[name])), key=len, default=[])]
        return best[name]

    return max((chain(name) for name in sorted(links)), key=len)


def measure(tree: Path) -> str:
    """Return what is to be said about ``cellscope`` in a checkout."""
    paths = {module_name(path, tree): path for path in sorted((tree / "cellscope").rglob("*.py"))}
    sources = {name: path.read_text("utf-8") for name, path in paths.items()}
    code = {name: code_lines(source) for name, source in sources.items()}
    said = [
        f"files          {len(paths)}",
        f"lines          {sum(source.count(chr(10)) for source in sources.values())}",
        f"code lines     {sum(code.values())}",
        f"over 300 lines {sum(source.count(chr(10)) > 300 for source in sources.values())}",
        "",
        "room                        files  code",
    ]
    rooms: dict[str, list[str]] = {}
    for name in paths:
        parts = name.split(".")[1:]
        room = "/".join(parts[:2] if parts[:1] == ["assays"] else parts[:1]) if len(parts) > 1 else "(root)"
        rooms.setdefault(room, []).append(name)
    for room, names in sorted(rooms.items()):
        said.append(f"{room:26}  {len(names):5}  {sum(code[name] for name in names):5}")
    for title, late, types in COUNTED:
        graph = {name: imports(path, name, set(paths), late=late, types=types) for name, path in paths.items()}
        around = circles(graph)
        chain = longest_chain(graph, around)
        said += ["", f"{title}: longest chain {len(chain)} files, {len(around)} circles"]
        said += [f"  {number:2} {name}" for number, name in enumerate(chain, 1)]
        said += [f"  circle: {', '.join(group)}" for group in around]
    return "\n".join(said)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?", default=ROOT, help="a checkout; this one when not given")
    print(measure(parser.parse_args().tree.resolve()))


if __name__ == "__main__":
    main()
