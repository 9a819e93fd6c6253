"""The inputs of a run: listed, expanded where they are compressed, their headers read."""

from pipeline.archives import Expanded, is_archive
from pipeline.engines.local import LocalEngine
from pipeline.errors import InputError
from pipeline.expansion import expand_all
from pipeline.header import without_fields
from pipeline.record_rules import rule_columns
from pipeline.results import Progress
from pipeline.setup import Setup
from pipeline.splits import InputFile, display_name, file_size, find_inputs, open_inputs


def list_inputs(source: str, would_go: str | None) -> tuple[list[str], list[str]]:
    """(files to read, entries skipped) as of ``find_inputs``. Raises InputError where there is nothing to read.

    ``would_go``: the published version, if what has left the input shall be taken out of it.
    """
    paths, skipped = find_inputs(source)
    if paths:
        return paths, skipped
    others = ", ".join(display_name(path) for path in skipped[:10])
    raise InputError(
        f"nothing to process: no *.csv or *.tsv (or these with .gz or .zst) in {display_name(source)!r}"
        f"{f' (skipped: {others})' if others else ''}. {_all_would_go(would_go) if would_go else ''}"
        "Name the logs with --input."
    )


def _all_would_go(version: str) -> str:
    """An empty result is what a disk that is not mounted would make, and surely not what was meant then."""
    return (
        f"With --prune-missing every file would be taken out of version {version}, and an empty result would replace "
        "it; it stays, because a disk that is not mounted looks just so. Mount it and run again, or remove the output "
        "and its versions if all of it shall go. "
    )


def open_files(
    pool: LocalEngine, setup: Setup, paths: list[str], progress: Progress
) -> tuple[list[InputFile], dict[str, str]]:
    """Expand what is compressed and read every header: (files, reasons of the refused ones by path)."""
    config = setup.config
    archives = [path for path in paths if is_archive(path)]
    expanded: dict[str, Expanded] = {}
    refused: dict[str, str] = {}
    if archives:
        progress.phase("Expand compressed files", sum(map(file_size, archives)))
        expanded, refused = expand_all(pool, archives, config.MAX_EXPANSION_RATIO, progress.advance)
    readable = [path for path in paths if path not in refused]
    required, optional = rule_columns(setup.rules, setup.columns)
    files, headless = open_inputs(readable, required, config.MAX_RECORD_BYTES, optional, expanded)
    if config.PSEUDONYMIZE_USERS:  # where the header is missing, the line shown is a record with its user
        headless = {path: without_fields(reason) for path, reason in headless.items()}
    return files, refused | headless
