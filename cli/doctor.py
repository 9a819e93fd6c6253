"""``doctor``: prints a line for each check, ok, warn or fail, with what to do."""

import sys

from rich.console import Console
from rich.text import Text

from cli.arguments import Arguments
from cli.console import Answer, printable
from cli.terminal import PipeConsole
from config import Config
from pipeline.errors import EnvironmentFault

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Print each check when it has ended; with ``--quiet`` only the failed ones. Returns 5 where one failed, else 0."""
    from pipeline.inspection.doctor import examine
    from pipeline.inspection.doctor.check import Check

    checks: list[Check] = []
    console = PipeConsole()
    for check in examine(config, spark=arguments.spark):
        checks.append(check)
        if not answer.as_json and (check.status == "fail" or not arguments.quiet):
            show_check(console, check.status, check.name, check.found, check.fix)
    worst = max((check.status for check in checks), key=["ok", "warn", "fail"].index)
    answer.give({"status": worst, "checks": [vars(check) for check in checks]})
    if not answer.as_json and not arguments.quiet:
        counts = {status: sum(check.status == status for check in checks) for status in STYLES}
        answer.write(", ".join(f"{count} {status}" for status, count in counts.items()) + "\n")
    return EnvironmentFault.exit_code if worst == "fail" else 0


def show_check(console: Console, status: str, name: str, found: str, fix: str) -> None:
    """Print one line for a check, and what to do below it."""
    line = Text.assemble((f"{status:<4}", STYLES[status]), f"  {name:<18} ", _lines(found))
    console.print(line, soft_wrap=True)
    if fix:
        console.print(Text(f"{'':<25}{printable(fix)}", style="dim"), soft_wrap=True)
    sys.stdout.flush()


def _lines(found: str) -> str:
    """Align several lines, such as the end of Spark's log, below each other."""
    return ("\n" + " " * 25).join(printable(line) for line in found.splitlines())
