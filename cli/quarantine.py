"""``quarantine``: writes the rejected records of the published version to a CSV, to correct and replay them."""

import shlex
from dataclasses import asdict
from pathlib import Path

from cli.arguments import Arguments
from cli.console import Answer, printable
from config import Config
from pipeline.errors import program_name
from utils.units import format_count


def quarantine_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Write the file and answer with its number of records. Raises what ``export_rejected`` raises."""
    from pipeline.inspection.quarantine import export_rejected

    path = Path(arguments.mend_file)
    exported = export_rejected(config, path)
    answer.give({"file": str(path), **asdict(exported)})
    if not answer.as_json and not arguments.quiet:
        shown = printable(shlex.quote(str(path)))
        found = format_count(exported.records, "rejected record")
        answer.write(f"{shown} has {found}, as read.\n")
        if exported.without_text:
            answer.write(f"{exported.without_text:,} more are left out: their bytes are not kept.\n")
        answer.write(
            "Correct those that you can, delete the others, and\nreplay the file with the options of your runs:\n"
            f"{program_name()} replay {shown}\n"
        )
    return 0
