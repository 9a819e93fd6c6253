"""How a run ends: by a signal (what it leaves, what the next run finds), and with an answer that nobody gets."""

import gzip
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.command import command_json
from tests.end_to_end.days import expected, write_days
from tests.end_to_end.program import (
    JSON_KEYS,
    ROOT,
    Ended,
    environment,
    finish,
    published,
    run,
    start,
    wait_for,
)
from tests.harness import run_here
from tests.pace import patient

PUBLISHED = "The result of this run is published all the same."


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two logs of a few records."""
    return write_days(tmp_path / "small", rows=50)


@pytest.fixture(scope="module")
def packed(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The logs, compressed: a run expands them into its spool."""
    folder = tmp_path_factory.mktemp("packed")
    for path in logs.glob("*.csv"):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    return folder


def left_in(folder: Path) -> list[str]:
    """What a run must not leave: plain text of compressed inputs, locks, hidden versions, the link's next name."""
    kinds = ("**/spool/*", "**/.logmill.l*", "*/.new-*", "*/.link")
    return sorted(str(path) for kind in kinds for path in (folder / "pipeline_data").glob(kind))


def begin(packed: Path, tmp_path: Path, *, under: tuple[str, ...] = ()) -> subprocess.Popen:
    """A run that has its locks, a spool, and some of the work done."""
    env = environment(SPLIT_BYTES=100_000, COMPILED_PARSER=0)
    program = start("--input", packed, "--engine", "polars", "--json", cwd=tmp_path, env=env, under=under)
    work = tmp_path / "pipeline_data" / "intermediate"
    wait_for(lambda: any(work.glob("run-*/spool/*")) and any(work.glob("store/rows/*")))
    return program


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_no_text_and_no_lock(name: str, packed: Path, logs: Path, tmp_path: Path) -> None:
    program = begin(packed, tmp_path)
    family = psutil.Process(program.pid).children(recursive=True)
    assert left_in(tmp_path)
    program.send_signal(getattr(signal, name))
    ended = finish(program)
    assert (ended.code, ended.answer["published"]) == (130, False)
    assert ended.answer["error"].startswith("interrupted: the previous output is untouched")
    assert left_in(tmp_path) == []
    assert psutil.wait_procs(family, timeout=patient(10))[1] == []
    command_json("--input", packed, cwd=tmp_path)
    assert published(tmp_path) == _expected(logs, tmp_path)


def test_a_terminal_that_closes_reaches_all_processes(packed: Path, tmp_path: Path) -> None:
    """The system sends SIGHUP to the whole group, the shell SIGHUP, SIGTERM and SIGCONT besides."""
    program = begin(packed, tmp_path, under=("setsid",))
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGCONT):
        os.killpg(program.pid, number)
    ended = finish(program)
    assert ended.code == 130, ended.err
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("under", [("nohup",), ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")], ids=["nohup", "trap"])
def test_nohup_is_respected(under: tuple[str, ...], packed: Path, logs: Path, tmp_path: Path) -> None:
    program = begin(packed, tmp_path, under=("setsid", *under))
    os.killpg(program.pid, signal.SIGHUP)
    ended = finish(program)
    assert ended.code == 0, ended.err
    assert published(tmp_path) == _expected(logs, tmp_path)


def test_a_core_dump_key_leaves_the_next_run_nothing_to_wait_for(packed: Path, logs: Path, tmp_path: Path) -> None:
    """SIGQUIT is the way out of a program that hangs: the next run removes what is left."""
    program = begin(packed, tmp_path)
    program.send_signal(signal.SIGQUIT)
    assert finish(program).code == -signal.SIGQUIT
    command_json("--input", packed, cwd=tmp_path)
    assert left_in(tmp_path) == []
    assert published(tmp_path) == _expected(logs, tmp_path)


def _expected(logs: Path, tmp_path: Path) -> list[tuple]:
    """The result of the plain logs, which a run of its own has read without any interruption."""
    other = tmp_path / "undisturbed"
    other.mkdir()
    run_here(other, logs)
    return published(other)


@pytest.mark.parametrize("fault", ["SIGTERM", "SIGHUP", "ENOSPC", "EIO"])
@pytest.mark.parametrize("point", ["publish.link", "publish.link.done"])
def test_what_is_said_about_publication_is_true(fault: str, point: str, small: Path, tmp_path: Path) -> None:
    """Just before the link shows the new version, and just after it."""
    env = environment() | {"LOGMILLTEST_FAULT": f"{point}:1:{fault}"}
    log = ("--log-format", "json")
    ended = run("--input", small, "--engine", "polars", "--json", *log, cwd=tmp_path, env=env)
    shown = (tmp_path / "pipeline_data" / "output").is_symlink()
    assert shown == (point == "publish.link.done")
    assert (ended.code, ended.answer["published"]) == (130 if fault.startswith("SIG") else 5, shown), ended.err
    assert (PUBLISHED in ended.answer["error"]) == shown
    assert ("untouched" in ended.answer["error"] or "still stands" in ended.answer["error"]) != shown
    (failed,) = [event for event in map(json.loads, ended.err.splitlines()) if event["event"] == "failed"]
    assert (failed["exit_code"], failed["published"]) == (ended.code, shown)
    assert command_json("--input", small, cwd=tmp_path)["published"]
    assert published(tmp_path) == expected(sorted(small.glob("*.csv")))[0]


def redirected(redirection: str, *words: object, cwd: Path, **variables: str) -> Ended:
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", sys.executable, str(ROOT / "main.py"), *map(str, words)]
    env = environment(PREPROCESSING_WORKERS=1) | variables
    done = subprocess.run(command, cwd=cwd, capture_output=True, check=False, env=env)
    out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
    assert "Traceback" not in err
    assert "a fault in the program" not in err
    return Ended(done.returncode, out, err)


@pytest.mark.parametrize(
    ("redirection", "words"),
    [
        (">/dev/full", ()),
        (">/dev/full", ("--json",)),
        (">/dev/full", ("--quiet", "--profile")),
        (">&-", ()),
        (">&-", ("--json",)),
        ("1</dev/null", ("--log-format", "json")),
        ("<&- >&-", ("--json", "--log-format", "json")),
    ],
)
def test_a_run_whose_answer_is_lost_is_published(
    redirection: str, words: tuple[str, ...], small: Path, tmp_path: Path
) -> None:
    ended = redirected(redirection, "--input", small, "--engine", "polars", *words, cwd=tmp_path)
    assert ended.code == 5
    assert ended.out == ""
    last = ended.err.splitlines()[-1]
    if "json" in words:
        event = json.loads(last)
        assert (event["event"], event["exit_code"], event["published"]) == ("failed", 5, True)
        last = event["message"]
    assert "the answer cannot be written to stdout: " in last
    assert last.endswith(PUBLISHED)
    assert published(tmp_path)


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1"])
def test_a_narrow_encoding_shows_the_summary(encoding: str, small: Path, tmp_path: Path) -> None:
    variables = {"PYTHONIOENCODING": encoding}
    ended = redirected("", "--input", small, "--engine", "polars", "--output", "är—日", cwd=tmp_path, **variables)
    assert ended.code == 0, ended.err
    assert "Ask it in SQL" in ended.out
    assert "####" in ended.out, "a bar"
    assert "\\u65e5" in ended.out
    assert list((tmp_path / "är—日").glob("geo_region=*"))


@pytest.mark.parametrize("locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_names_that_a_locale_lacks(locale: dict[str, str], small: Path, tmp_path: Path) -> None:
    folder = small.rename(tmp_path / "журналы")
    (folder / "0.csv").rename(folder / "日.csv")
    ended = redirected("", "--input", folder, "--engine", "polars", cwd=tmp_path, **locale)
    assert ended.code == 0, ended.err
    assert published(tmp_path)


def test_a_reader_that_went_away_loses_nothing(small: Path, tmp_path: Path) -> None:
    ended = redirected("| head -1", "--input", small, "--engine", "polars", cwd=tmp_path)
    assert ended.code == 0
    assert "error" not in ended.err
    assert published(tmp_path)


@pytest.mark.parametrize(
    ("redirection", "words"),
    [("2>&-", ("--json",)), ("2>/dev/full", ("--json", "--log-format", "json")), ("<&- 2>&-", ())],
)
def test_a_run_without_stderr(redirection: str, words: tuple[str, ...], small: Path, tmp_path: Path) -> None:
    ended = redirected(redirection, "--input", small, "--engine", "polars", *words, cwd=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    if words:
        answer = json.loads(ended.out)
        assert list(answer) == JSON_KEYS
        assert (answer["status"], answer["published"]) == ("ok", True)
    else:
        assert "Ask it in SQL" in ended.out
    manifest = tmp_path / "pipeline_data" / "intermediate" / "manifest.sqlite"
    assert manifest.read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.parametrize(
    "command", ["status", "--version", "plan --input small", "query 'FROM watch_time'", "rollback"]
)
def test_other_answers_that_are_lost(command: str, small: Path, tmp_path: Path) -> None:
    for codec in "lz4", "zstd":
        run_here(tmp_path, small, COMPRESSION=codec)
    ended = redirected(">/dev/full", *shlex.split(command), cwd=tmp_path)
    assert (ended.code, ended.out) == (5, "")
    assert "the answer cannot be written to stdout: No space left on device" in ended.err
    if command == "rollback":
        (older, _) = sorted(path.name for path in (tmp_path / "pipeline_data" / "output.versions").glob("2*"))
        assert f"shows {older}" in ended.err
