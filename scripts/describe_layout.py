"""Describe the layout of the program in figures: ``python -m scripts.describe_layout [FOLDER] [--json]``.

FOLDER holds ``pipeline/``, ``tests/`` and ``.importlinter``; without it, this repository is described. Files are read,
never imported. The terms:

- module: a file of ``pipeline/`` that is not ``__init__.py``. Its importers are files of the program, not tests.
- unit: a package directly below ``pipeline/`` with all that is in it, or a module that lies flat in ``pipeline/``.
- circle: units, or files, that import each other, directly or over others. Imports inside functions count; those under
  ``TYPE_CHECKING`` are added in a figure of their own.
- floors: the longest chain of imports, in units and in files. A circle is one floor.
- layers: the lines of the contract in ``.importlinter`` whose container is ``pipeline``.
- module without a test: one that has functions, but no ``tests/pipeline/<package>/test_<module>.py``. Modules that only
  hold types need none: ``context.py``, ``tasks.py``, and those without any function or method.
- attribute: ``self.x = ...``. It is born late if neither ``__init__`` nor ``__post_init__`` of the class, or of a base
  class in the same file, assigns it, and no field declares it.
- old words: ``scripts/layout_words.py``.
"""

import argparse
import ast
import configparser
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

if not __package__:  # run as a file
    sys.path.insert(0, str(Path(__file__).parents[1]))

from scripts.layout_graph import (
    BESIDE,
    PIPELINE,
    File,
    by_unit,
    circles,
    dotted,
    in_pipeline,
    longest_chain,
    parse,
    python_files,
    read_files,
    unit,
)
from scripts.layout_words import BY_MEANING, WORDS, Binding, bindings, count_words, unused_exemptions

ROOT = Path(__file__).resolve().parent.parent
CONTRACT = "importlinter:contract:packages"
SHORT, LONG = 40, 350
BIRTH = {"__init__", "__post_init__"}
TYPES_ONLY = ("context", "tasks")


@dataclass(frozen=True)
class Attributes:
    """Attributes that methods of a class assign to ``self``; ``late``: those that ``__init__`` does not make."""

    name: str
    total: int
    late: list[str]


def main(argv: Sequence[str] | None = None) -> None:
    """Print the description."""
    parser = argparse.ArgumentParser(prog="python -m scripts.describe_layout", description="the layout in figures")
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT, help="the program's folder (this repository)")
    parser.add_argument("--json", action="store_true", help="one JSON object, with the place of every old word")
    arguments = parser.parse_args(argv)
    found = describe(arguments.folder)
    print(json.dumps(found, indent=1) if arguments.json else "\n".join(_as_text(found)))


def describe(root: Path) -> dict[str, object]:
    """All figures of the program in ``root``."""
    files = read_files(root)
    pipeline = {name: file for name, file in files.items() if in_pipeline(name)}
    modules = {name: file for name, file in pipeline.items() if not file.is_face}
    importers = {name: sorted(other for other, file in files.items() if name in file.imports) for name in pipeline}
    at_run_time = {name: file.imports & set(pipeline) for name, file in pipeline.items()}
    with_types = {name: (file.imports | file.for_types) & set(pipeline) for name, file in pipeline.items()}
    units, units_with_types = by_unit(at_run_time), by_unit(with_types)
    classes = [found for path in sorted((root / PIPELINE).rglob("*.py")) for found in attributes_of_classes(path, root)]
    contract = layers(root / ".importlinter")
    untested = sorted(n for n, file in modules.items() if needs_test(file) and not mirror(root, n).exists())
    return {
        "modules": len(modules),
        "flat_modules": sum(unit(name) == name for name in modules),
        "modules_with_one_importer": sum(len(importers[name]) == 1 for name in modules),
        "layers": len(contract),
        "names_in_layers": sum(len(line.split("|")) for line in contract),
        "circles_of_units": circles(units),
        "circles_of_files": circles(at_run_time),
        "circles_of_units_with_types": circles(units_with_types),
        "imports_for_types_only": sum(len(file.for_types) for file in pipeline.values()),
        "floors_of_units": longest_chain(units),
        "floors_of_files": longest_chain(at_run_time),
        "largest_object": asdict(max(classes, key=lambda found: found.total)) if classes else None,
        "classes_with_late_attributes": [asdict(found) for found in classes if found.late],
        "short_modules": [_listed(modules[n], importers[n]) for n in sorted(modules) if modules[n].lines < SHORT],
        "long_modules": [_listed(modules[n], importers[n]) for n in sorted(modules) if modules[n].lines > LONG],
        "modules_without_test": untested,
        "words": _words(root),
        "packages": _packages(pipeline, importers),
    }


def layers(path: Path) -> list[str]:
    """The lines of the contract that orders the packages of the pipeline, from the top."""
    settings = configparser.ConfigParser()
    settings.read(path, encoding="utf-8")
    return settings.get(CONTRACT, "layers", fallback="").split("\n")[1:]  # the first line is empty


def attributes_of_classes(path: Path, root: Path) -> list[Attributes]:
    """The attributes of every class of a file that has any."""
    classes = {node.name: node for node in ast.walk(parse(path)) if isinstance(node, ast.ClassDef)}
    found = []
    for name, node in classes.items():
        family = _family(node, classes)
        total = {attribute for _, attribute in _assigned([node])}
        born = {attribute for method, attribute in _assigned(family) if method in BIRTH} | _fields(family)
        if total:
            found.append(Attributes(f"{dotted(path, root)}.{name}", len(total), sorted(total - born)))
    return found


def needs_test(file: File) -> bool:
    """Whether a module holds more than types."""
    return file.functions > 0 and file.name.rpartition(".")[2] not in TYPES_ONLY


def mirror(root: Path, name: str) -> Path:
    """The path at which the test of a module of the pipeline belongs."""
    *packages, module = name.split(".")
    return root.joinpath("tests", *packages, f"test_{module}.py")


def _family(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> list[ast.ClassDef]:
    """A class and its base classes of the same file."""
    bases = [classes[base.id] for base in node.bases if isinstance(base, ast.Name) and base.id in classes]
    return [node, *(member for base in bases for member in _family(base, classes))]


def _assigned(classes: Iterable[ast.ClassDef]) -> Iterator[tuple[str, str]]:
    """Method and attribute of every ``self.x = ...``."""
    for method in (node for owner in classes for node in owner.body):
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(method):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_self(node.value):
                    yield method.name, node.attr


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _fields(classes: Iterable[ast.ClassDef]) -> set[str]:
    """Names that the bodies of classes declare or assign."""
    return {
        target.id
        for node in (node for owner in classes for node in owner.body)
        for target in ([node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", []))
        if isinstance(target, ast.Name)
    }


def _listed(file: File, importers: Sequence[str]) -> dict[str, object]:
    places = sorted({unit(name) if in_pipeline(name) else name.split(".")[0] for name in importers})
    return {"name": file.name, "lines": file.lines, "importers": len(importers), "imported_by": places}


def _packages(files: Mapping[str, File], importers: Mapping[str, Sequence[str]]) -> dict[str, list[dict[str, object]]]:
    """The files of every package, faces among them, with their lines and numbers of importers."""
    found: dict[str, list[dict[str, object]]] = {}
    for name, file in sorted(files.items()):
        package = name if file.is_face else name.rpartition(".")[0]
        module = "__init__" if file.is_face else name.rpartition(".")[2]
        found.setdefault(package, []).append({"name": module, "lines": file.lines, "importers": len(importers[name])})
    return found


def _words(root: Path) -> dict[str, object]:
    folders = {"pipeline": (PIPELINE,), "beside": BESIDE, "tests": ("tests",)}
    names = {part: [name for folder in folders[part] for name in _names(root / folder, root)] for part in folders}
    old = {part: count_words(found) for part, found in names.items()}
    ambiguous = count_words(names["pipeline"], BY_MEANING)
    return {
        "total": {part: sum(map(len, found.values())) for part, found in old.items()},
        "table": [
            {"old": word.old, "new": word.new} | {part: len(found[word.old]) for part, found in old.items()}
            for word in WORDS
        ],
        "by_meaning": [{"old": word.old, "new": word.new, "pipeline": len(ambiguous[word.old])} for word in BY_MEANING],
        "unused_exemptions": unused_exemptions(names["pipeline"]),
        "where": {word: list(map(_where, found)) for word, found in old["pipeline"].items() if found},
    }


def _names(folder: Path, root: Path) -> list[Binding]:
    return [name for path in python_files(folder) for name in bindings(path, path.relative_to(root).as_posix())]


def _where(binding: Binding) -> str:
    return f"{binding.file}:{binding.line} {binding.kind} {binding.qualified}"


def _as_text(found: dict[str, Any]) -> Iterator[str]:
    yield from _aligned(_figures(found))
    yield from ("", "Classes with attributes that __init__ does not make")
    for owner in found["classes_with_late_attributes"]:
        yield f"  {owner['name']}: {len(owner['late'])} of {owner['total']}: {' '.join(owner['late'])}"
    for title, key in (("under 40", "short_modules"), ("over 350", "long_modules")):
        yield from ("", f"Modules {title} lines: lines, importers, imported by")
        yield from _aligned(
            [(f"  {m['name']}", m["lines"], m["importers"], " ".join(m["imported_by"])) for m in found[key]]
        )
    yield from ("", "Modules without a test at tests/pipeline/<package>/test_<module>.py")
    yield from (f"  {name}" for name in found["modules_without_test"])
    yield from _word_tables(found["words"])
    for package, members in found["packages"].items():
        lines = sum(member["lines"] for member in members)
        yield from ("", f"{package}: {len(members)} files, {lines} lines; lines and importers of each")
        yield from _aligned([(f"  {m['name']}", m["lines"], m["importers"]) for m in members])


def _figures(found: dict[str, Any]) -> list[tuple[str, int, str]]:
    """Name, figure and detail."""
    words, largest = found["words"], found["largest_object"] or {"name": "none", "total": 0, "late": []}
    types = f"{found['imports_for_types_only']} imports for types only"
    return [
        ("modules in pipeline/", found["modules"], ""),
        ("  flat in pipeline/", found["flat_modules"], ""),
        ("  with one importer", found["modules_with_one_importer"], ""),
        ("  under 40 lines", len(found["short_modules"]), ""),
        ("  over 350 lines", len(found["long_modules"]), ""),
        ("  without a test at its mirror", len(found["modules_without_test"]), ""),
        ("layers of packages", found["layers"], f"{found['names_in_layers']} names"),
        ("circles of units", len(found["circles_of_units"]), _circles(found["circles_of_units"])),
        ("  with imports for types", len(found["circles_of_units_with_types"]), types),
        ("circles of files", len(found["circles_of_files"]), _circles(found["circles_of_files"])),
        ("floors of units", len(found["floors_of_units"]), " > ".join(found["floors_of_units"])),
        ("floors of files", len(found["floors_of_files"]), " > ".join(found["floors_of_files"])),
        ("attributes of the largest object", largest["total"], largest["name"]),
        ("  born late", len(largest["late"]), ""),
        ("old words in pipeline/", words["total"]["pipeline"], f"{len(words['where'])} of {len(WORDS)} words"),
        ("  beside it", words["total"]["beside"], " ".join(BESIDE)),
        ("  in tests/", words["total"]["tests"], ""),
    ]


def _word_tables(words: dict[str, Any]) -> Iterator[str]:
    yield from ("", "Old words: new word; names in pipeline/, beside it, in tests/")
    yield from _aligned(
        [(f"  {row['old']}", row["new"], row["pipeline"], row["beside"], row["tests"]) for row in words["table"]]
    )
    yield from ("", "Words that stay for one meaning, which only a reader can judge: names in pipeline/")
    yield from _aligned([(f"  {row['old']}", row["new"], row["pipeline"]) for row in words["by_meaning"]])
    if words["unused_exemptions"]:
        yield from ("", f"Exemptions for names that no file has: {' '.join(words['unused_exemptions'])}")


def _circles(found: Sequence[Sequence[str]]) -> str:
    return "; ".join("+".join(circle) for circle in found)


def _aligned(rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """Rows as columns: numbers to the right."""
    widths = [max(len(str(cell)) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  ".join(
            str(cell).rjust(width) if isinstance(cell, int) else str(cell).ljust(width) for cell, width in cells
        ).rstrip()


if __name__ == "__main__":
    main()
