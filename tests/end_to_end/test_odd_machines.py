"""Machines and shells that are set up otherwise: a plain message with exit code 5, or the same result as anywhere."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.command import command
from tests.end_to_end.days import expected, write_days
from tests.end_to_end.program import ROOT, Ended, environment, finish, published, run, start
from tests.harness import run_here


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return write_days(tmp_path / "logs", rows=200)


def mounted(script: str) -> list[str]:
    """A command that starts others behind mounts of their own."""
    command = ["unshare", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*command, script], capture_output=True, check=False).returncode:
        pytest.skip("this user or container may not mount file systems")
    return [*command, f'{script} && exec "$@"', "sh"]


def limited(limit: str) -> list[str]:
    return ["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"]


def refused(logs: Path, under: list[str]) -> str:
    """The message of a run under a command, which must be all that stderr holds, with exit code 5."""
    program = start("--input", logs, "--engine", "polars", "--quiet", cwd=logs.parent, under=under)
    ended = finish(program)
    assert (ended.code, ended.out) == (5, ""), ended.err
    (message,) = ended.err.splitlines()
    assert message.startswith("error: ")
    assert "fault in the program" not in message
    assert "every file" not in message
    return message


MOUNTS = {
    "read-only shared memory": ("mount -t tmpfs -o ro tmpfs /dev/shm", "/dev/shm", "shared memory"),
    "full shared memory": ("mount -t tmpfs -o size=4k tmpfs /dev/shm", "/dev/shm", "shared memory"),
    "no shared memory": ("mount -t tmpfs tmpfs /dev", "/dev/shm", "shared memory"),
    "no /proc": ("mount -t tmpfs tmpfs /proc", "/proc", "processes"),
}


@pytest.mark.parametrize("what", MOUNTS)
def test_what_is_not_mounted(what: str, logs: Path) -> None:
    script, named, check = MOUNTS[what]
    assert named in refused(logs, mounted(script))
    told = run("doctor", "--no-spark", "--input", logs, cwd=logs.parent, under=mounted(script))
    assert told.code == 5
    (line,) = [line for line in told.out.splitlines() if line.startswith("fail") and check in line]
    assert named in line


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("-n 16", "ulimit -n 65536"),
        ("-v 500000", "memory"),
        ("-v 1000000", "memory"),
        ("-f 1", "ulimit -f"),
        ("-f 40", "manifest.sqlite"),
        ("-f 900", "ulimit -f"),
    ],
)
def test_limits_of_the_shell(limit: str, named: str, logs: Path) -> None:
    assert named in refused(logs, limited(limit))
    run_here(logs.parent)
    assert published(logs.parent) == expected(sorted(logs.glob("*.csv")))[0]


VARIABLES = {
    "safe path": {"PYTHONSAFEPATH": "1"},
    "polars on a gpu": {"POLARS_ENGINE_AFFINITY": "gpu"},
    "polars on nonsense": {"POLARS_ENGINE_AFFINITY": "nonsense", "POLARS_MAX_THREADS": "many"},
    "no assertions": {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "7"},
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "arrow": {"ARROW_DEFAULT_MEMORY_POOL": "nonsense", "OMP_NUM_THREADS": "many"},
    "spark and java elsewhere": {"SPARK_HOME": "/nowhere", "JAVA_HOME": "/nowhere", "PYSPARK_PYTHON": "/nowhere"},
    "no home": {"HOME": "/nowhere"},
    "temporary files nowhere": {"TMPDIR": "/nowhere"},
    "a terminal of no kind": {"COLUMNS": "many", "TERM": "none", "TZ": "Nowhere/Land", "LC_ALL": "none"},
}


@pytest.mark.parametrize("what", VARIABLES)
def test_variables_of_the_shell_change_nothing(what: str, logs: Path) -> None:
    env = environment() | VARIABLES[what]
    ended = run("--input", logs, "--engine", "polars", "--quiet", cwd=logs.parent, env=env)
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert published(logs.parent) == expected(sorted(logs.glob("*.csv")))[0]


def test_a_relative_cache_is_ignored(logs: Path) -> None:
    env = environment() | {
        "XDG_CACHE_HOME": "caches",
        "HOME": str(logs.parent / "home"),
        "LOGMILL_COMPILED_PARSER": "0",
    }
    ended = run("--input", logs, "--engine", "polars", "--quiet", cwd=logs.parent, env=env)
    assert (ended.code, ended.err) == (0, "")
    assert not (logs.parent / "caches").exists()
    assert (logs.parent / "home" / ".cache" / "logmill").is_dir()


MASKS = ["000", "077", *([] if os.geteuid() else ["777"])]
"""777 locks any owner but root out of what he makes."""


@pytest.mark.parametrize("mask", MASKS)
def test_a_mask_of_permissions(mask: str, logs: Path) -> None:
    under = ["sh", "-c", f'umask {mask} && exec "$@"', "sh"]
    ended = run("--input", logs, "--engine", "polars", "--quiet", cwd=logs.parent, under=under)
    assert (ended.code, ended.err) == (0, "")
    assert published(logs.parent) == expected(sorted(logs.glob("*.csv")))[0]


def test_files_with_a_byte_order_mark(logs: Path, tmp_path: Path) -> None:
    """A key is the same with and without the mark, and with either line end."""
    found = set()
    for number, (mark, end) in enumerate([(b"", b""), (b"\xef\xbb\xbf", b"\r\n"), (b"\xef\xbb\xbf", b"\n")]):
        (tmp_path / "key").write_bytes(mark + b"0123456789abcdef" * 4 + end)
        (tmp_path / "config.toml").write_bytes(mark + b'PSEUDONYM_KEY_FILE = "key"\nPSEUDONYMIZE_USERS = true\n')
        out = ("--output", f"out{number}", "--intermediate", f"work{number}", "--config", "config.toml")
        ended = command("--input", logs, "--engine", "polars", "--quiet", *out, cwd=tmp_path)
        assert (ended.code, ended.err) == (0, "")
        users = command("query", "SELECT DISTINCT user_id FROM watch_time ORDER BY ALL", "--format", "csv",
                    "--output", f"out{number}", cwd=tmp_path)  # fmt: skip
        found.add(users.out)
    assert len(found) == 1
    assert len(found.pop().splitlines()) > 10


def test_the_program_from_any_folder(logs: Path) -> None:
    """Its own folder is not on Python's path (-P), and the current one has modules of the same names."""
    for name in ("config.py", "cli.py", "numpy.py", "polars.py"):
        (logs.parent / name).write_text("raise SystemExit('the wrong module')\n")
    command = [sys.executable, "-P", str(ROOT / "main.py"), "--input", str(logs), "--engine", "polars", "--quiet"]
    done = subprocess.run(command, cwd=logs.parent, capture_output=True, text=True, check=False, env=environment())
    assert Ended(done.returncode, done.stdout, done.stderr) == Ended(0, "", "")
    assert published(logs.parent) == expected(sorted(logs.glob("*.csv")))[0]


def test_the_first_run_on_a_machine_says_that_it_prepares(logs: Path) -> None:
    """Only the first one; the time is part of no phase."""
    env = environment(COMPILED_PARSER=0) | {"XDG_CACHE_HOME": str(logs.parent / "cache")}
    told = []
    for _ in range(2):
        ended = run("--input", logs, "--engine", "polars", "--full-refresh", cwd=logs.parent, env=env)
        assert ended.code == 0, ended.err
        told.append(("note: preparing, once on this machine" in ended.err, "preparing" in ended.out))
    assert told == [(True, True), (False, False)]
    first, second = sorted(
        (json.loads(path.read_text()) for path in (logs.parent / "pipeline_data").glob("output.versions/2*/run.json")),
        key=lambda record: record["run_id"],
    )
    assert first["prepare_seconds"] > 0
    assert second["prepare_seconds"] == 0
    for record in first, second:
        seconds = record["seconds"]
        assert seconds["phase1"] <= seconds["total"] - record["prepare_seconds"]
