"""The audit: every line is there as it was written, or it is found."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.datasets.audit import add_entry, audit_file, read_entries, verify, without_literals


@pytest.fixture
def audit(tmp_path: Path) -> Path:
    path = audit_file(tmp_path / "output")
    for number in range(4):
        add_entry(path, "run", {"version": f"v{number}"}, datetime(2026, 1, 1 + number))
    return path


def test_lines_say_who_did_what_when(audit: Path) -> None:
    entries = read_entries(audit)
    assert [(one["number"], one["at"], one["what"], one["facts"]) for one in entries[:2]] == [
        (1, "2026-01-01T00:00:00Z", "run", {"version": "v0"}),
        (2, "2026-01-02T00:00:00Z", "run", {"version": "v1"}),
    ]
    assert entries[0]["who"]
    assert audit.stat().st_mode & 0o777 == 0o600
    assert verify(audit) == verify(audit, entries[1]["hash"]) == []


def _changed(lines: list[str]) -> list[str]:
    return [lines[0], lines[1].replace("v1", "v9"), *lines[2:]]


def _forged(lines: list[str]) -> list[str]:
    return [lines[0], json.dumps({**json.loads(lines[1]), "number": 2, "hash": "f" * 64}), *lines[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_changed, "line 2 was changed"),
        (lambda lines: [lines[0], *lines[2:]], "line 2 does not follow"),
        (lambda lines: lines[1:], "line 1 does not follow"),
        (lambda lines: lines[:-1], "the last line is number 3"),
        (_forged, "line 2 was changed"),
        (lambda lines: [lines[0], lines[0], *lines[1:]], "line 2 does not follow"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 does not follow"),
        (lambda lines: [*lines, "x"], "line 5 is no line"),
        (lambda _: [], "the last line is number 0"),
    ],
)
def test_a_line_that_is_changed_removed_or_inserted_is_found(
    change: Callable[[list[str]], list[str]], message: str, audit: Path
) -> None:
    audit.write_text("".join(f"{line}\n" for line in change(audit.read_text().splitlines())))
    assert verify(audit)[0].startswith(message)


def test_a_chain_that_was_made_anew_lacks_the_hash_that_was_noted(audit: Path) -> None:
    noted = read_entries(audit)[2]["hash"]
    for path in audit.parent.glob("output.audit*"):
        path.unlink()
    add_entry(audit, "run", {"version": "v0"})
    assert verify(audit) == []
    assert verify(audit, noted) == ["no line has the hash that was noted"]


def test_a_line_that_was_cut_off_stays_visible_and_the_next_one_follows(audit: Path) -> None:
    with audit.open("a") as stream:
        stream.write('{"number": 5, "at"')
    add_entry(audit, "run", {})
    assert verify(audit) == ["line 5 is no line of an audit"]


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("select * from t where name = 'Ann ''x''' and n=12.5", "select * from t where name = ? and n = ?"),
        ("from t -- of Ann\nwhere x = $$Ann$$ /* Ann */", "from t ? where x = ? ?"),
        ("from t where ä = E'Ann'", "from t where ä = ?"),
    ],
)
def test_queries_are_told_without_values(sql: str, told: str) -> None:
    assert without_literals(sql) == told
