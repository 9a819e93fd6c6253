"""Write docs/commands.md from the parsers: ``python -m scripts.document_commands``. A test compares the two."""

import argparse
from pathlib import Path

from cli.arguments import EXIT_CODES, PARSERS, SETTINGS
from config import Config
from utils.settings import declared

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"

HEAD = """\
# Commands

`python main.py COMMAND [options]`; without a command, `run`. This page is written from the parsers by
`python -m scripts.document_commands`; `python main.py COMMAND --help` shows the same. Settings are explained in
[configuration.md](configuration.md).
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The whole page: a section for each command, then the exit codes."""
    sections = [_section(name, make()) for name, make in PARSERS.items()]
    return "\n".join([HEAD, *sections, f"## Exit codes\n\n```\n{EXIT_CODES}\n```\n"])


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    rows = [_row(action, into=name == "generate") for action in parser._actions if action.dest != "help"]
    table = "\n".join(["| option | | setting |", "|---|---|---|", *rows])
    return f"## {name}\n\n```\n{parser.description}\n```\n\n{table}\n"


def _row(action: argparse.Action, into: bool) -> str:
    """``into``: here ``--output`` is the folder to fill, not the setting."""
    metavar = f" {action.metavar}" if action.metavar and action.option_strings else ""
    name = f"{action.option_strings[0]}{metavar}" if action.option_strings else str(action.metavar)
    setting = "" if into and action.dest == "output" else SETTINGS.get(action.dest, "")
    assert not setting or setting in declared(Config)
    return f"| `{name}` | {action.help} | {f'`{setting}`' if setting else ''} |"


if __name__ == "__main__":
    main()
