"""What a machine does to a run (full, read-only and closed folders, files that change, a clock set back, a dead JVM):
a clear error with its exit code, nothing lost, and the next run is fine."""

import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.days import expected, make_old, write_day, write_days
from tests.end_to_end.program import environment, finish, published, read_result, run, run_json, start, wait_for
from tests.harness import run_here
from tests.needs import needs_java
from tests.pace import patient

SPLITS = environment(SPLIT_BYTES=40_000)
DAY = 24 * 3600
_DROPPED = "-dac_override,-dac_read_search,-fowner"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB in memory."""
    mount_point = tmp_path / "disk"
    mount_point.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(mount_point)]
    if os.geteuid() or not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user or container may not mount file systems")
    yield mount_point
    subprocess.run(["umount", "-l", str(mount_point)], check=True)


def obeying() -> list[str]:
    """A command that starts others without root's right to pass over permissions."""
    if os.geteuid():
        return []
    command = ["setpriv", "--bounding-set", _DROPPED, "--inh-caps", _DROPPED]
    if not shutil.which("setpriv") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("root cannot give up its rights here")
    return command


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two logs in a folder."""
    return write_days(tmp_path / "logs", rows=3000)


def all_of(logs: Path) -> list[tuple]:
    return expected(sorted(logs.glob("*.csv")))[0]


@pytest.mark.parametrize(("full", "free"), [("work", [4, 128, 400]), ("out", [0, 200])], ids=["intermediate", "output"])
def test_a_disk_that_is_full(full: str, free: list[int], disk: Path, logs: Path, tmp_path: Path) -> None:
    """``free``: kB that are left; the more, the later the run meets the end."""
    folders = {"out": tmp_path / "out", "work": tmp_path / "work"} | {full: disk / full}
    words = ("--input", logs, "--output", folders["out"], "--intermediate", folders["work"])
    run_here(tmp_path, logs, OUTPUT_DIR=folders["out"], INTERMEDIATE_DIR=folders["work"], SPLIT_BYTES=40_000)
    for number, kilobytes in enumerate(free):
        before = read_result(folders["out"])
        write_day(logs / f"new-{number}.csv", random.Random(kilobytes), rows=3000)
        status = os.statvfs(disk)
        (disk / "filler").write_bytes(bytes(status.f_bavail * status.f_frsize - kilobytes * 1024))
        error = run_json(*words, cwd=tmp_path, env=SPLITS, code=5)["error"]
        assert any(reason in error for reason in ("No space left", "disk I/O error", "disk is full", " free; this")), (
            error
        )
        assert "--full-refresh" not in error, "nothing is damaged"
        assert str(disk) in error, "it says which folder is full"
        assert read_result(folders["out"]) == before
        (disk / "filler").unlink()
        command_json(*words, cwd=tmp_path, env=SPLITS)
        assert read_result(folders["out"]) == all_of(logs)


@pytest.mark.parametrize("closed", ["work", "out"])
def test_a_read_only_file_system(closed: str, disk: Path, logs: Path, tmp_path: Path) -> None:
    folders = {"out": tmp_path / "out", "work": tmp_path / "work"} | {closed: disk / closed}
    words = ("--input", logs, "--output", folders["out"], "--intermediate", folders["work"])
    run_here(tmp_path, logs, OUTPUT_DIR=folders["out"], INTERMEDIATE_DIR=folders["work"])
    before = read_result(folders["out"])
    write_day(logs / "new.csv", random.Random(9))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    error = run_json(*words, cwd=tmp_path, code=5)["error"]
    assert "Read-only file system" in error
    assert str(disk) in error
    assert read_result(folders["out"]) == before
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    command_json(*words, cwd=tmp_path)
    assert read_result(folders["out"]) == all_of(logs)


CLOSED = {
    "the output's parent": ("pipeline_data/output.versions", 5),
    "the intermediate folder": ("pipeline_data/intermediate", 5),
    "the store": ("pipeline_data/intermediate/store/rows", 5),
    "the manifest": ("pipeline_data/intermediate/manifest.sqlite", 5),
    "the input folder": ("logs", 3),
    "a log": ("logs/new.csv", 6),
}


@pytest.mark.parametrize("what", CLOSED)
def test_permission_denied(what: str, logs: Path, tmp_path: Path) -> None:
    under = obeying()
    run_here(tmp_path)
    before = published(tmp_path)
    write_day(logs / "new.csv", random.Random(9))
    name, code = CLOSED[what]
    path = tmp_path / name
    mode = path.stat().st_mode
    path.chmod(0o000 if "logs" in name or path.is_file() else 0o500)
    try:
        answer = run_json("--input", "logs", cwd=tmp_path, code=code, under=under)
    finally:
        path.chmod(mode)
    reason = answer["error"] or answer["refused_files"][0]["reason"]
    assert "ermission denied" in reason or "unable to open database" in reason or "readonly" in reason, reason
    assert "--full-refresh" not in reason, "nothing is damaged"
    assert published(tmp_path) == before
    run_json("--input", "logs", cwd=tmp_path, under=under)
    assert published(tmp_path) == all_of(logs)


def _append(path: Path) -> None:
    with path.open("a") as stream:
        stream.write("late,u,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1\n")


@pytest.mark.parametrize(("change", "code"), [(_append, 0), (Path.unlink, 6)])
def test_a_log_that_is_appended_or_vanishes_while_it_is_read(
    change: Callable[[Path], None], code: int, logs: Path, tmp_path: Path
) -> None:
    """What was there when the run began counts, or what was published before."""
    run_here(tmp_path)
    before = published(tmp_path)
    large = logs / "large.csv"
    write_day(large, random.Random(5), rows=60_000, ids=10**6)
    rows = tmp_path / "pipeline_data" / "intermediate" / "store" / "rows"
    read = len(list(rows.iterdir()))
    env = environment(SPLIT_BYTES=40_000, COMPILED_PARSER=0)
    found = all_of(logs)
    program = start("--input", "logs", "--engine", "polars", "--json", cwd=tmp_path, env=env)
    wait_for(lambda: len(list(rows.glob("*.parquet"))) > read)
    change(large)
    ended = finish(program)
    assert (ended.code, ended.answer["status"]) == (code, "partial" if code else "ok"), ended.err
    assert published(tmp_path) == (before if code else found)
    if code:
        ((refused),) = ended.answer["refused_files"]
        assert refused["file"] == "logs/large.csv"
        assert "cannot be read" in refused["reason"]
    if not large.exists():
        write_day(large, random.Random(5), rows=60_000, ids=10**6)
    make_old(large)
    again = command_json("--input", "logs", cwd=tmp_path, env=env)
    assert again["new"]["records_read"] == (60_000 if code else 1)
    assert published(tmp_path) == all_of(logs)


def test_more_splits_than_files_may_be_open(logs: Path, tmp_path: Path) -> None:
    """The usual limit is a soft one of 1,024, far below the hard one; 100 gigabytes of history are as many splits."""
    few = ["sh", "-c", 'ulimit -Sn 60 && exec "$@"', "sh"]
    small = environment(SPLIT_BYTES=3_000)
    first = run("--input", "logs", "--engine", "polars", "--json", cwd=tmp_path, env=small, under=few)
    assert first.code == 0, first.err
    write_day(logs / "2.csv", random.Random(2), rows=300)
    make_old(logs / "2.csv")
    second = run("--input", "logs", "--engine", "polars", "--json", cwd=tmp_path, env=small, under=few)
    assert second.code == 0, second.err
    assert second.answer["new"]["files"] == 1
    assert published(tmp_path) == all_of(logs)


def test_a_temporary_folder_whose_path_is_too_long_for_a_socket(logs: Path, tmp_path: Path) -> None:
    """The server that forks workers listens there; without one they are spawned."""
    temporary = tmp_path / "long" / ("x" * 100)
    temporary.mkdir(parents=True)
    run_json("--input", logs, cwd=tmp_path, env=environment() | {"TMPDIR": str(temporary)})
    assert published(tmp_path) == expected(sorted(logs.glob("*.csv")))[0]


def test_a_clock_that_was_set_back(logs: Path, tmp_path: Path) -> None:
    """All files have times of tomorrow. The newest version is still the last to go; a changed log is noticed."""
    env = environment(KEEP_VERSIONS=2)
    first, second = (run_here(tmp_path, KEEP_VERSIONS=2, COMPRESSION=codec).run_id for codec in ("lz4", "zstd"))
    versions = tmp_path / "pipeline_data" / "output.versions"
    for path in [*logs.iterdir(), *(tmp_path / "pipeline_data").rglob("*")]:
        if not path.is_symlink():
            status = path.stat()
            os.utime(path, (status.st_atime + DAY, status.st_mtime + DAY))
    log = logs / "0.csv"
    status = log.stat()
    log.write_text(log.read_text().replace(",2.5\n", ",9.5\n"))
    os.utime(log, ns=(status.st_atime_ns, status.st_mtime_ns))
    third = command_json("--input", "logs", cwd=tmp_path, env=env)["run_id"]
    assert published(tmp_path) == all_of(logs)
    assert {path.name for path in versions.iterdir() if path.name[0] == "2"} == {second, third}
    fourth = command_json("--input", "logs", cwd=tmp_path, env=env | {"LOGMILL_COMPRESSION": "lz4"})["run_id"]
    assert {path.name for path in versions.iterdir() if path.name[0] == "2"} == {third, fourth}
    assert command("rollback", cwd=tmp_path).code == 0
    assert third in os.readlink(tmp_path / "pipeline_data" / "output")
    assert first not in {path.name for path in versions.iterdir()}


@needs_java
@pytest.mark.parametrize("victim", ["java", "main"])
def test_spark_killed_in_the_middle(victim: str, logs: Path, tmp_path: Path) -> None:
    """Whether the JVM or the main process is killed, the other ends too, and the next run uses the work of Phase 1."""
    run_here(tmp_path)
    before = published(tmp_path)
    write_day(logs / "new.csv", random.Random(9), rows=30_000)
    work = tmp_path / "pipeline_data" / "intermediate"
    earlier = set(work.glob("run-*"))
    program = start("--input", "logs", "--full-refresh", "--engine", "spark", "--json", cwd=tmp_path, env=SPLITS)
    wait_for(lambda: any(any(run.glob("merge/*")) or any(run.glob("pending/*")) or any(run.glob("totals/*"))
                         for run in set(work.glob("run-*")) - earlier))  # fmt: skip
    family = psutil.Process(program.pid).children(recursive=True)
    (java,) = [child for child in family if "java" in child.name()]
    os.kill(java.pid if victim == "java" else program.pid, signal.SIGKILL)
    ended = finish(program)
    if victim == "java":
        assert ended.code == 5, ended.err
        assert "Spark failed" in ended.answer["error"]
    _, alive = psutil.wait_procs(family, timeout=patient(10))
    assert not alive
    assert published(tmp_path) == before
    answer = command_json("--input", "logs", cwd=tmp_path, env=SPLITS)
    assert answer["new"]["reused_splits"] > 0
    assert published(tmp_path) == all_of(logs)
