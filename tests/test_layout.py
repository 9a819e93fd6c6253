"""What import-linter does not follow: the single modules at the top, and packages that nobody declared."""

import ast
import re
from importlib.metadata import packages_distributions
from pathlib import Path

from scripts.layout_graph import circles, read_files

ROOT = Path(__file__).parents[1]
OWN = {"cli", "config", "data_generator", "jobs", "main", "pipeline", "utils"}


def imported(path: Path) -> set[str]:
    """Modules that a file imports, also inside its functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_settings_import_nothing_of_the_data_path() -> None:
    own = {name for name in imported(ROOT / "config.py") if name.partition(".")[0] in OWN}
    declarations = {
        "errors",
        "privacy",
        "quality",
        "reading.rotated_names",
        "reading.timestamp_format",
        "reading.value_formats",
        "versions.folders",
    }
    assert own <= {f"pipeline.{name}" for name in declarations} | {"utils.metrics", "utils.settings", "utils.units"}


def test_no_files_import_each_other_even_inside_functions() -> None:
    files = read_files(ROOT)
    assert len(files) > 100
    assert circles({name: file.imports | file.for_types for name, file in files.items()}) == []


def test_nobody_imports_main() -> None:
    for package in OWN - {"main", "config"}:
        for path in (ROOT / package).rglob("*.py"):
            assert "main" not in imported(path), path


def test_no_utility_imports_the_project() -> None:
    for path in (ROOT / "utils").glob("*.py"):
        own = {name for name in imported(path) if name.partition(".")[0] in OWN}
        assert all(name.startswith("utils") for name in own), path
    assert len(list((ROOT / "utils").glob("*.py"))) <= 4


def test_every_package_that_is_imported_is_required_and_the_other_way_round() -> None:
    top = {
        name.partition(".")[0]
        for package in OWN - {"main", "config"}
        for path in [*(ROOT / package).rglob("*.py"), ROOT / "main.py", ROOT / "config.py"]
        for name in imported(path)
    }
    distributions = packages_distributions()
    used = {
        distributions[name][0].lower().replace(".", "-") for name in top if name in distributions and name not in OWN
    }
    names = "dashboard", "databases", "delta", "demo", "storage", "encryption", "lineage"
    extras = [(ROOT / f"requirements-{extra}.txt").read_text() for extra in names]
    extra = set(re.findall(r"^([\w-]+)==", "\n".join(extras), flags=re.MULTILINE))
    direct = (ROOT / "requirements.txt").read_text(encoding="utf-8").partition("# Brought by")[0]
    required = {name.lower() for name in re.findall(r"^([\w-]+)==", direct, flags=re.MULTILINE)}
    assert used <= required | extra | {"py4j"}
    assert required - {"ziglang"} <= used  # a compiler, which is run
