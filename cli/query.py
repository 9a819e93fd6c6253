"""``query``: answers one SQL query over the published result as a table, CSV or JSON."""

import shutil
import sys

from cli.answers import FORMATS, as_json, as_table
from cli.arguments import Arguments
from cli.console import Answer, say
from config import Config
from pipeline.errors import ConfigError
from pipeline.inspection.query import ask


def query_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Print the answer to stdout, and a warning to stderr where rows were left out. Raises what ``ask`` raises."""
    if arguments.format not in FORMATS:
        raise ConfigError(f"--format is {arguments.format!r}: expected {', '.join(FORMATS)}.")
    found = ask(config, arguments.sql)
    if arguments.format == "table":
        answer.write(as_table(found, shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    elif arguments.format == "json":
        answer.write(as_json(found, ascii_only=not answer.is_unicode))
    else:
        answer.write(FORMATS[arguments.format](found))
    if found.cut and not arguments.quiet:
        say(
            f"only the first {len(found.rows):,} rows are shown, there are more: --limit-rows shows more",
            level="warning",
            event="rows_cut",
            rows=len(found.rows),
        )
    return 0
