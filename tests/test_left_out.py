"""The end of a run says what was left out, whatever was."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.left_out import CAUSES, explain

ROOT = Path(__file__).parents[1]


def test_each_cause_has_a_line_with_its_remedy() -> None:
    reasons = ["Skipped: Spark needs Java: none", "Skipped: no Chromium on this machine", "Skipped: Spark needs Java"]
    assert explain(reasons) == [
        "left out: 2 tests: no Java for Spark. To have them: apt install openjdk-17-jre-headless",
        "left out: 1 test: no Chromium. To have them: apt install chromium",
    ]
    assert explain([]) == []
    assert explain(["Skipped: the moon is full"]) == ["left out: 1 test: the moon is full"]


def test_every_reason_in_the_tests_has_a_remedy() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    written = re.compile(r"""(?:pytest\.skip\(|skipif\(.*reason=)f?"([^"]+)"[^"\n]*\)$""", re.MULTILINE)
    reasons = [reason for text in texts for reason in written.findall(text)]
    assert len(reasons) >= 12
    assert all(any(re.search(pattern, reason) for pattern in CAUSES) for reason in reasons), reasons


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_the_end_of_a_run_says_it(workers: int, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_terminal_summary\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_one(): pytest.skip('no Chromium on this machine')\ndef test_two(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, f"-n{workers}"]

    def last_lines(*more: str) -> list[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        env["PYTHONPATH"] = str(ROOT)
        ended = subprocess.run(
            [*command, *more, "."], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return ended.stdout.splitlines()

    *_, said, summed_up = last_lines()
    assert said == "left out: 1 test: no Chromium. To have them: apt install chromium"
    assert summed_up.startswith("1 passed, 1 skipped in ")
    assert not [line for line in last_lines("-k", "two") if "left out" in line]
