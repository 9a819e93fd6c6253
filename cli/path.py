"""``path``: prints the folder of a published result, in which nothing changes."""

import sys
from contextlib import suppress

from cli.arguments import Arguments
from cli.console import Answer
from config import Config


def path_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Answer with the data folder of the current version, or of a kept one. Raises what ``data_place`` raises."""
    from pipeline.versions.catalog import data_place

    version, place = data_place(config.OUTPUT_DIR, arguments.version)
    answer.give({"path": place, "version": version, "output": config.OUTPUT_DIR})
    if not answer.as_json:
        with suppress(AttributeError):  # the path as the system knows it, whatever the terminal can show
            sys.stdout.reconfigure(encoding=sys.getfilesystemencoding(), errors="surrogateescape")  # type: ignore[union-attr]
        answer.write(f"{place}\n")
    return 0
