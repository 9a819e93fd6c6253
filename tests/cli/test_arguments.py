"""Command lines: the default command, options and the settings they override, help."""

from dataclasses import fields

import pytest

from cli.arguments import Arguments, make_parser, parse_arguments
from cli.commands import COMMANDS
from cli.options import COMMON
from config import Config
from pipeline.errors import ConfigError
from pipeline.planning.run_options import RunOptions
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


def test_options_of_explain_and_regeo() -> None:
    arguments = parse_arguments(
        ["explain", "--user", "u", "--limit-rows", "5", "--output", "a", "--intermediate", "b", "--json"]
    )
    assert (arguments.log_id, arguments.user, arguments.json) == (None, "u", True)
    assert arguments.settings == {"EXPLAIN_ROWS": "5", "OUTPUT_DIR": "a", "INTERMEDIATE_DIR": "b"}
    assert parse_arguments(["explain", "--", "-id"]).log_id == "-id"
    arguments = parse_arguments(["regeo", "--geo-db", "d", "--geo-level", "country", "--workers", "3", "--dry-run"])
    assert arguments.dry_run
    assert arguments.settings == {"GEO_DATABASE": "d", "GEO_LEVEL": "country", "PREPROCESSING_WORKERS": "3"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--jsn", "unrecognized arguments: --jsn.*run --help"),
        ("--work 3", "unrecognized arguments"),
        ("--workers", "expected one argument"),
        ("run extra", "unrecognized arguments: extra"),
        ("genrate", "unknown command 'genrate'.*mean generate"),
        ("xyz", "unknown command 'xyz'.*--help"),
        ("replay --json", "required: FILE"),
        ("rollback --jsn", "unrecognized arguments: --jsn.*rollback --help"),
        ("query", "required: SQL.*query --help"),
        ("doctor --limit-rows 3", "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_a_configuration_error(line: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_arguments(line.split())


@pytest.mark.parametrize("command", COMMANDS)
def test_options_override_settings_that_exist_or_have_a_field(command: str) -> None:
    known = {field.name for cls in (Arguments, RunOptions) for field in fields(cls)} | set(declared(Config))
    assert {action.dest for action in make_parser(command)._actions} <= known | {"help"}


def test_settings_name_the_options_that_override_them() -> None:
    named = {option.setting: option.name for command in COMMANDS.values() for option in (*command.options, *COMMON)}
    for name, field in declared(Config).items():
        assert field.metadata["option"] == named.get(name), name


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_complete_and_short(command: str) -> None:
    parser = make_parser(command)
    shown = parser.format_help()
    assert "exit codes: 0 done" in shown
    assert "130 interrupted" in shown
    assert all(action.help for action in parser._actions)
    assert len(shown.splitlines()) < 40
    assert max(map(len, shown.splitlines())) <= 100


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
