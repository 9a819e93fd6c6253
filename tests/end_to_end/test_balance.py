"""Conservation when the program itself is at fault: a worker's count is falsified on its way back."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.program import ROOT, environment, published
from tests.harness import run_here
from tests.pace import patient

FALSIFIED = """
import dataclasses, sys
sys.path.insert(0, {root!r})
from main import main
from pipeline.aggregate.aggregator import aggregate
from pipeline.preprocess.preprocessor import read_parts
from pipeline.engines.local import LocalEngine

honest = LocalEngine.map

def falsified(self, kernel, context, tasks, advance):
    for task, found in honest(self, kernel, context, tasks, advance):
        if kernel is {kernel} and ({where}):
            change = lambda result, **more: dataclasses.replace(
                result, **{{name: getattr(result, name) + by for name, by in more.items()}})
            found = {found}
        yield task, found

LocalEngine.map = falsified
sys.exit(main(sys.argv[1:]))
"""


def run_falsified(folder: Path, logs: Path, kernel: str, where: str, found: str) -> tuple[int, dict]:
    program = FALSIFIED.format(root=str(ROOT), kernel=kernel, where=where, found=found)
    ended = subprocess.run(
        [sys.executable, "-c", program, "--input", str(logs), "--engine", "polars", "--json",
         "--full-refresh"],
        cwd=folder, env=environment(), capture_output=True, text=True, timeout=patient(90),
    )  # fmt: skip
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, json.loads(ended.stdout)


@pytest.mark.parametrize("count", ["records", "duplicates", "handed_over"])
def test_a_file_that_does_not_balance_is_refused(count: str, logs: Path, tmp_path: Path) -> None:
    first, *others = sorted(logs.glob("*.csv"))
    (tmp_path / "others").mkdir()
    for path in others:
        shutil.copy(path, tmp_path / "others")
    run_here(tmp_path, "others/*.csv")
    expected = published(tmp_path)
    code, answer = run_falsified(
        tmp_path, logs, "read_parts", "True",
        f"[(change(part[0], {count}=1), part[1]) if one.path.endswith({first.name!r}) and part[0] else part "
        "for one, part in zip(task, found)]",
    )  # fmt: skip
    assert (code, answer["status"]) == (6, "partial")
    (refused,) = answer["refused_files"]
    assert refused["file"] == str(first)
    assert "does not balance" in refused["reason"]
    assert published(tmp_path) == expected


@pytest.mark.parametrize(
    ("kernel", "where", "found"),
    [
        (
            "read_parts",
            "found[0][0]",
            "[(change(found[0][0], records=-1, handed_over=-1), found[0][1]), *found[1:]]",
        ),
        (
            "read_parts",
            "found[0][0]",
            "[(change(found[0][0], duplicates=1, handed_over=-1), found[0][1]), *found[1:]]",
        ),
        ("aggregate", "True", "change(found, kept=-1)"),
        ("aggregate", "True", "change(found, kept=-1, duplicates=1)"),
        ("aggregate", "True", "change(found, rows=-1, duplicates=-1)"),
    ],
)
def test_a_run_that_does_not_balance_publishes_nothing(
    kernel: str, where: str, found: str, logs: Path, tmp_path: Path
) -> None:
    run_here(tmp_path, min(logs.glob("*.csv")))
    before = published(tmp_path)
    versions = set((tmp_path / "pipeline_data" / "output.versions").iterdir())
    code, answer = run_falsified(tmp_path, logs, kernel, where, found)
    assert (code, answer["status"]) == (1, "failed")
    assert "a fault in the program" in answer["error"]
    assert published(tmp_path) == before
    assert set((tmp_path / "pipeline_data" / "output.versions").iterdir()) == versions
