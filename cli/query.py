"""``query``: answers one SQL query over the published result as a table, CSV or JSON."""

import shutil
import sys

from cli.answer_table import as_table
from cli.answers import as_csv, as_json, as_objects
from cli.arguments import Arguments
from cli.console import Answer, say
from config import Config
from pipeline.errors import ConfigError
from pipeline.inspection.query import Found, ask
from utils.units import format_count

FORMATS = "table", "csv", "json"


def query_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Print the answer to stdout, and a warning to stderr where rows, columns or texts were left out.

    With ``--json`` the answer is one object with ``columns``, ``rows`` and ``cut``. Raises what ``ask`` raises.
    """
    check_format(arguments)
    show_found(ask(config, arguments.sql), arguments, answer)
    return 0


def check_format(arguments: Arguments) -> None:
    """Raise ConfigError for a format that is not known, before the query takes its time."""
    if arguments.format not in FORMATS:
        raise ConfigError(f"--format is {arguments.format!r}: expected {', '.join(FORMATS)}.")


def show_found(found: Found, arguments: Arguments, answer: Answer) -> None:
    """Print the answer to a query in the format that was asked for."""
    if answer.as_json:
        answer.give({"columns": list(found.columns), "rows": as_objects(found), "cut": found.cut})
    elif arguments.format == "table":
        _write_table(found, arguments, answer)
    elif arguments.format == "json":
        answer.write(as_json(found, ascii_only=not answer.is_unicode))
    else:
        answer.write(as_csv(found))
    if found.cut and not arguments.quiet:
        say(
            f"{format_count(len(found.rows), 'row')} shown, there are more: --limit-rows shows more",
            level="warning",
            event="rows_cut",
            rows=len(found.rows),
        )


def _write_table(found: Found, arguments: Arguments, answer: Answer) -> None:
    shown = as_table(found, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    answer.write(shown.text)
    if shown.left_out and not arguments.quiet:
        say(f"note: {shown.left_out}", event="table_cut")
