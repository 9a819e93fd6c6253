"""Which file of the program imports which, and what follows from it: units, circles, floors.

Files are read, never imported. A unit is a package directly below ``pipeline/`` with all that is in it, or a module
that lies flat in ``pipeline/``.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PIPELINE = "pipeline"
BESIDE = ("cli", "config.py", "main.py", "utils")
IMPORTERS = (PIPELINE, *BESIDE, "data_generator", "benchmarks", "scripts")
"""Whose imports count: the program and its tools, without the tests."""

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class File:
    """A Python file of the program.

    Attributes:
        name: the dotted name by which the file is imported.
        lines: how many lines it has.
        functions: how many functions and methods it defines.
        imports: the files that it imports at run time, also inside functions.
        for_types: the files that it imports under ``TYPE_CHECKING`` only.
        is_face: whether it is an ``__init__.py``.
    """

    name: str
    lines: int
    functions: int
    imports: set[str]
    for_types: set[str]
    is_face: bool


def read_files(root: Path) -> dict[str, File]:
    """Every file of the program and of its scripts by its dotted name, ``pipeline.geo`` for the face of a package."""
    paths = {dotted(path, root): path for place in IMPORTERS for path in python_files(root / place)}
    return {name: _read(name, path, set(paths)) for name, path in paths.items()}


def in_pipeline(name: str) -> bool:
    """Whether a file belongs to the pipeline; its own face, which is empty, aside."""
    return name.startswith(f"{PIPELINE}.")


def unit(name: str) -> str:
    """The package below ``pipeline`` that a file belongs to, or the module that lies flat there."""
    return ".".join(name.split(".")[:2])


def by_unit(graph: Graph) -> dict[str, set[str]]:
    """Which units import which others."""
    found: dict[str, set[str]] = {unit(name): set() for name in graph}
    for name, imports in graph.items():
        found[unit(name)] |= {unit(other) for other in imports} - {unit(name)}
    return found


def circles(graph: Graph) -> list[list[str]]:
    """The strongly connected components with more than one member."""
    return sorted(component for component in components(graph) if len(component) > 1)


def components(graph: Graph) -> list[list[str]]:
    """The strongly connected components by Tarjan's algorithm: each sorted, and after all that it imports."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    waiting: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        waiting.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in waiting:
                lowest[name] = min(lowest[name], order[other])
        if lowest[name] == order[name]:
            start = waiting.index(name)
            found.append(sorted(waiting[start:]))
            del waiting[start:]

    for name in sorted(graph):
        if name not in order:
            visit(name)
    return found


def longest_chain(graph: Graph) -> list[str]:
    """The longest chain of imports from the top; members of a circle are joined by ``+``, and count once."""
    chains: dict[str, list[str]] = {}
    for component in components(graph):
        below = {other for name in component for other in graph[name]} - set(component)
        longest = max((chains[other] for other in sorted(below)), key=len, default=[])
        chains |= {name: ["+".join(component), *longest] for name in component}
    return max(chains.values(), key=len, default=[])


def python_files(place: Path) -> list[Path]:
    """A file itself, or all Python files of a folder."""
    return [place] if place.is_file() else sorted(place.rglob("*.py"))


def dotted(path: Path, root: Path) -> str:
    """The name by which a file is imported."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def parse(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def _read(name: str, path: Path, known: set[str]) -> File:
    tree = parse(path)
    checks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and _is_type_check(node)]
    types = {id(node) for check in checks for statement in check.body for node in ast.walk(statement)}
    found: dict[bool, set[str]] = {True: set(), False: set()}
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        found[id(node) in types] |= set(_imported(node, package, known)) - {name}
    return File(
        name,
        len(path.read_text(encoding="utf-8").splitlines()),
        sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree)),
        found[False],
        found[True] - found[False],
        path.name == "__init__.py",
    )


def _is_type_check(node: ast.If) -> bool:
    return ast.unparse(node.test).endswith("TYPE_CHECKING")


def _imported(node: ast.AST, package: str, known: set[str]) -> Iterator[str]:
    """Files that one statement imports: ``from package import name`` is the module of that name if there is one."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in known)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        source = ".".join([*above, *filter(None, [node.module])])
        for alias in node.names:
            yield from [name for name in (f"{source}.{alias.name}", source) if name in known][:1]
