"""The summary at 80 columns, with hostile names."""

import io
import json
import shlex
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from rich.color import ColorSystem

from cli.column_hint import column_block
from cli.profile import print_profile
from cli.summary import Limits, print_summary, query_command
from cli.terminal import PipeConsole
from cli.truth import TruthCheck
from config import load_config
from pipeline.publish.result import RefusedFile, RunDelta, RunResult
from pipeline.publish.tasks import RegionTotal
from pipeline.reading.no_header import USUAL_NAMES, explain_no_header
from pipeline.timing import PhaseSeconds


def render(result: RunResult, check: TruthCheck | str | None = None, width: int = 80) -> str:
    stream = io.StringIO()
    print_summary(result, check, PipeConsole(stream, width=width))
    return stream.getvalue()


def test_everything_is_readable_at_80_columns(result: RunResult) -> None:
    shown = render(result, TruthCheck(7, ()))
    body, query = shown.split("Ask it in SQL:\n")
    assert max(len(line) for line in body.splitlines()) <= 80
    assert "…" not in body
    for part in (
        "1,234 files", "1.23 TB", "12,345,678,901", "700,000,000", "299,999,000", "wrong_field_count", "412 MB/s",
        "3.46 GB", "16", "polars", "North America", "400,000,000,000", "80.0%", "100,000,000 users",
        "100,100,100 rows", "500,000,000,000.50 minutes", "all 7 counts agree", "DB-IP", "README.md",
        "no usable Java", "SPLIT_BYTES chosen", "3 blank lines", "1 h 02 min", "quarantine",
    ):  # fmt: skip
        assert part in body, part
    assert query.strip() == query_command(result.output)


def test_hostile_names_stay_text(result: RunResult) -> None:
    shown = render(result)
    assert "\x1b" not in shown
    assert "[red]\\x1b[0m" in shown
    assert "bad\\n[red]name.csv" in shown


def test_an_empty_run_and_many_refusals_render(result: RunResult) -> None:
    empty = RunResult(run_id="1", status="ok", engine="polars", output="o")
    assert "Done: 0 files" in render(empty)
    assert "Ask it" not in render(empty)
    refused = tuple(RefusedFile(f"{number}.csv", f"reason {number}") for number in range(14))
    many = replace(result, refused_files=refused, error="14 of 20 files refused")
    assert "and 4 more refused files" in render(many)
    assert "14 of 20" in render(many)
    assert "DIFFERS from truth.json: kept: 1" in render(result, TruthCheck(7, ("kept: 1",)))
    assert max(len(line) for line in render(many, width=200).split("Ask it")[0].splitlines()) <= 100


def test_many_regions_do_not_fill_the_screen(result: RunResult) -> None:
    regions = tuple(RegionTotal(f"country-{number:03}", 1, 1, 300.0 - number) for number in range(240))
    shown = render(replace(result, top_regions=regions))
    assert "country-019" in shown
    assert "country-020" not in shown
    assert "and 220 more regions, in the report" in shown


def test_a_failed_run_names_no_result(result: RunResult) -> None:
    failed = replace(result, status="failed", output="the-output", error="every input file was refused")
    shown = render(replace(failed, top_regions=()))
    assert "every input file was refused" in shown
    assert "the-output" not in shown
    assert "minutes" not in shown.split("error")[1]
    assert "Ask it" not in shown


def test_the_query_names_an_output_of_ones_own() -> None:
    usual = shlex.split(query_command("pipeline_data/output"))
    assert usual[:2] == ["./logmill", "query"]
    assert len(usual) == 3
    for output in ("a/b", "it's", "$HOME/a b"):
        assert shlex.split(query_command(output)) == [*usual, "--output", output]


def test_a_profile_without_stages_has_a_sum_of_nothing(result: RunResult) -> None:
    stream = io.StringIO()
    print_profile(replace(result, profile=()), console=PipeConsole(stream, width=100))
    assert "0.00 s" in stream.getvalue()


def test_what_came_before_the_run_has_rows_of_its_own(result: RunResult) -> None:
    stream = io.StringIO()
    seconds = PhaseSeconds(total=30.0, phase1=12.0, phase2=5.0, publish=1.0, prepare=8.0)
    timed = replace(result, seconds=seconds, plan={"seconds": 22.0, "peak_memory_bytes": result.peak_memory_bytes},
                    learned=True)  # fmt: skip
    print_summary(timed, console=PipeConsole(stream, width=100), made_seconds=4.0)
    shown = stream.getvalue()
    times = {
        name: line for line in shown.splitlines() for name in ("test data", "preparing", "phase 1") if name in line
    }
    assert "4.00 s" in times["test data"]
    assert "8.00 s" in times["preparing"]
    assert "12.0 s" in times["phase 1"]
    assert "22.0 s (+0%)" in shown, "a prediction knows nothing of what is made once"
    plain = render(replace(result, seconds=replace(seconds, prepare=0.0)))
    assert "preparing" not in plain
    assert "test data" not in plain
    assert "cluster start" not in plain
    assert "9.00 s" in render(replace(result, seconds=replace(seconds, start=9.0)))


def test_a_small_run_has_a_rate_that_is_a_number(result: RunResult) -> None:
    small = replace(result, bytes_read=20_000_000, throughput_bytes_per_second=194_454.0, version="",
                    new=RunDelta(files=4, bytes_read=20_000_000))  # fmt: skip
    shown = render(small)
    assert "(194 kB/s)" in shown
    assert "0.000" not in shown


def test_without_new_bytes_there_is_no_rate(result: RunResult) -> None:
    shown = render(replace(result, new=RunDelta(reused_files=1_234), throughput_bytes_per_second=0.0))
    assert "B/s" not in shown
    assert "3.46 GB" in shown


def test_an_unchanged_run_says_so(result: RunResult) -> None:
    note = "nothing has changed since version v6, which stays the result: no new version"
    shown = render(replace(result, status="ok", version="v6", notes=(note, "another note")), width=60)
    assert shown.splitlines()[1:3] == [
        "Nothing new: 1,234 files, 1.23 TB in 1 h 02 min", "nothing has changed since version v6",
    ]  # fmt: skip
    assert shown.count("nothing has changed") == 1
    assert "another note" in shown
    assert "phase 1   50 min" not in shown


def test_a_resumed_run_says_so(result: RunResult) -> None:
    resumed = RunDelta(files=3, bytes_read=10**9, resumed_splits=12)
    assert "Resumed: an interrupted run had read 12 parts of it before." in render(replace(result, new=resumed))
    assert "Resumed" not in render(result)


def test_three_reasons_of_rejection_are_shown(result: RunResult) -> None:
    reasons = {f"reason_{number:02}": 100 - number for number in range(11)}
    shown = render(replace(result, rejected_by_reason=reasons))
    assert [name for name in reasons if name in shown] == ["reason_00", "reason_01", "reason_02"]
    assert "8 more, in the report" in shown


@pytest.mark.parametrize(
    ("learned", "predicted", "took", "shown"),
    [(True, 60.0, 30.0, True), (False, 60.0, 30.0, False), (True, 4.0, 4.9, False), (True, 1.0, 6.0, True)],
)
def test_a_prediction_needs_a_history_and_some_seconds(
    learned: bool, predicted: float, took: float, shown: bool, result: RunResult
) -> None:
    timed = replace(
        result, learned=learned, plan={"seconds": predicted, "peak_memory_bytes": 10**9},
        seconds=PhaseSeconds(total=took, phase1=took),
    )  # fmt: skip
    assert ("predicted" in render(timed)) == shown


def test_cores_and_memory_stand_beside_their_limits(result: RunResult) -> None:
    stream = io.StringIO()
    print_summary(result, console=PipeConsole(stream, width=80), limits=Limits(cores=32, memory=8 * 10**9))
    assert "3.46 GB of 8 GB" in stream.getvalue()
    assert "16 of 32 cores" in stream.getvalue()


def test_tables_stand_below_each_other_on_a_narrow_terminal(result: RunResult) -> None:
    def beside(width: int) -> bool:
        return any("records" in line and "time" in line for line in render(result, width=width).splitlines())

    assert [beside(width) for width in (60, 80, 89, 90, 140)] == [False, False, False, True, True]


def test_nothing_of_a_table_or_a_path_breaks_at_60_columns(result: RunResult) -> None:
    version = "20261130T150428Z-3a9dcc"
    folder = f"pipeline_data/output.versions/{version}"
    placed = replace(
        result, run_id=version, version=version, report=f"{folder}/report.html", quarantine=f"{folder}/quarantine"
    )
    lines = [line.rstrip() for line in render(placed, width=60).splitlines()]
    assert max(map(len, lines)) <= 60
    assert f"  {folder}" in lines
    assert " " * 12 + "data, report.html, quarantine" in lines
    assert sum(version in line for line in lines) == 1, "a path is shown once"
    for part in ("100,000,000 users", "100,100,100 rows", "500,000,000,000.50 minutes"):
        assert any(line.endswith(part) for line in lines)


def test_paths_are_links_where_the_terminal_knows_them(result: RunResult, monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(*, terminal: bool, term: str) -> str:
        stream = io.StringIO()
        monkeypatch.setenv("TERM", term)
        console = PipeConsole(stream, width=100)
        console._force_terminal = terminal
        console._color_system = ColorSystem.STANDARD if terminal else None
        print_summary(replace(result, report="pipeline_data/output.versions/v7/report.html"), console=console)
        return stream.getvalue()

    link = (Path.cwd() / "pipeline_data/output.versions/v7/report.html").as_uri()
    assert link in shown(terminal=True, term="xterm-256color")
    assert "file://" not in shown(terminal=True, term="linux")
    assert "file://" not in shown(terminal=False, term="xterm-256color")


MISSING = (
    "no header in the first 20 lines: missing 'user_id', 'watch_time(min)' under every delimiter of , ; TAB | SPACE. "
    "The first line has: log_id, viewer, timestamp, device, ip_address, minutes."
)


def test_a_failed_run_groups_its_reasons_and_names_the_columns() -> None:
    refused = (
        *(RefusedFile(f"logs/{day}.csv", MISSING) for day in range(5)),
        RefusedFile("logs/x.csv", "it is binary"),
    )
    failed = RunResult(run_id="1", status="failed", engine="polars", output="o", error="every input file was refused",
                       refused_files=refused)  # fmt: skip
    shown = render(failed)
    assert "records" not in shown
    assert "5 files: no header" in shown
    assert "logs/0.csv, logs/1.csv, logs/2.csv and 2 more" in shown
    assert "logs/x.csv: it is binary" in shown
    assert shown.count("missing 'user_id'") == 1
    block = shown.partition("run again:\n")[2].partition("\n\n\n")[0]
    assert "# log_id, viewer, timestamp, device, ip_address, minutes" in block
    named = tomllib.loads(block)
    assert named == {"USER_ID_COLUMN": ["user_id", "viewer"], "WATCH_TIME_COLUMN": ["watch_time(min)", "minutes"]}
    assert load_config({}, {"LOGMILL_USER_ID_COLUMN": json.dumps(named["USER_ID_COLUMN"])}, None)


def test_a_run_that_refuses_some_files_names_the_columns_too(result: RunResult) -> None:
    shown = render(replace(result, status="partial", refused_files=(RefusedFile("logs/x.csv", MISSING),)))
    assert 'USER_ID_COLUMN = ["user_id", "viewer"]' in shown


def test_the_database_of_ones_own_is_named(result: RunResult) -> None:
    shown = render(replace(result, geo_attribution="", geo_build="GeoLite2-City 2026-11-03"))
    assert "geography   GeoLite2-City 2026-11-03" in shown


def test_only_labels_are_bold(result: RunResult) -> None:
    stream = io.StringIO()
    console = PipeConsole(stream, width=100)
    console._color_system = ColorSystem.STANDARD
    print_summary(replace(result, status="ok"), None, console)
    lines = {line[4:10]: line for line in stream.getvalue().splitlines() if line.startswith("\x1b[1m")}
    for label, text in (("output", "pipeline_data/output"), ("geogra", "IP Geolocation by DB-IP")):
        assert f"\x1b[0m{text}" in lines[label]


def test_a_column_that_was_found_stands_for_no_other() -> None:
    reason = MISSING.partition("missing ")[0] + (
        "missing 'log_id' under every delimiter of , ; TAB | SPACE. The first line has: id, user_id, ip_address."
    )
    assert column_block([reason])[-1] == 'LOG_ID_COLUMN = ["log_id", "id"]'


def test_a_header_like_no_other_gives_a_block_to_fill_in(tmp_path: Path) -> None:
    """Its fields may be values of a record: no message shows them."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"key,viewer,at,minutes\n1,ann,2026,3\n")
    wanted = {role: (name,) for role, name in USUAL_NAMES.items() if role != "timestamp"}
    reason = explain_no_header(path, path.read_bytes().splitlines(keepends=True), wanted, {}, 1000)
    shown = render(RunResult("1", "failed", None, "o", error="e", refused_files=(RefusedFile("a.csv", reason),)))
    block = shown.partition("run again:\n\n")[2].partition("\n\n")[0]
    assert tomllib.loads(block) == {
        f"{role}_COLUMN": [name, "NAME OF THE COLUMN"]
        for role, name in zip(
            ("LOG_ID", "USER_ID", "IP_ADDRESS", "WATCH_TIME"),
            ("log_id", "user_id", "ip_address", "watch_time(min)"),
            strict=True,
        )
    }
    assert "viewer" not in shown
