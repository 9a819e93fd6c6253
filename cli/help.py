"""How help looks: the list of commands, and lines that fit the terminal."""

import argparse
import re
import shutil
import textwrap

from cli.commands import COMMANDS
from pipeline.errors import program_name

MAX_WIDTH = 100

EXIT_CODES = """\
0    done
1    a fault in the program, or a run that does not balance; nothing was published
2    usage or configuration
3    input: nothing to process; nothing was published
4    a quality gate stopped publication
5    environment: Java, disk, memory, or another run is at work
6    some files were refused; the others count, and are published
130  interrupted"""


class HelpLines(argparse.HelpFormatter):
    """Lines as wide as the terminal, but no wider than 100 characters. Each line of a description is a paragraph."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=_width())

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + wrapped(line, width - len(indent)) for line in text.splitlines())

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """``-i, --input PATH``: the value stands once, whatever the version of Python."""
        if not action.option_strings:
            return super()._format_action_invocation(action)
        return ", ".join(action.option_strings) + (f" {action.metavar}" if action.metavar else "")


def wrapped(line: str, width: int) -> str:
    """A line in lines of at most ``width`` characters; below each other where the line is a row of a table."""
    row = re.match(r" *\S+ {2,}|  +", line)
    indent = " " * len(row[0]) if row else ""
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
    )


def print_program_help() -> None:
    """Print all commands in their groups, two examples, and the exit codes."""
    program = program_name()
    lines = [
        f"usage: {program} [COMMAND] [options]",
        "",
        "Activity-log CSVs to watch time per user and region. Without a command it runs; without any input it makes "
        "test data first.",
    ]
    for group in dict.fromkeys(command.group for command in COMMANDS.values()):
        lines += ["", f"{group}:"]
        lines += [f"  {name:<12}{one.summary}" for name, one in COMMANDS.items() if one.group == group]
    lines += [
        *("", "Examples:"),
        f"  {program} --input /data/logs",
        f'  {program} query "FROM runs" --format csv',
        *("", f"{program} help COMMAND shows the options of a command."),
        "Sizes: 8GB or 8G (10^9 bytes each), 512MiB or 512Mi (2^20 each), or bytes.",
        f"Settings: {program} config lists all; config.py explains them. Set them there, in logmill.toml, or as "
        "LOGMILL_<NAME>=... in the environment.",
        *("", "Exit codes:"),
        *(f"  {line}" for line in EXIT_CODES.splitlines()),
    ]
    print("\n".join(wrapped(line, _width()) for line in lines))


def _width() -> int:
    return min(MAX_WIDTH, shutil.get_terminal_size().columns)
