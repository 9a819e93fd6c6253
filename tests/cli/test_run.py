"""The first run's test data, and the comparison with what the generator knows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli.run import lacks_input
from cli.truth import TruthCheck, check_truth
from config import Config
from data_generator.truth import Truth, load_truth
from main import main
from pipeline.planning import early_jvm
from pipeline.publish.result import RunResult
from tests.cli.conftest import Install
from tests.end_to_end.command import command_json

SMALL = ["LOGMILL_GENERATOR_SIZE=200kB", "LOGMILL_GENERATOR_FILES=2", "LOGMILL_PREPROCESSING_WORKERS=1"]


def right_answer(truth: Truth) -> RunResult:
    return RunResult(
        run_id="1",
        status="ok",
        engine="polars",
        output="pipeline_data/output",
        files=truth.files,
        records_read=truth.records,
        kept=truth.distinct_ids,
        duplicates_phase1=truth.duplicates,
        conflicts=truth.conflicts,
        rejected=truth.rejected,
        rejected_by_reason=truth.rejected_by_reason,
        total_micro_minutes=truth.total_micro_minutes,
    )


@pytest.fixture
def small(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - it comes first
    """Settings for little test data, in the clean environment of ``install``."""
    for pair in SMALL:
        monkeypatch.setenv(*pair.split("="))


def honest_run(config: Config, *_: object) -> RunResult:
    truth = load_truth(Path(config.INPUT_DIR))
    assert truth is not None
    return right_answer(truth)


@pytest.mark.usefixtures("small")
def test_the_first_run_makes_its_own_data_and_checks_the_result(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(honest_run)
    for _ in range(2):
        assert main([]) == 0
        out, err = capsys.readouterr()
        assert "checked against truth.json: all 7 counts agree" in out
    assert "making test data" not in err
    monkeypatch.setenv("LOGMILL_DEDUPE_KEEP", "first")
    assert main([]) == 0
    assert "all 6 counts agree" in capsys.readouterr().out


@pytest.mark.usefixtures("small")
def test_a_wrong_result_is_said_aloud(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(lambda *given: replace(honest_run(*given), kept=1))
    assert main(["--quiet"]) == 0
    assert "warning: DIFFERS from truth.json: kept: expected" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_other_input_is_not_compared(install: Install, tmp_path: Path) -> None:
    install(honest_run)
    assert main(["generate", "--output", "logs", "--quiet"]) == 0
    config = Config(INPUT_DIR="logs")
    truth = load_truth(Path("logs"))
    assert truth is not None
    result = right_answer(truth)
    assert check_truth(config, result) == TruthCheck(7, ())
    assert check_truth(config, replace(result, status="partial")) is None
    assert check_truth(config, replace(result, files=1)) is None
    (tmp_path / "logs/mine.csv").write_text("x")
    assert check_truth(config, result) is None
    assert check_truth(Config(INPUT_DIR="logs/mine.csv"), result) is None


@pytest.mark.usefixtures("small")
def test_a_truth_that_cannot_be_read_costs_a_line_not_the_run(
    install: Install, tmp_path: Path, result: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/truth.json").write_text("{")
    install(lambda *_: replace(result, status="ok"))
    assert main(["--input", "logs"]) == 0
    assert "not checked against truth.json" in capsys.readouterr().out


def test_only_an_unnamed_empty_input_is_filled(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    config = Config(INPUT_DIR=str(folder))
    assert lacks_input(config)
    assert not lacks_input(replace(config, origins={"INPUT_DIR": "command line, --input"}))
    folder.mkdir()
    for name in (".gitkeep", "truth.json"):
        (folder / name).touch()
    assert lacks_input(config)
    (folder / "mine.csv.gz").touch()
    assert not lacks_input(config)
    assert not lacks_input(Config(INPUT_DIR=str(folder / "truth.json")))


@pytest.mark.usefixtures("install")
def test_generate_says_what_it_made_and_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "--size", "100kB", "--files", "2", "--output", "d", "--seed", "1"]) == 0
    out, err = capsys.readouterr()
    assert "2 files" in out
    assert "malformed" in out
    assert "Generating test data" in err
    assert main(["generate", "--size", "100kB", "--files", "2", "--output", "e", "--seed", "1", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    lines = [line for path in Path("e").glob("*.csv") for line in path.read_bytes().splitlines()]
    assert (told["folder"], told["files"], told["bytes"]) == (
        "e",
        2,
        sum(p.stat().st_size for p in Path("e").glob("*.csv")),
    )
    assert told["records"] == told["distinct_ids"] + told["duplicates"] + told["conflicts"] + told["rejected"]
    assert told["records"] <= len(lines)
    assert main(["generate", "--duplicates", "0.9", "--output", "d"]) == 2
    assert "at most 0.9" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert main(["generate", "--output", "file"]) == 5
    assert "cannot write test data to file" in capsys.readouterr().err
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**6))
    assert main(["generate", "--size", "1MB", "--output", "f"]) == 5
    assert "1 MB free" in capsys.readouterr().err


@pytest.mark.usefixtures("small")
def test_the_jvm_starts_before_test_data_is_made(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    jvm = object()

    @contextmanager
    def launched_early(config: Config, input_bytes: int | None = None) -> Iterator[object]:
        seen.append((input_bytes, list(Path(config.INPUT_DIR).glob("*.csv"))))
        yield jvm

    monkeypatch.setattr(early_jvm, "launched_early", launched_early)

    def run(config: Config, *started: object) -> RunResult:
        seen.append(started[-1])
        return honest_run(config)

    install(run)
    assert main([]) == 0
    assert seen == [(200_000, []), jvm], "one JVM, and the size is that of the data to come"
    assert main([]) == 0
    size, files = seen[2]  # type: ignore[misc]
    assert (size, len(files)) == (None, 2), "the input is measured"


def test_test_data_are_never_made_beside_a_result(tmp_path: Path) -> None:
    """The second run of somebody who forgot --input once would have invented records in the input folder."""
    (tmp_path / "logs").mkdir()
    row = "a,ann,2026-11-01T10:00:00Z,v,tv,8.8.8.8,10\n"
    (tmp_path / "logs" / "a.csv").write_text(
        "log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n" + row
    )
    command_json("--input", "logs", cwd=tmp_path)
    refused = command_json(cwd=tmp_path, code=3)
    assert "was made from logs: name that with --input" in refused["error"]
    assert not (tmp_path / "pipeline_data" / "input_logs").exists()
