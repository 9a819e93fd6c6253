"""The command line: which command, which options, and the settings they override. Defaults of settings live in
``config.py``, not here."""

import argparse
import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from cli.commands import COMMANDS, DASHBOARD_PACKAGES, OLD_NAMES
from cli.help import HelpLines, print_program_help
from cli.options import COMMON, SHOW_VERSION, Option
from pipeline.errors import ConfigError, install_command, program_name
from pipeline.planning.run_options import NO_OPTIONS, RunOptions


@dataclass(frozen=True)
class Arguments:
    """A parsed command line.

    ``settings``: raw text by the name of the setting, for the options that were given; ``shorts``: the short options
    among them, by setting. Every other option has the field of its name.
    """

    command: str
    settings: dict[str, str]
    shorts: dict[str, str] = field(default_factory=dict, compare=False)
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
    shell: str = ""
    no_color: bool = False
    user: str | None = None
    mend_file: str = ""
    host: str = "127.0.0.1"
    open_browser: bool = False
    job: str = ""
    action: str | None = None
    what: Sequence[str] = ()
    source: str | None = None
    job_output: str | None = None
    as_of: str | None = None
    only: Sequence[str] = ()
    environment: str | None = None
    assigned: Sequence[str] = ()
    cluster: str | None = None
    storage: str = "disk"
    as_if: str | None = None


class _Parser(argparse.ArgumentParser):
    """Raises ConfigError with a message that begins with what was typed."""

    typed: Sequence[str] = ()

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        self.typed = words
        # Options of a job may stand before what its action is about. Elsewhere a value may begin with a dash.
        parse = self.parse_known_intermixed_args if self.command == "job" else self.parse_known_args
        found, rest = parse(words)
        unknown = [word for word in rest if word != "--"]
        if unknown:
            raise ConfigError(_say_unknown(self.command, next((w for w in unknown if w.startswith("-")), unknown[0])))
        return found

    @property
    def command(self) -> str:
        return self.prog.split()[-1]

    def error(self, message: str) -> NoReturn:
        about = re.fullmatch(r"argument (\S+): (.*)", message)
        if about:
            words = {word.partition("=")[0] for word in self.typed}
            names = about[1].split("/")
            name = next((name for name in names if name in words), names[-1])
            message = f"{name}: {about[2].replace('expected one argument', 'expected a value, found none')}"
        elif message.startswith("the following arguments are required: "):
            message = f"{self.command} needs {message.partition(': ')[2]}"
        raise ConfigError(f"{message}. {_see(self.command)}")


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """Parse the command line without the program's name; ``run`` is the command when none is named.

    Raises:
        ConfigError: an unknown command or option, or an option without its value.
        SystemExit: with 0, after ``help`` or ``--help`` was printed.
    """
    if argv and argv[0] in ("help", "-h", "--help"):
        _help(argv[1:])
    command, rest = ("run", argv) if not argv or argv[0].startswith("-") else (argv[0], argv[1:])
    command = OLD_NAMES.get(command, command)
    if command not in COMMANDS:
        raise ConfigError(_say_no_command(command))
    if set(SHOW_VERSION.names) & set(takewhile(lambda word: word != "--", rest)):  # whatever else the command requires
        return Arguments(command=command, settings={}, show_version=True)
    given = vars(make_parser(command).parse(rest))
    if given["no_config"] and given["config"]:
        raise ConfigError("--no-config forbids what --config asks for: expected one of them. Remove the other.")
    asked = {field.name: given.pop(field.name) for field in fields(RunOptions) if field.name in given}
    if "replay" in asked:
        asked["replay"] = tuple(asked["replay"])
    settings = {name: given.pop(name) for name in list(given) if name.isupper()}
    settings = {name: value for name, value in settings.items() if value is not None}
    shorts = {name: short for name, short in _find_shorts(command, rest).items() if name in settings}
    return Arguments(command=command, settings=settings, shorts=shorts, options=RunOptions(**asked), **given)


def _find_shorts(command: str, words: Sequence[str]) -> dict[str, str]:
    """The short options that were typed and not their long forms, by setting: ``-w3`` and ``-w 3`` alike."""
    return {
        option.setting: option.short
        for option in COMMANDS[command].options
        if option.setting and option.short and not any(word.partition("=")[0] == option.name for word in words)
        if any(word.startswith(option.short) for word in words)
    }


def make_parser(command: str) -> _Parser:
    """The parser of one command."""
    program = f"{program_name()} {command}"
    parser = _Parser(
        prog=program,
        usage=" ".join([program, "[options]", *(option.usage for option in COMMANDS[command].options if option.usage)]),
        description=COMMANDS[command].describe(program_name(), install_command(DASHBOARD_PACKAGES)),
        epilog=f"{program_name()} help: all commands, and the exit codes.",
        formatter_class=HelpLines,
        allow_abbrev=False,
        add_help=False,
    )
    add_options(parser, command)
    return parser


def add_options(
    parser: argparse.ArgumentParser,
    command: str,
    refine: Callable[[argparse.Action, Option], None] = lambda _action, _option: None,
) -> None:
    """Add the options of a command, section by section. ``refine`` is called with each one that was added."""
    options = (*COMMANDS[command].options, *COMMON)
    for section in dict.fromkeys(option.section for option in options):
        group = parser.add_argument_group(section)
        for option in (option for option in options if option.section == section):
            refine(group.add_argument(*option.names, **option.keywords), option)
    if not parser.add_help:
        group.add_argument("-h", "--help", action="help", help="show this help")


def _help(topics: Sequence[str]) -> NoReturn:
    """Print the help of the program, or of the first topic that is a command, and exit."""
    names = [OLD_NAMES.get(topic, topic) for topic in topics if not topic.startswith("-")]
    if not names:
        print_program_help()
    elif names[0] in COMMANDS:
        make_parser(names[0]).print_help()
    else:
        raise ConfigError(_say_no_command(names[0]))
    raise SystemExit(0)


def _say_no_command(word: str) -> str:
    program = program_name()
    if os.path.exists(word) or set(word) & set("/*?."):
        return f"{word} is no command. Did you mean: {program} --input {shlex.quote(word)}"
    return f"{word} is no command. {_did_you_mean(word, COMMANDS)}See: {program} help"


def _say_unknown(command: str, word: str) -> str:
    """What to say of a word that the command does not know."""
    known = ["--help", *(name for option in (*COMMANDS[command].options, *COMMON) for name in option.names)]
    if word.startswith("-"):
        name = word.partition("=")[0]
        return f"{name} is no option of {command}. {_did_you_mean(name, known)}{_see(command)}"
    if "sql" in known:
        return f"{word} is one word too many for {command}: expected one query, as one word. Put quotes around it."
    if "--input" in known:
        return (
            f"{command} takes no {word} by itself. Did you mean: {program_name()} {command} --input {shlex.quote(word)}"
        )
    return f"{word} is one word too many for {command}. {_see(command)}"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]}? " if close else ""


def _see(command: str) -> str:
    return f"See: {program_name()} help {command}"
