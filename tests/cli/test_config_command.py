"""Which settings file is read, who is told, and what ``config`` shows of it."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from cli.config import print_settings, written
from config import Config, find_config_file, load_config
from tests.cli.test_golden import check_golden, rendered

ROOT = Path(__file__).parents[2]


def run(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command line of a user with an empty home."""
    env = {"HOME": str(cwd), "PATH": os.environ["PATH"], **variables}
    return subprocess.run([sys.executable, ROOT / "main.py", *words], cwd=cwd, env=env, capture_output=True, text=True)


def settings(*words: str, cwd: Path, **variables: str) -> tuple[dict[str, dict[str, object]], str]:
    """(what ``config --json`` answers for three settings, what it says on stderr)."""
    done = run("config", "--json", *words, cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["settings"]
    return {name: found[name] for name in ("ENGINE", "QUERY_ROWS", "GEO_LEVEL")}, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "logmill.toml").write_text('engine = "polars"\nQUERY_ROWS = 7\n')
    (tmp_path / "other.toml").write_text('GEO_LEVEL = "country"\n')
    return tmp_path


def origins(found: dict[str, dict[str, object]]) -> list[tuple[object, object]]:
    return [(setting["value"], setting["from"]) for setting in found.values()]


def test_the_file_of_the_working_folder_is_read_and_named(folder: Path) -> None:
    found, said = settings(cwd=folder)
    assert origins(found) == [("polars", "logmill.toml"), (7, "logmill.toml"), ("region", "default")]
    assert said == "note: settings are read from logmill.toml\n"
    (folder / "below").mkdir()
    assert settings(cwd=folder / "below")[1] == "", "only the working folder counts"


def test_the_command_line_and_the_environment_win_over_the_file(folder: Path) -> None:
    found, _ = settings("--engine", "auto", cwd=folder, LOGMILL_QUERY_ROWS="9")
    assert origins(found)[:2] == [("auto", "command line, --engine"), (9, "environment, LOGMILL_QUERY_ROWS")]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_another_file_is_read_instead(way: str, folder: Path) -> None:
    words, variables = (["--config", "other.toml"], {}) if way == "option" else ([], {"LOGMILL_CONFIG": "other.toml"})
    found, said = settings(*words, cwd=folder, **variables)
    assert origins(found) == [("auto", "default"), (1000, "default"), ("country", "other.toml")]
    named = "note: settings are read from other.toml (LOGMILL_CONFIG)\n"
    assert said == ("" if way == "option" else named), "who named it knows it"


def test_an_option_wins_over_the_variable(folder: Path) -> None:
    found, said = settings("--config", "logmill.toml", cwd=folder, LOGMILL_CONFIG="other.toml")
    assert (found["QUERY_ROWS"]["value"], found["GEO_LEVEL"]["value"], said) == (7, "region", "")


def test_no_file_is_read_on_request(folder: Path) -> None:
    found, said = settings("--no-config", cwd=folder, LOGMILL_CONFIG="other.toml")
    assert {setting["from"] for setting in found.values()} == {"default"}
    assert said == ""
    both = run("--no-config", "--config", "other.toml", cwd=folder)
    assert (both.returncode, both.stdout) == (2, "")
    assert "expected one of them" in both.stderr


def test_quiet_says_nothing_of_it_and_a_log_gets_an_event(folder: Path) -> None:
    assert settings("--quiet", cwd=folder)[1] == ""
    event = json.loads(settings("--log-format", "json", cwd=folder)[1])
    assert (event["event"], event["file"], event["level"]) == ("settings_read", "logmill.toml", "info")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("QUERY_ROWS = 0\n", r"QUERY_ROWS is 0 (from logmill.toml): expected a whole number"),
        ("QUERY_ROWS = \n", "logmill.toml is not valid TOML"),
        ("QUERY_ROW = 5\n", "unknown setting 'QUERY_ROW' (from logmill.toml): did you mean QUERY_ROWS?"),
    ],
)
def test_a_bad_file_is_an_error_although_nobody_named_it(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "logmill.toml").write_text(text)
    done = run("status", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_file_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    done = run("status", cwd=tmp_path, LOGMILL_CONFIG="none.toml")
    assert done.returncode == 2
    assert "cannot read none.toml" in done.stderr
    assert "LOGMILL_CONFIG" in done.stderr
    (tmp_path / "logmill.toml").symlink_to("nowhere")
    assert run("status", cwd=tmp_path).returncode == 2, "a link to nothing is not taken for no file"


def test_which_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_config_file({}) is None
    assert find_config_file({"LOGMILL_CONFIG": ""}) is None
    assert find_config_file({"LOGMILL_CONFIG": "a"}) == Path("a")
    (tmp_path / "logmill.toml").touch()
    assert find_config_file({}) == Path("logmill.toml")


def test_what_it_shows_can_be_read_as_a_settings_file(tmp_path: Path) -> None:
    config = Config(
        MEMORY_LIMIT=8_123_456_789,
        QUALITY_GATES={"rejected": {"warn": 0.001, "fail": 0.01}, "conflicts": {"fail": 1}},
        RECORD_RULES={"a.b": {"column": 'de"vice', "allowed": ["tv", "ü"], "action": "warn"}},
        TIMESTAMP_FORMAT=["%d.%m.%Y"],
        INPUT_DIR='a"\\b',
    )
    for shown in (config, Config()):
        path = tmp_path / "settings.toml"
        path.write_text(rendered(lambda to, shown=shown: print_settings(shown, None, to), 1000), encoding="utf-8")
        assert tomllib.loads(path.read_text(encoding="utf-8"))
        assert load_config({}, {}, path) == shown


@pytest.mark.parametrize(
    ("value", "text"),
    [(8 * 10**9, '"8 GB"'), (2**21, '"2 MiB"'), (8_123_456_789, "8123456789"), (0, "0"), (5 * 10**13, str(5 * 10**13))],
)
def test_bytes_are_never_rounded(value: int, text: str) -> None:
    assert written(value, "bytes") == text


@pytest.mark.parametrize("width", [100, 60])
def test_how_it_looks(width: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    given = {"PREPROCESSING_WORKERS": "3", "MEMORY_LIMIT": "8GB"}
    environ = {"LOGMILL_GENERATOR_CROSS_FILE_DUPLICATES": "0.02"}
    config = load_config(given, environ, Path("logmill.toml"))
    check_golden(f"config-{width}", rendered(lambda to: print_settings(config, "logmill.toml", to), width))
