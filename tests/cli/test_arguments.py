"""Command lines: the default command, options and the settings they override, help."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from cli.arguments import Arguments, make_parser, parse_arguments
from cli.commands import COMMANDS
from cli.options import COMMON
from config import Config
from pipeline.errors import ConfigError
from pipeline.planning.run_options import RunOptions
from tests.cli.test_golden import check_golden
from utils.settings import declared


def test_run_is_the_default_command() -> None:
    assert parse_arguments([]).command == "run"
    assert parse_arguments(["--json"]) == parse_arguments(["run", "--json"])
    assert parse_arguments(["--json"]).json


def test_every_option_of_run() -> None:
    line = "--input a --output b --intermediate c --engine spark --workers 3 --memory-limit 8GB --geo-db d "
    line += "--geo-level country --config e --json --quiet --debug"
    arguments = parse_arguments(line.split())
    assert arguments.settings == {
        "INPUT_DIR": "a",
        "OUTPUT_DIR": "b",
        "INTERMEDIATE_DIR": "c",
        "ENGINE": "spark",
        "PREPROCESSING_WORKERS": "3",
        "MEMORY_LIMIT": "8GB",
        "GEO_DATABASE": "d",
        "GEO_LEVEL": "country",
    }
    assert str(arguments.config) == "e"
    assert arguments.json
    assert arguments.quiet
    assert arguments.debug


def test_every_option_of_generate() -> None:
    line = "generate --files 2 --size 1GB --users 9 --duplicates 0 --cross-file-duplicates 0.1 --seed 7 --output d"
    arguments = parse_arguments(line.split())
    assert arguments.command == "generate"
    assert arguments.generate_into == "d"
    assert arguments.settings == {
        "GENERATOR_FILES": "2",
        "GENERATOR_SIZE": "1GB",
        "GENERATOR_USERS": "9",
        "GENERATOR_DUPLICATES": "0",
        "GENERATOR_CROSS_FILE_DUPLICATES": "0.1",
        "GENERATOR_SEED": "7",
    }


def test_replay_takes_files_and_the_options_of_run() -> None:
    arguments = parse_arguments(["replay", "a.csv", "--", "-b.csv"])
    assert (arguments.command, arguments.options.replay) == ("replay", ("a.csv", "-b.csv"))
    options = {action.dest for action in make_parser("run")._actions} - {"dry_run", "profile"}
    assert {action.dest for action in make_parser("replay")._actions} == options | {"replay"}
    assert parse_arguments(["replay", "a", "--input", "b", "--json"]).settings == {"INPUT_DIR": "b"}


def test_options_of_query_and_doctor() -> None:
    line = "query x --format csv --limit-rows 5 --timeout 60 --output a --intermediate b --config c --log-format json"
    arguments = parse_arguments(line.split())
    assert (arguments.command, arguments.sql, arguments.format) == ("query", "x", "csv")
    assert arguments.settings == {
        "QUERY_ROWS": "5",
        "QUERY_SECONDS": "60",
        "OUTPUT_DIR": "a",
        "INTERMEDIATE_DIR": "b",
        "LOG_FORMAT": "json",
    }
    assert parse_arguments(["doctor"]).spark
    assert not parse_arguments(["doctor", "--no-spark"]).spark


def test_options_of_explain_and_geo_diff() -> None:
    arguments = parse_arguments(
        ["explain", "--user", "u", "--limit-rows", "5", "--output", "a", "--intermediate", "b", "--json"]
    )
    assert (arguments.log_id, arguments.user, arguments.json) == (None, "u", True)
    assert arguments.settings == {"EXPLAIN_ROWS": "5", "OUTPUT_DIR": "a", "INTERMEDIATE_DIR": "b"}
    assert parse_arguments(["explain", "--", "-id"]).log_id == "-id"
    arguments = parse_arguments(["geo-diff", "--geo-db", "d", "--geo-level", "country", "--workers", "3"])
    before = parse_arguments(["regeo", "--geo-db", "d", "--geo-level", "country", "--workers", "3"])
    assert before == arguments, "the old name works"
    assert parse_arguments(["regeo", "--dry-run"]).dry_run, "and so does the flag that was needed"
    assert arguments.settings == {"GEO_DATABASE": "d", "GEO_LEVEL": "country", "PREPROCESSING_WORKERS": "3"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--jsn", "--jsn is no option of run. Did you mean --json? See: ./logmill help run"),
        ("--work 3", "--work is no option of run. Did you mean --workers? See: ./logmill help run"),
        ("--jsn=yes", "--jsn is no option of run. Did you mean --json? See: ./logmill help run"),
        ("--workers", "--workers: expected a value, found none. See: ./logmill help run"),
        ("plan -w", "-w: expected a value, found none. See: ./logmill help plan"),
        ("run --quiet=yes", "--quiet: ignored explicit argument 'yes'. See: ./logmill help run"),
        ("run data/", "run takes no data/ by itself. Did you mean: ./logmill run --input data/"),
        ("data/", "data/ is no command. Did you mean: ./logmill --input data/"),
        ("logs*.csv", "logs*.csv is no command. Did you mean: ./logmill --input 'logs*.csv'"),
        ("genrate", "genrate is no command. Did you mean generate? See: ./logmill help"),
        ("help genrate", "genrate is no command. Did you mean generate? See: ./logmill help"),
        ("xyz", "xyz is no command. See: ./logmill help"),
        ("replay --json", "replay needs FILE. See: ./logmill help replay"),
        ("rollback --jsn", "--jsn is no option of rollback. Did you mean --json? See: ./logmill help rollback"),
        ("rollback a b", "b is one word too many for rollback. See: ./logmill help rollback"),
        ("query", "query needs SQL. See: ./logmill help query"),
        (
            "query FROM runs",
            "runs is one word too many for query: expected one query, as one word. Put quotes around it.",
        ),
        ("doctor --limit-rows 3", "--limit-rows is no option of doctor. See: ./logmill help doctor"),
    ],
)
def test_wrong_usage_is_a_configuration_error_that_begins_with_what_was_typed(line: str, message: str) -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_arguments(line.split())
    assert str(wrong.value) == message


def test_a_path_that_is_there_is_taken_for_an_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "november").mkdir()
    with pytest.raises(ConfigError, match=r"november is no command\. Did you mean: ./logmill --input november"):
        parse_arguments(["november"])


def test_short_options_are_the_long_ones() -> None:
    short = parse_arguments(["-i", "a", "-o", "b", "-w", "3", "-c", "d", "-q", "-v"])
    long = parse_arguments(["--input", "a", "--output", "b", "--workers", "3", "--config", "d", "--quiet", "--debug"])
    assert short == long
    assert short.shorts == {"INPUT_DIR": "-i", "OUTPUT_DIR": "-o", "PREPROCESSING_WORKERS": "-w"}
    assert long.shorts == {}
    assert parse_arguments(["-w", "3", "--input=-i"]).shorts == {"PREPROCESSING_WORKERS": "-w"}
    assert parse_arguments(["-qv", "-w4"]).settings == {"PREPROCESSING_WORKERS": "4"}
    assert parse_arguments(["generate", "-o", "d"]).generate_into == "d"
    assert parse_arguments(["query", "-V"]).show_version
    for command in COMMANDS:
        names = [name for option in (*COMMANDS[command].options, *COMMON) for name in option.names]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("command", COMMANDS)
def test_options_override_settings_that_exist_or_have_a_field(command: str) -> None:
    known = {field.name for cls in (Arguments, RunOptions) for field in fields(cls)} | set(declared(Config))
    assert {action.dest for action in make_parser(command)._actions} <= known | {"help"}


def test_settings_name_the_options_that_override_them() -> None:
    named = {option.setting: option.name for command in COMMANDS.values() for option in (*command.options, *COMMON)}
    for name, field in declared(Config).items():
        assert field.metadata["option"] == named.get(name), name


@pytest.mark.parametrize("width", [60, 80, 100, 140])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_complete_and_fits(command: str, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    parser = make_parser(command)
    shown = parser.format_help()
    assert all(action.help for action in parser._actions)
    assert max(map(len, shown.splitlines())) <= min(width, 100)
    for option in (*COMMANDS[command].options, *COMMON):
        assert re.search(
            rf"^  {re.escape(', '.join(option.names) if option.name[0] == '-' else option.metavar)}\b", shown, re.M
        )
        assert f"\n{option.section}:\n" in shown
    assert "show this help" in shown


def test_help_tells_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = {line.split("  ")[1]: line for line in make_parser("run").format_help().splitlines() if line[:3] == "  -"}
    expected = {
        "-w, --workers N": "[the usable cores]",
        "--memory-limit SIZE": "[60 % of the memory]",
        "-o, --output DIR": "[pipeline_data/output]",
        "--engine NAME": "[auto]",
    }
    assert all(lines[option].endswith(default) for option, default in expected.items())
    assert not lines["--geo-db FILE"].endswith("]"), "an empty default says nothing"
    assert "[250 MB]" in make_parser("generate").format_help()
    assert "[table]" in make_parser("query").format_help()


@pytest.mark.parametrize("width", [60, 100])
@pytest.mark.parametrize("words", [["--help"], ["help", "run"], ["help", "query"]], ids=" ".join)
def test_how_help_looks(
    words: list[str], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with pytest.raises(SystemExit) as end:
        parse_arguments(words)
    assert end.value.code == 0
    check_golden(f"help-{words[-1].strip('-')}-{width}", capsys.readouterr().out)


def test_the_help_of_the_program_has_every_command_in_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["help"], ["-h"], ["--help"]):
        with pytest.raises(SystemExit):
            parse_arguments(words)
        shown = capsys.readouterr().out
        for name, command in COMMANDS.items():
            section = shown.partition(f"\n{command.group}:\n")[2].partition("\n\n")[0]
            assert re.search(rf"^  {name} +{command.summary.split()[0]}", section, re.M)
    with pytest.raises(SystemExit):
        parse_arguments(["--input", "x", "--help"])
    assert capsys.readouterr().out.startswith("usage: ./logmill run ")


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        ("run", "run [options]"),
        ("query", "query [options] SQL"),
        ("explain", "explain [options] [ID]"),
        ("replay", "replay [options] FILE [FILE ...]"),
    ],
)
def test_the_usage_is_one_line_that_names_the_arguments(command: str, usage: str) -> None:
    assert make_parser(command).format_help().splitlines()[:2] == [f"usage: ./logmill {usage}", ""]
