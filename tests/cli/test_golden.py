"""What the program prints, compared whole with the files of ``tests/cli/golden``.

Renew the files after a change that is meant, and read their difference before it is committed:
``LOGMILLTEST_RENEW=yes python -m pytest tests/cli/test_golden.py``
"""

import fcntl
import io
import json
import os
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import plan as plan_module
from cli.arguments import Arguments
from cli.console import Answer
from cli.doctor import show_check
from cli.explain import print_record, print_user
from cli.geo_diff import print_diff
from cli.plan import print_plan
from cli.profile import print_profile
from cli.result import answer_result
from cli.status import print_files, print_versions
from cli.summary import Limits, print_summary
from cli.terminal import PipeConsole
from cli.truth import TruthCheck
from config import Config
from main import main
from pipeline.inspection.explain.record import Copy, Destination, RecordAnswer
from pipeline.inspection.explain.rejected import RejectedCopy
from pipeline.inspection.explain.user import Event, RegionSum, UserAnswer
from pipeline.inspection.geo_diff.diff import GeoDiff, Move, RegionChange, UnreadFile
from pipeline.inspection.plan import RunPlan
from pipeline.inspection.status import FileState, FileStates, VersionState
from pipeline.planning.planner import Sizes
from pipeline.planning.prediction import Prediction
from pipeline.planning.sample import Sample
from pipeline.publish.result import RefusedFile, RunDelta, RunResult
from pipeline.publish.tasks import RegionTotal
from pipeline.quality import QualityResult
from pipeline.timing import StageTime
from pipeline.versions.lock import LOCK_FILE

GOLDEN = Path(__file__).parent / "golden"
RENEW = os.environ.get("LOGMILLTEST_RENEW") == "yes"
HEADER = "log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
OLD, NEW = "20261101T000000Z-00000a", "20261102T030405Z-00000b"
STATES = [
    FileState("logs/2026-11-01.csv", "counted", 1_234_567_890, 12_345_678, 12, 12_000_000, 19),
    FileState("logs/2026-11-02.csv.gz", "counted, has left", 2_345, 100, 0, 90, 1),
    FileState("logs/bad\nname.csv", "interrupted", 99),
]


WIDTHS = [100, 60]
"""Characters of a line: a usual terminal, and a narrow one."""


def check_golden(name: str, text: str) -> None:
    """Compare a text with the golden file ``name``, or write that file."""
    path = GOLDEN / f"{name}.txt"
    text = "".join(line.rstrip() + "\n" for line in text.splitlines())
    if RENEW:
        path.write_text(text, encoding="utf-8")
    renew = f"LOGMILLTEST_RENEW=yes python -m pytest {Path(__file__).name} writes {path.name} anew"
    assert text.splitlines() == path.read_text(encoding="utf-8").splitlines(), renew


def rendered(show: Callable[[PipeConsole], object], width: int = 100) -> str:
    """What ``show`` prints to a console without colours."""
    stream = io.StringIO()
    show(PipeConsole(stream, width=width))
    return stream.getvalue()


@pytest.fixture
def full_result(result: RunResult) -> RunResult:
    """A run with a line for each kind of fact."""
    return replace(
        result,
        quality=(
            QualityResult("rejected", 100, 12_345_678_901, "warn", 0.000_000_001),
            QualityResult("unknown_region", 5, 11_345_678_901, "ok", 0.1),
            QualityResult("rule:known_device", 7, 12_345_678_901, "reject"),
        ),
        plan={"seconds": 3600.0, "peak_memory_bytes": 4_000_000_000},
        report="pipeline_data/output.versions/v7/report.html",
        quarantine="pipeline_data/output.versions/v7/quarantine",
        rejected_by_reason={"wrong_field_count": 60, "invalid_utf8": 20, "nul_byte": 10, "blank_log_id": 9, "x": 1},
        learned=True,
        new=RunDelta(files=34, bytes_read=34_567_890_123, records_read=345_678_901, reused_files=1_200),
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_summary_of_a_run(width: int, full_result: RunResult) -> None:
    def show(to: PipeConsole) -> None:
        print_summary(full_result, TruthCheck(7, ()), to, limits=Limits(16, 8 * 10**9))

    shown = rendered(show, width)
    assert all(len(line) <= width for line in shown.splitlines())
    check_golden(f"summary-{width}", shown)


def test_a_path_in_a_reason_stays_whole_on_a_narrow_terminal(full_result: RunResult) -> None:
    path = "/srv/logs/a-rather-long-name-of-a-folder/2026-11-30-with-more-behind-it.csv"
    refused = RefusedFile(path, "no header in the first 20 lines, and more about it")
    shown = rendered(lambda to: print_summary(replace(full_result, refused_files=(refused,)), console=to), 60)
    lines = f"refused     {path}:", "no header in the first 20 lines, and more about", "it"
    assert "\n            ".join(lines) in shown


def test_summary_of_a_failed_run(result: RunResult) -> None:
    failed = replace(
        result,
        status="failed",
        error="gate rejected: 100 of 12,345,678,901 records (0.0000%), limit 0.0000%. Nothing was published.",
        quality=(QualityResult("rejected", 100, 12_345_678_901, "fail", 0.000_000_001),),
        top_regions=(),
    )
    check_golden("summary-failed", rendered(lambda to: print_summary(failed, "not checked against truth.json", to)))


def test_trouble_without_a_summary(full_result: RunResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = Arguments(command="run", settings={}, quiet=True)
    config = Config(INPUT_DIR=str(tmp_path))
    code = answer_result(arguments, config, Answer(as_json=False), full_result)
    out, err = capsys.readouterr()
    assert (code, out) == (6, "")
    check_golden("run-quiet", err)


def test_profile(result: RunResult) -> None:
    profile = (
        StageTime("parse", 1_234.5, 1_200.25, 0.75, 1_234_567_890_123, "bytes"),
        StageTime("aggregate", 400.0, 380.0, 0.25, 12_345_678_901, "rows"),
        StageTime("publish", 0.0, 0.0, 0.0, 0, ""),
    )
    timed = replace(result, profile=profile)
    check_golden("profile", rendered(lambda to: print_profile(timed, console=to)))


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose clock is nine hours ahead of UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize("width", WIDTHS)
def test_status(width: int) -> None:
    versions = [
        VersionState(OLD, False, None),
        VersionState(NEW, True, 2, "2026-11-02T03:04:05+00:00", "polars", 12_345_678.9, "1 new, 1 appended"),
    ]
    here = FileState(f"{Path.cwd()}/logs/b.csv", "counted", 5, 1, 0, 1, 1)
    older = [FileState(f"logs/{day}.csv", "superseded", 5) for day in range(7)]

    def show(to: PipeConsole) -> None:
        print_files([*STATES, here, *older], "nothing was read yet", to)
        print_versions(versions, "out", to)
        print_files([], "nothing was read yet", to)
        print_versions([], "o\nut", to)

    check_golden(f"status-{width}", rendered(show, width))


@pytest.mark.parametrize("width", WIDTHS)
def test_plan(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module.shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 10**11))
    plan = RunPlan(
        sizes=Sizes(workers=8, split_bytes=64 << 20, buckets=32, bucket_rows=1_500_000, file_rows=2_000_000,
                    held_bytes=300_000_000, task_rows=10**7, bucket_bytes=10**9),
        prediction=Prediction(125.0, 90.0, 30.0, 5.0, 3_000_000_000, 7_000_000_000, 800_000_000),
        sample=Sample(files=2, text_bytes=10**10, rows=10**8, user_bytes=13.0, packed_user_bytes=6.0,
                      result_rows=1_234_567),
        files=FileStates(
            [replace(state, state=word) for state, word in zip(STATES, ("read", "reuse", "read"), strict=True)], [], 0
        ),
        refused={f"logs/{n:02}.csv": f"line 1 has no column log_id ({n})" for n in range(12)},
        engine="polars",
        engine_note="Spark pays from 5 GB on; --engine spark insists",
        learned=False,
    )  # fmt: skip
    config = Config(MEMORY_LIMIT=4 * 10**9, INTERMEDIATE_DIR="between", OUTPUT_DIR="out")
    check_golden(f"plan-{width}", rendered(lambda to: print_plan(plan, config, to), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_explain_a_record(width: int) -> None:
    raw = "a,u1,2026-01-01,v,d,8.8.8.0/24,"
    copies = (
        Copy("logs/1.csv", 1_234, 99_999, "u1", "North America", 12.0, "counts", "the longest watch time counts",
             f"{raw}12"),
        Copy("logs/2.csv", 2, 80, "u1", "Asia", 10.5, "conflict", "10.5 min is shorter than 12.0 min", f"{raw}10.5"),
        Copy("logs/2.csv", 3, 99, "u1", "Asia", 10.5, "duplicate",
             "same content as another copy of its file (dropped in phase 1)", f"{raw}10.5"),
        Copy("logs/left.csv", None, 73, "u2", None, 0.000001, "not counted",
             "its file counts in another version only"),
    )  # fmt: skip
    rejected = RejectedCopy("logs/2.csv", 1_005, 70_000, "watch_time_negative", "watch_time(min)", "-1", f"{raw}-1")
    answer = RecordAnswer(
        "a\x1b", NEW, "longest", Destination("u1", "North America", 12.0, "out/geo_region=North%20America", 1234.5, 17),
        41, copies, 3, (rejected,), ("logs/left.csv: it is no longer there: no lines and no raw records",),
    )  # fmt: skip
    none = replace(answer, destination=None, found=0, copies=(), rejected_found=0, rejected=(), notes=())
    check_golden(
        f"explain-record-{width}", rendered(lambda to: print_record(answer, to) or print_record(none, to), width)
    )


@pytest.mark.parametrize("width", WIDTHS)
def test_explain_a_user(width: int) -> None:
    answer = UserAnswer(
        "u1", NEW, "longest", False, 8, 5, 1, 2,
        (
            RegionSum("Asia", "out/geo_region=Asia", 2, 0.1, 2, 0.1, True),
            RegionSum("North America", "out/geo_region=North%20America", 3, 1234.5, None, None, False),
        ),
        (
            Event("a\x1b", "logs/1.csv", 99_999, "North America", 1_200.5, 1_234, "2026-11-01T10:00:00Z"),
            Event(None, "logs/left.csv", 73, "Asia", 0.000001),
        ),
        ("logs/left.csv: it has changed since it was read: its log_ids cannot be shown",),
    )  # fmt: skip
    check_golden(f"explain-user-{width}", rendered(lambda to: print_user(answer, to), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_geo_diff(width: int) -> None:
    diff = GeoDiff(
        NEW, "DB 2026-05", "DB 2026-06", 1_234, 5_678, 91_011.5,
        (Move("Asia", "Europe", 1_000, 5_000, 90_000.0), Move("Europe", "[red]", 234, 678, 1_011.5)),
        (
            RegionChange("Asia", RegionTotal("Asia", 10_000, 1, 500_000.0), RegionTotal("Asia", 9_000, 1, 410_000.0)),
            RegionChange("Europe", RegionTotal("Europe", 5, 1, 2.0), RegionTotal("Europe", 1_005, 1, 90_002.0)),
        ),
        3, (UnreadFile("logs/left.csv", "it is no longer there"),), 12, 34.5, 6.7,
    )  # fmt: skip
    none = replace(diff, moved_users=0, moved_events=0, moved_minutes=0.0, moves=(), not_examined=())
    check_golden(f"geo-diff-{width}", rendered(lambda to: print_diff(diff, to) or print_diff(none, to), width))


@pytest.mark.parametrize("width", WIDTHS)
def test_doctor(width: int) -> None:
    def show(to: PipeConsole) -> None:
        show_check(to, "ok", "python", "CPython 3.11.9", "")
        show_check(to, "warn", "intermediate speed", "50 MB/s written in /mnt", "Name a faster one.")
        show_check(to, "fail", "spark", "did not start\nbecause of\x07", "Check memory.")

    check_golden(f"doctor-{width}", rendered(show, width))


WRONG = (
    ("an option that does not exist", "--jsn"),
    ("a command that does not exist", "genrate"),
    ("an option without its value", "--workers"),
    ("an argument that is missing", "query"),
    ("a bad setting of the command line", "plan --memory-limit 8GBs"),
    ("a bad setting of a short option", "plan -w x"),
    ("a bad setting of the environment", "LOGMILL_ENGINE=sparc status"),
    ("a setting that does not exist", "LOGMILL_ENGIN=spark status"),
    ("a bad setting of the TOML file", "status --config bad.toml"),
    ("a TOML file that does not exist", "status --config none.toml"),
    ("a TOML file that is none", "status --config a.csv"),
    ("settings that do not go together", "plan --input logs --output logs/out"),
    ("a file that a setting names and that does not exist", "plan --geo-db none.mmdb"),
    ("a geo database that is none", "plan --input a.csv --geo-db a.csv"),
    ("a folder where the output would be", "plan --input a.csv --output logs"),
    ("no input", "plan --input none"),
    ("no input that matches", "plan --input 'none*.csv'"),
    ("refused headers, and a missing column", "plan --input refused"),
    ("a folder that another run holds", "geo-diff --output published/out --intermediate held"),
    ("nothing is published", "query 'FROM runs' --output logs/nothing"),
    ("nothing was processed", "explain a --output published/out --intermediate none"),
    ("a format that does not exist", "query 'FROM runs' --format xml"),
    ("more than one statement", "query 'FROM runs; FROM runs' --output published/out"),
    ("no query", "query 'DROP VIEW runs' --output published/out"),
    ("neither a log_id nor a user", "explain --output published/out"),
    ("a rollback to no version", "rollback v9 --output published/out"),
    ("generator settings that do not go together", "generate --duplicates 0.9 --output new"),
    ("generated data where a file lies", "generate --output a.csv"),
)
"""(kind of error, the command line that makes it)."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: files and folders that the command lines of WRONG name."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("LOGMILL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "1000")  # no line is wrapped
    monkeypatch.setattr(plan_module, "_free", lambda _: "")
    Path("logs").mkdir()
    Path("a.csv").write_text(HEADER)
    Path("bad.toml").write_text("QUERY_ROWS = 0\n")
    Path("refused").mkdir()
    for name, text in {
        "no-header": "1,2,3\n8.8.8.8,a@b,6\n",
        "no-user": HEADER.replace("user_id", "viewer"),
        "twice": HEADER.replace("video_id", "log_id"),
        "empty": "",
        "binary": "\0" * 99,
        "two-headers": HEADER.replace(",", ";", 3),
    }.items():
        Path(f"refused/{name}.csv").write_text(text)
    version = Path("published/out.versions") / NEW
    (version / "data").mkdir(parents=True)
    (version / "run.json").write_text("{}")
    Path("published/out").symlink_to(Path("out.versions") / NEW / "data")
    Path("held").mkdir()
    holder = {"pid": 42, "host": "another-host", "since": "2026-11-01 12:00:00 UTC", "run_id": OLD}
    with (Path("held") / LOCK_FILE).open("w") as held:
        json.dump(holder, held)
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        yield tmp_path


def test_errors(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for kind, line in WRONG:
        words = shlex.split(line)
        variables = dict(word.split("=") for word in words if word.startswith("LOGMILL_"))
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            code = main([word for word in words if not word.startswith("LOGMILL_")])
        out, err = capsys.readouterr()
        refused = [text for text in out.splitlines() if "refused" in text]
        found.append("\n".join([f"# {kind}: {line}", *refused, *err.splitlines(), f"exit code {code}", ""]))
    check_golden("errors", "\n".join(found).replace(str(folder), "FOLDER"))


SEVERAL_WIDTHS = (
    *("config", "doctor", "explain-record", "explain-user", "geo-diff", "help-help", "help-run", "help-query"),
    *("plan", "status", "summary"),
)
"""Names of golden files for terminals of 60 and 100 columns; other modules compare some of them."""


def test_every_golden_file_is_compared() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    names = {path.stem for path in GOLDEN.iterdir()}
    assert all(
        f'"{name}"' in text for name in names - {f"{name}-{width}" for name in SEVERAL_WIDTHS for width in (60, 100)}
    )
