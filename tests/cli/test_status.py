"""Tables of ``status``, also of very many files."""

import io

import pytest

from cli import status
from cli.status import print_files
from cli.terminal import PipeConsole
from pipeline.inspection.status import FileState


def printed(files: list[FileState]) -> str:
    text = io.StringIO()
    print_files(files, "nothing was read yet", PipeConsole(text, width=80))
    return text.getvalue()


def test_of_very_many_files_the_first_are_listed_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "MAX_ROWS", 3)
    files = [FileState(f"{n}.csv", "read" if n % 2 else "counted", 10, n) for n in range(5)]
    files.append(FileState("old.csv", "superseded", 10, 1))
    text = printed(files)
    assert [name in text for name in ("0.csv", "1.csv", "2.csv", "3.csv", "4.csv")] == [True, True, True, False, False]
    assert "and 2 more files: --json lists all" in text
    assert "3 counted; 2 read; 1 superseded" in text
    assert "more files" not in printed(files[:3])


def test_no_files_are_told() -> None:
    assert printed([]) == "nothing was read yet\n"
