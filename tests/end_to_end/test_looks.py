"""Looks beside runs that publish one version after another, and keep one alone: none ever fails because of them."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from main import main
from tests.end_to_end.program import HEADER, ROOT, environment, wait_for
from tests.harness import run_here

TAIL = "2026-01-01T00:00:00Z,v,tv,8.8.8.8"
PUBLISHER = """
import sys
from main import main
while True:
    code = main(["--input", "in", "--engine", "polars", "--full-refresh", "--json"])
    assert code == 0, code
"""
PUBLICATIONS = 6


@dataclass(frozen=True)
class Publisher:
    """A program that publishes one version after another in ``folder``; what it prints goes to the file ``log``."""

    program: subprocess.Popen
    folder: Path
    log: Path

    def assert_at_work(self) -> None:
        assert self.program.poll() is None, self.log.read_text()[-2000:]


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    """It publishes until the last look is over."""
    folder = tmp_path_factory.mktemp("looks")
    (folder / "in").mkdir()
    for number in range(3):
        rows = "".join(f"id-{number}-{n},ann,{TAIL},1.5\n" for n in range(50))
        (folder / "in" / f"{number}.csv").write_text(HEADER + rows)
    run_here(folder, "in")
    env = environment(KEEP_VERSIONS=1) | {"PYTHONPATH": str(ROOT)}
    with open(folder / "log", "w") as log:
        program = subprocess.Popen([sys.executable, "-c", PUBLISHER], cwd=folder, env=env, stdout=log, stderr=log)
    try:
        yield Publisher(program, folder, folder / "log")
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
    publisher: Publisher,
    command: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(publisher.folder)
    versions = publisher.folder / "pipeline_data" / "output.versions"
    as_json = () if command[0] == "query" else ("--json",)
    seen, looks = set(), 0
    wait_for(lambda: len(list(versions.glob("2*"))) and publisher.log.stat().st_size > 0, 60)
    while len(seen) < PUBLICATIONS:
        seen.add((publisher.folder / "pipeline_data" / "output").resolve().parent.name)
        publisher.assert_at_work()
        code = main([*command, *as_json])
        looks += 1
        printed = capsys.readouterr()
        assert code == 0, printed.err
        check(command[0], json.loads(printed.out))
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
