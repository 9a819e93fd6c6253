"""The command line: which command, which options, and the settings they override. Defaults of settings live in
``config.py``, not here."""

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from cli.commands import COMMANDS
from cli.options import COMMON, SHOW_VERSION
from pipeline.errors import ConfigError, program_name
from pipeline.planning.run_options import NO_OPTIONS, RunOptions

EXIT_CODES = """\
exit codes: 0 done · 1 fault in the program, nothing published · 2 usage or configuration
  3 input: nothing to process · 4 a quality gate stopped publication · 5 environment: Java,
  disk, memory, another run · 6 some files were refused, the others count · 130 interrupted"""

EPILOG = f"""\
sizes: 8GB or 8G (10^9 bytes each), 512MiB or 512Mi (2^20 each), or bytes
settings: every other tunable is in config.py; also LOGMILL_<NAME>=... or logmill.toml
{EXIT_CODES}"""


@dataclass(frozen=True)
class Arguments:
    """A parsed command line.

    ``settings``: raw text by the name of the setting, for the options that were given. Every other option has the field
    of its name.
    """

    command: str
    settings: dict[str, str]
    config: Path | None = None
    no_config: bool = False
    json: bool = False
    quiet: bool = False
    debug: bool = False
    show_version: bool = False
    generate_into: str | None = None
    force: bool = False
    options: RunOptions = NO_OPTIONS
    dry_run: bool = False
    profile: bool = False
    version: str | None = None
    sql: str = ""
    format: str = "table"
    spark: bool = True
    log_id: str | None = None
    user: str | None = None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}. See: {self.prog} --help")


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Parse the command line without the program's name; ``run`` is the command when none is named.

    Raises:
        ConfigError: an unknown command or option, or an option without its value.
        SystemExit: with 0, after ``--help`` was printed.
    """
    command, rest = ("run", argv) if not argv or argv[0].startswith("-") else (argv[0], argv[1:])
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f"Did you mean {close[0]}?" if close else f"See: {program_name()} --help"
        raise ConfigError(f"unknown command {command!r}: expected one of {', '.join(COMMANDS)}. {hint}")
    if SHOW_VERSION.name in takewhile(lambda word: word != "--", rest):  # whatever else the command requires
        return Arguments(command=command, settings={}, show_version=True)
    given = vars(make_parser(command).parse_args(rest))
    if given["no_config"] and given["config"]:
        raise ConfigError("--no-config forbids what --config asks for: expected one of them. Remove the other.")
    asked = {field.name: given.pop(field.name) for field in fields(RunOptions) if field.name in given}
    if "replay" in asked:
        asked["replay"] = tuple(asked["replay"])
    settings = {name: given.pop(name) for name in list(given) if name.isupper()}
    settings = {name: value for name, value in settings.items() if value is not None}
    return Arguments(command=command, settings=settings, options=RunOptions(**asked), **given)


def make_parser(command: str) -> argparse.ArgumentParser:
    """The parser of one command."""
    program = f"{program_name()} {command}"
    parser = _Parser(
        prog=program,
        usage=" ".join([program, "[options]", *(option.usage for option in COMMANDS[command].options if option.usage)]),
        description=COMMANDS[command].description,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for option in (*COMMANDS[command].options, *COMMON):
        parser.add_argument(option.name, **option.keywords)
    return parser
