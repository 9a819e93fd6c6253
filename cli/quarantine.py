"""``quarantine``: writes the rejected records of the published version to a CSV, to correct and replay them."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cli.arguments import Arguments
from cli.console import Answer, printable
from config import Config
from pipeline.errors import program_name
from utils.units import format_count


def quarantine_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Write the file and answer with its number of records. Raises what ``export_rejected`` raises."""
    from pipeline.inspection.quarantine import export_rejected
    from pipeline.versions.catalog import find_version

    path = Path(arguments.mend_file)
    exported = export_rejected(config, path)
    settings = find_version(config.OUTPUT_DIR, exported.version).record.get("settings", {})
    answer.give({"file": str(path), **asdict(exported)})
    if not answer.as_json and not arguments.quiet:
        shown = printable(shlex.quote(str(path)))
        found = format_count(exported.records, "rejected record")
        answer.write(f"{shown} has {found}, as read.\n")
        if exported.without_text:
            answer.write(f"{exported.without_text:,} more are left out: their bytes are not kept.\n")
        if exported.replayed:
            answer.write("Records that were corrected before are among them: their logs still have them.\n")
        answer.write(
            "Correct those that you can, delete the others, and\nreplay the file with the options of your runs:\n"
            f"{program_name()} replay {shown}{printable(_places(settings, config))}\n"
        )
    return 0


def _places(settings: Mapping[str, Any], config: Config) -> str:
    """The options that name the input of the version with these ``settings``, and its output if one was named here."""
    options = []
    if settings.get("INPUT_NAMED"):
        options += ["--input", str(settings.get("INPUT_DIR", ""))]
    if "command line" in config.origins.get("OUTPUT_DIR", ""):
        options += ["--output", config.OUTPUT_DIR]
    return "".join(f" {option}" for option in map(shlex.quote, options))
