"""``completion``: prints the script that lets a shell complete a command line."""

import argparse

import shtab

from cli.arguments import Arguments, add_options
from cli.commands import COMMANDS
from cli.console import Answer
from cli.options import Option
from config import Config
from pipeline.errors import ConfigError

SHELLS = ("bash", "zsh", "fish", "tcsh")


def completion_command(arguments: Arguments, _config: Config, answer: Answer) -> int:
    """Print the script for a shell. Raises ConfigError for a shell that is not known."""
    if arguments.shell not in SHELLS:
        raise ConfigError(f"SHELL is {arguments.shell!r}: expected {', '.join(SHELLS)}.")
    answer.write(shtab.complete(_whole_parser(), shell=arguments.shell) + "\n")
    return 0


def _whole_parser() -> argparse.ArgumentParser:
    """One parser of all commands; without a command, the options are those of run."""
    parser = argparse.ArgumentParser(prog="logmill", allow_abbrev=False)
    add_options(parser, "run", _with_files)
    commands = parser.add_subparsers()
    for name, command in COMMANDS.items():
        add_options(commands.add_parser(name, help=command.summary.replace("%", "%%")), name, _with_files)
    return parser


def _with_files(action: argparse.Action, option: Option) -> None:
    """Let paths be completed."""
    if option.metavar in ("PATH", "FILE"):
        action.complete = shtab.FILE  # type: ignore[attr-defined]
    elif option.metavar == "DIR":
        action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
