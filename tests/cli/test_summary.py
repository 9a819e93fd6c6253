"""The summary at 80 columns, with hostile names."""

import io
import shlex
from dataclasses import replace

from cli.profile import print_profile
from cli.summary import print_summary, query_command
from cli.terminal import PipeConsole
from cli.truth import TruthCheck
from pipeline.publish.result import RunResult
from pipeline.publish.tasks import RegionTotal
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
        "1,234 files", "1.23 TB", "12,345,678,901", "700,000,000", "299,999,000", "wrong_field_count", "0.412",
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
    many = replace(result, refused_files=result.refused_files * 14, error="14 of 20 files refused")
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
    shown = render(replace(result, status="failed", output="the-output", error="every input file was refused"))
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
    timed = replace(result, seconds=seconds, plan={"seconds": 22.0, "peak_memory_bytes": result.peak_memory_bytes})
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
