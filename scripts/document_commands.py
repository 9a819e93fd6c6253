"""Write docs/commands.md from the commands: ``python -m scripts.document_commands``. A test compares the two."""

from pathlib import Path

from cli.commands import COMMANDS, DASHBOARD_PACKAGES, Command
from cli.help import EXIT_CODES, MAX_WIDTH, wrapped
from cli.options import COMMON, Option

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"

INSTALL = f".venv/bin/python -m pip install -r {DASHBOARD_PACKAGES}"

HEAD = """\
# Commands

`./logmill COMMAND [options]`; without a command, `run`. This page is written by
`python -m scripts.document_commands`; `./logmill help COMMAND` shows the same. Settings are explained in
[configuration.md](configuration.md).
"""


def main() -> None:
    """Write the page."""
    PAGE.write_text(render(), encoding="utf-8")


def render() -> str:
    """The whole page: a section for each command, then the exit codes."""
    sections = [_section(name, command) for name, command in COMMANDS.items()]
    return "\n".join([HEAD, *sections, f"## Exit codes\n\n```\n{EXIT_CODES}\n```\n"])


def _section(name: str, command: Command) -> str:
    rows = map(_row, (*command.options, *COMMON))
    table = "\n".join(["| option | | setting |", "|---|---|---|", *rows])
    text = command.describe("./logmill", INSTALL)
    described = "\n".join(wrapped(line, MAX_WIDTH) for line in text.splitlines())
    return f"## {name}\n\n```\n{described}\n```\n\n{table}\n"


def _row(option: Option) -> str:
    shown = [", ".join(option.names), option.metavar] if option.name.startswith("-") else [option.metavar]
    setting = f"`{option.setting}`" if option.setting else ""
    return f"| `{' '.join(filter(None, shown))}` | {option.full_help} | {setting} |"


if __name__ == "__main__":
    main()
