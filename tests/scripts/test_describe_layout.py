"""The figures of a made-up program, all of which are known."""

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from scripts.describe_layout import describe, main
from scripts.layout_words import EXEMPT, Word, bindings, count_words, spaced, unused_exemptions

ROOT = Path(__file__).parents[2]
FILES = {
    ".importlinter": """\
        [importlinter:contract:program]
        layers =
            cli
            pipeline

        [importlinter:contract:packages]
        name = The packages of the data path
        containers =
            pipeline
        exhaustive = True
        layers =
            run
            reading | job
            errors
        """,
    "main.py": "from pipeline import run\n",
    "pipeline/__init__.py": "",
    "pipeline/run.py": """\
        from dataclasses import dataclass

        from pipeline import job
        from pipeline.reading import read


        class Base:
            def __init__(self) -> None:
                self.made = 1


        class Run(Base):
            limit: int = 0

            def __init__(self, job) -> None:
                self.job, self.rows = job, 0

            def read(self, held) -> None:
                self.rows = self.limit = self.made = 2
                self.late, self.here = read(held), [these for these in held]
                other.foreign = 1


        @dataclass
        class KnownFile:
            shown: str
        """,
    "pipeline/job.py": "def make():\n    from pipeline.reading.rows import Rows\n    return Rows\n",
    "pipeline/errors.py": "touched_ids = 1\n" + "\n" * 400,
    "pipeline/reading/__init__.py": "from pipeline.reading.rows import Rows as read\n",
    "pipeline/reading/rows.py": """\
        from typing import TYPE_CHECKING

        from ..errors import touched_ids
        from . import values

        if TYPE_CHECKING:
            from pipeline.job import make


        class Rows:
            pass
        """,
    "pipeline/reading/values.py": "from pipeline.errors import touched_ids\n",
    "cli/show.py": "from pipeline.reading.values import touched_ids\n\nshown = 1\n",
    "tests/pipeline/test_job.py": "from pipeline import errors\n\nsettled = 1\n",
    "tests/pipeline/reading/test_rows.py": "",
}


@pytest.fixture
def program(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    return tmp_path


@pytest.fixture
def found(program: Path) -> dict[str, Any]:
    return describe(program)


def test_modules_and_their_importers(found: dict[str, Any]) -> None:
    assert (found["modules"], found["flat_modules"], found["modules_with_one_importer"]) == (5, 3, 2)
    assert found["packages"] == {
        "pipeline": [
            {"name": "errors", "lines": 401, "importers": 2},
            {"name": "job", "lines": 3, "importers": 1},
            {"name": "run", "lines": 26, "importers": 1},
        ],
        "pipeline.reading": [
            {"name": "__init__", "lines": 1, "importers": 1},
            {"name": "rows", "lines": 11, "importers": 2},
            {"name": "values", "lines": 1, "importers": 2},
        ],
    }


def test_short_and_long_modules(found: dict[str, Any]) -> None:
    assert [module["name"] for module in found["short_modules"]] == [
        f"pipeline.{name}" for name in ("job", "reading.rows", "reading.values", "run")
    ]
    assert found["short_modules"][2]["imported_by"] == ["cli", "pipeline.reading"]
    assert found["long_modules"] == [
        {"name": "pipeline.errors", "lines": 401, "importers": 2, "imported_by": ["pipeline.reading"]}
    ]


def test_layers(found: dict[str, Any]) -> None:
    assert (found["layers"], found["names_in_layers"]) == (3, 4)


def test_circles_with_and_without_imports_for_types(found: dict[str, Any]) -> None:
    assert found["circles_of_units"] == found["circles_of_files"] == []
    assert found["circles_of_units_with_types"] == [["pipeline.job", "pipeline.reading"]]
    assert found["imports_for_types_only"] == 1


def test_a_circle_is_one_floor(program: Path) -> None:
    (program / "pipeline/reading/values.py").write_text("import pipeline.job\n")
    found = describe(program)
    assert found["circles_of_units"] == [["pipeline.job", "pipeline.reading"]]
    assert found["circles_of_files"] == [["pipeline.job", "pipeline.reading.rows", "pipeline.reading.values"]]
    assert found["floors_of_units"] == ["pipeline.run", "pipeline.job+pipeline.reading", "pipeline.errors"]


def test_floors(found: dict[str, Any]) -> None:
    assert found["floors_of_units"] == ["pipeline.run", "pipeline.job", "pipeline.reading", "pipeline.errors"]
    assert [name.removeprefix("pipeline.") for name in found["floors_of_files"]] == [
        "run", "job", "reading.rows", "reading.values", "errors",
    ]  # fmt: skip


def test_attributes_that_init_does_not_make(found: dict[str, Any]) -> None:
    run = {"name": "pipeline.run.Run", "total": 6, "late": ["here", "late"]}
    assert found["largest_object"] == run
    assert found["classes_with_late_attributes"] == [run]


def test_modules_without_a_test_at_their_mirror(found: dict[str, Any]) -> None:
    assert found["modules_without_test"] == ["pipeline.run"]


def test_modules_that_hold_only_types_need_no_test(program: Path) -> None:
    method = "class Rules:\n    def first(self):\n        return 1\n"
    for name in ("context", "tasks", "rules"):
        (program / f"pipeline/reading/{name}.py").write_text(method)
    (program / "pipeline/reading/kinds.py").write_text("class Kind:\n    name: str\n")
    assert describe(program)["modules_without_test"] == ["pipeline.reading.rules", "pipeline.run"]


def test_old_words_are_counted_where_names_are_bound(found: dict[str, Any]) -> None:
    words = found["words"]
    assert words["where"] == {
        "Job, job": ["pipeline/run.py:15 parameter Run.__init__.job", "pipeline/run.py:16 variable Run.job"],
        "Base, base": ["pipeline/run.py:7 class Base"],
        "touched": ["pipeline/errors.py:1 variable touched_ids"],
        "here": ["pipeline/run.py:20 variable Run.here"],
        "these": ["pipeline/run.py:20 variable Run.read.these"],
        "held": ["pipeline/run.py:18 parameter Run.read.held"],
        "job.py": ["pipeline/job.py:1 module job"],
    }
    assert words["total"] == {"pipeline": 8, "beside": 1, "tests": 1}
    assert {"old": "touched", "new": "affected", "pipeline": 1, "beside": 0, "tests": 0} in words["table"]
    assert "KnownFile.shown" not in words["unused_exemptions"]
    assert "KnownVersion.base" in words["unused_exemptions"]


def test_every_kind_of_binding(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text(
        "import a as b\nfrom c import d as e, f\ng: int = 1\n"
        "for h, (i, *j) in k: pass\nwith l as m: pass\ntry: pass\nexcept n as o: pass\n"
        "if (p := 1): q = lambda r: s\n"
        "async def t(u, /, *v, w=1, **x): global_ = [y for y in u]; self.z = u.z = 1\n"
        "match p:\n    case [A, *B]: pass\n    case C(d=D) as E: pass\n    case {1: F}: pass\n"
    )
    names = {binding.name for binding in bindings(path, "file.py")}
    assert names == {"file", "global_", *"beghijmopqrtuvwxyABDEF"}


def test_a_word_is_found_in_every_spelling() -> None:
    assert {spaced(name) for name in ("TakeOver", "_TakeOver", "take_over", "TAKE_OVER", "takeOver_")} == {"take over"}


def test_exempt_names_are_left_out_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("class A:\n    old: int\n\n\ndef old(): pass\n")
    names, words = bindings(path, "file.py"), [Word("old", "^old$", "new")]
    assert [name.kind for name in count_words(names, words, {})["old"]] == ["variable", "function"]
    assert [name.kind for name in count_words(names, words, {"A.old": "stored"})["old"]] == ["function"]
    assert unused_exemptions(names, {"A.old": "stored", "B.old": "stored"}) == ["B.old"]
    assert all(EXEMPT.values())


def test_the_command_line(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(program), "--json"])
    assert json.loads(capsys.readouterr().out) == describe(program)
    main([str(program)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["flat", "in", "pipeline/", "3"] in lines
    assert ["pipeline.run.Run:", "2", "of", "6:", "here", "late"] in lines


def test_this_repository_can_be_described_without_importing_it() -> None:
    command = [sys.executable, "-I", "-S", "-c"]
    program = (
        "import sys; sys.path.insert(0, '.')\nfrom scripts.describe_layout import main\nmain(['--json'])\n"
        "assert not {'pipeline', 'cli', 'config'} & set(sys.modules)\n"
    )
    done = subprocess.run([*command, program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["modules"] > 0


def test_a_folder_without_a_program_has_no_figures(tmp_path: Path) -> None:
    found = describe(tmp_path)
    assert (found["modules"], found["layers"], found["floors_of_units"], found["largest_object"]) == (0, 0, [], None)
    main([str(tmp_path)])
