"""Exit codes, messages and the one JSON object, for every way a command line can end."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cli.console import Answer
from config import Config
from main import main
from pipeline import errors
from pipeline.publish.result import RunResult, failed_result
from pipeline.timing import Progress
from tests.cli.conftest import Install
from tests.end_to_end.program import JSON_KEYS

ROOT = Path(__file__).parents[2]


def raise_(error: BaseException) -> Callable[..., RunResult]:
    def run(*_: object) -> RunResult:
        print("noise of a library")
        raise error

    return run


def only_object(capsys: pytest.CaptureFixture[str]) -> tuple[dict, str]:
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert list(found) == JSON_KEYS
    assert list(found["seconds"]) == ["total", "phase1", "phase2", "publish"]
    return found, err


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("partial", 6)])
def test_json_of_a_run(
    status: str, code: int, install: Install, result: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_config: Config, progress: Progress, *_: object) -> RunResult:
        print("noise of a library")
        progress.phase("Phase 1", 100)
        progress.advance(100)
        progress.note("a note")
        return replace(result, status=status)

    install(run)
    assert main(["--json", "--input", "x"]) == code
    found, err = only_object(capsys)
    assert found["status"] == status
    assert found["duplicates"] == 999_999_000
    assert found["total_watch_time_min"] == 500_000_000_000.5
    assert found["refused_files"] == [{"file": "logs/bad\n[red]name.csv", "reason": "no header under any delimiter"}]
    assert found["records_read"] == found["kept"] + found["duplicates"] + found["conflicts"] + found["rejected"]
    assert "noise of a library" in err
    assert "note: a note" in err
    assert "Phase 1" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.LogmillError("m"), 1),
        (errors.BalanceError("m"), 1),
        (errors.ConfigError("m"), 2),
        (errors.InputError("m"), 3),
        (errors.FileRefused("m"), 3),
        (errors.EnvironmentFault("m"), 5),
        (RuntimeError("m"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_failure_has_its_code_message_and_object(
    error: BaseException, code: int, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(raise_(error))
    assert main(["--json", "--quiet", "--input", "x", "--engine", "polars", "--output", "o"]) == code
    found, err = only_object(capsys)
    assert (found["status"], found["engine"], found["output"]) == ("failed", "polars", "o")
    assert found["error"] in err
    assert "Traceback" not in err

    assert main(["--input", "x", "--quiet"]) == code
    out, err = capsys.readouterr()
    assert "error: " in err
    assert "Traceback" not in err
    assert out == "noise of a library\n"


@pytest.mark.usefixtures("install")
def test_a_usage_error_is_an_object_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--json", "--nonsense"]) == 2
    found, _ = only_object(capsys)
    assert "--nonsense" in found["error"]
    assert found["engine"] is None
    assert main(["--json", "--workers", "none"]) == 2
    assert "--workers" in only_object(capsys)[0]["error"]


def test_debug_shows_the_traceback(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install(raise_(RuntimeError("deep")))
    assert main(["--input", "x", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_quiet_says_only_what_went_wrong(
    install: Install, result: RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    install(lambda _config, progress, *_: progress.note("hidden") or replace(result, status="ok", refused_files=()))
    assert main(["--quiet", "--input", "x"]) == 0
    assert capsys.readouterr() == ("", "")
    install(lambda *_: result)
    assert main(["--quiet", "--input", "x"]) == 6
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "refused: logs/bad\\n[red]name.csv: no header under any delimiter\n"


def test_a_failed_result_without_counts_has_every_key() -> None:
    assert list(failed_result("why").to_json()) == JSON_KEYS
    assert json.dumps(failed_result("why").to_json())


def test_a_result_crosses_processes(result: RunResult) -> None:
    assert pickle.loads(pickle.dumps(result)) == result


def test_a_child_process_cannot_spoil_the_object() -> None:
    program = (
        "import subprocess, sys; from cli.console import Answer\n"
        "answer = Answer(True)\n"
        "with answer.reserved():\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"noise\")'])\n"
        "    answer.give({'a': '\\udc80'}); answer.give({'b': 2})\n"
        "print('after')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == '{"a": "\\udc80"}\nafter\n'
    assert done.stderr == "noise\n"


@pytest.mark.parametrize("as_json", [True, False])
def test_a_reader_that_went_away_is_no_error(as_json: bool) -> None:
    program = (
        "import sys; from cli.console import Answer\n"
        f"answer = Answer({as_json})\n"
        "sys.stdin.read()\n"
        "with answer.reserved():\n"
        "    answer.give({}); answer.write('x' * 1000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.close()
        child.stdout = None
        _, err = child.communicate(b"")
    assert (child.returncode, err) == (0, b"")


def test_help_needs_no_heavy_import() -> None:
    program = (
        "import sys\nfrom main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'config', 'polars', 'pyspark', 'numpy', 'rich', 'pyarrow', 'shtab'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, env={**os.environ})
    assert done.returncode == 0, done.stderr
    assert "Exit codes" in done.stdout


def test_an_answer_in_words_leaves_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer(False)
    with answer.reserved():
        print("summary")
    answer.give({"never": "shown"})
    assert capsys.readouterr().out == "summary\n"


def test_an_error_begins_with_the_option_that_was_typed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also where a step of the run finds it, which knows the setting alone."""
    (tmp_path / "logs.csv").write_text("log_id,user_id,ip_address,watch_time(min)\na,u,8.8.8.8,1\n")
    database = tmp_path / "no.mmdb"
    database.write_bytes(b"no MMDB")
    folders = ["--output", str(tmp_path / "out"), "--intermediate", str(tmp_path / "mid"), "--engine", "polars"]
    assert main(["run", "--input", str(tmp_path / "logs.csv"), "--geo-db", str(database), *folders]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: --geo-db: ")
