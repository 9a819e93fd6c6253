"""Looks beside runs that publish one version after another, and keep one alone: none ever fails because of them."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from main import main
from tests.end_to_end.program import HEADER, ROOT, environment, run_json, wait_for

TAIL = "2026-01-01T00:00:00Z,v,tv,8.8.8.8"
PUBLISHER = """
import sys
from main import main
while True:
    code = main(["--input", "in", "--engine", "polars", "--full-refresh", "--json"])
    assert code == 0, code
"""
PUBLICATIONS = 6


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(3):
        rows = "".join(f"id-{number}-{n},ann,{TAIL},1.5\n" for n in range(50))
        (tmp_path / "in" / f"{number}.csv").write_text(HEADER + rows)
    run_json("--input", "in", cwd=tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def publisher(place: Path) -> Iterator[subprocess.Popen]:
    env = environment(KEEP_VERSIONS=1) | {"PYTHONPATH": str(ROOT)}
    with open(place / "said", "w") as said:
        program = subprocess.Popen([sys.executable, "-c", PUBLISHER], cwd=place, env=env, stdout=said, stderr=said)
    try:
        yield program
    finally:
        program.terminate()
        program.wait()


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("--input", "in", "--engine", "polars", "--dry-run"),
        ("plan", "--input", "in", "--engine", "polars"),
        ("explain", "id-1-7"),
        ("explain", "--user", "ann"),
        ("query", "select geo_region, user_id, event_count from watch_time", "--format", "json"),
    ],
    ids=lambda command: " ".join(command[:2] if command[0] != "--input" else command[4:]),
)
def test_a_look_beside_runs_sees_one_version(
    place: Path, command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    versions = place / "pipeline_data" / "output.versions"
    as_json = () if command[0] == "query" else ("--json",)
    seen, looks = set(), 0
    with publisher(place) as program:
        wait_for(lambda: len(list(versions.glob("2*"))) and (place / "said").stat().st_size > 0, 60)
        while len(seen) < PUBLICATIONS:
            seen.add((place / "pipeline_data" / "output").resolve().parent.name)
            assert program.poll() is None, (place / "said").read_text()[-2000:]
            code = main([*command, *as_json])
            looks += 1
            said = capsys.readouterr()
            assert code == 0, said.err
            check(command[0], json.loads(said.out))
    assert looks >= PUBLICATIONS


def check(command: str, answer: object) -> None:
    match command, answer:
        case "status", {"files": files, "versions": versions}:
            assert sum(version["current"] for version in versions) <= 1
            counted = [file for file in files if file["state"] == "counted"]
            assert len(counted) == 3
        case "explain", {"copies": copies}:
            assert Counter(copy["outcome"] for copy in copies if copy["outcome"] != "not counted") == {"counts": 1}
        case "explain", {"event_count": events, "agrees": agrees}:
            assert (events, agrees) == (150, True)
        case "query", [{"user_id": user, "event_count": events}]:
            assert (user, events) == ("ann", 150)
        case "--input", {"files": files}:
            assert len(files) == 3
            assert {file["state"] for file in files} <= {"reuse", "resume"}, "a run has begun to read them anew"
        case "plan", {"files": states}:
            assert sum(states.values()) == 3
            assert set(states) <= {"reuse", "resume"}
        case _:
            raise AssertionError(answer)
