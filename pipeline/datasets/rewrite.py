"""Writes extracts of bronze again: with personal values hidden otherwise, or without people who are forgotten.

An extract never changes in place, because versions are made of it: its rows go into a new one, which takes its place in
the version that is being made. What then differs is found as for a file that changed.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import polars as pl

from pipeline.datasets.bronze import fingerprint
from pipeline.datasets.job import Job
from pipeline.datasets.state import FileState, JobState, SourceState
from pipeline.errors import InputError
from pipeline.sources.extracted import CLEAR, Extracted, ExtractWriter, Privacy
from pipeline.sources.protection import Protection
from pipeline.sources.source import Source


def hide_again(
    job: Job, state: JobState, protections: Mapping[str, Protection], bronze: Path, run_id: str, *, fresh: bool
) -> dict[str, SourceState]:
    """The sources of a version as they are when personal values are hidden as ``protections`` say.

    ``fresh``: sources without snapshots are going to be extracted again. Raises InputError where the clear values that
    this needs are gone.
    """
    found = {}
    for name, source in state.sources.items():
        wanted = protections.get(name, Protection())
        if name not in job.sources or source.protection == wanted.mark or _comes_anew(job.sources[name], source, fresh):
            found[name] = source
            continue
        files = [
            _rewritten(file, bronze, f"{name}/{run_id}-h{number:05d}", job.sources[name], name, source, Privacy(wanted))
            for number, file in enumerate(source.files)
        ]
        found[name] = replace(source, files=tuple(files), changed_in=run_id, protection=wanted.mark)
    return found


def leave_out(
    job: Job, state: JobState, privacy: Mapping[str, Privacy], bronze: Path, run_id: str
) -> dict[str, SourceState]:
    """The sources of a version without the people that ``privacy`` forgets, by source. Other extracts stay."""
    found = {}
    for name, source in state.sources.items():
        files = [
            _rewritten(file, bronze, f"{name}/{run_id}-f{number:05d}", job.sources[name], name, source, privacy[name])
            if name in privacy and _tells_of(file, bronze, job.sources[name], source, privacy[name])
            else file
            for number, file in enumerate(source.files)
        ]
        changed = {file.folder for file in files} != {file.folder for file in source.files}
        found[name] = replace(source, files=tuple(files), changed_in=run_id if changed else source.changed_in)
    return found


def tell_of(job: Job, state: JobState, privacy: Mapping[str, Privacy], bronze: Path) -> bool:
    """Whether the sources of a version have rows or rejected records of the people that ``privacy`` forgets."""
    return any(
        _tells_of(file, bronze, job.sources[name], state.sources[name], one)
        for name, one in privacy.items()
        if name in state.sources
        for file in state.sources[name].files
    )


def extract_tells_of(folder: Path, source: Source, privacy: Privacy) -> bool:
    """Whether an extract of which no version is made has rows or rejected records of a forgotten person, or columns by
    which that cannot be seen any more."""
    for path in folder.glob("*.parquet"):
        if path.name.startswith(CLEAR):
            continue
        rows, clear = pl.read_parquet(path), folder / f"{CLEAR}{path.name}"
        shown = [rows, rows.with_columns(pl.read_parquet(clear).get_columns())] if clear.exists() else [rows]
        for one in shown:
            if "raw" in one.columns and "reason" in one.columns:
                told = not privacy.forgotten.remove_rejected(one, source.contract).equals(one)
            else:
                ids = {name for name, column in source.contract.columns.items() if column.forget}
                told = not ids <= set(one.columns) or privacy.forgotten.is_in(one, source.contract)
            if told:
                return True
    return False


def _tells_of(file: FileState, bronze: Path, source: Source, before: SourceState, privacy: Privacy) -> bool:
    """Whether an extract has rows or rejected records of a forgotten person."""
    folder, contract = bronze / file.folder, source.contract
    for part in file.parts:
        clear = clear_rows(folder, part, before, must=False)
        if privacy.forgotten.is_in(pl.read_parquet(folder / part) if clear is None else clear, contract):
            return True
    for part in file.rejects:
        clear_part = folder / (f"{CLEAR}{part}" if before.protection else part)
        if clear_part.exists():
            rejected = pl.read_parquet(clear_part)
            if not privacy.forgotten.remove_rejected(rejected, contract).equals(rejected):
                return True
    return False


def _comes_anew(source: Source, before: SourceState, fresh: bool) -> bool:
    """Whether no extract of before stays."""
    return not source.snapshots and (fresh or before.fingerprint != fingerprint(source))


def _rewritten(
    file: FileState, bronze: Path, folder: str, source: Source, name: str, before: SourceState, privacy: Privacy
) -> FileState:
    """The file, in a new extract."""
    place, old = bronze / folder, bronze / file.folder
    place.mkdir(parents=True, mode=0o700)
    writer = ExtractWriter(place, name, source.contract, privacy)
    same = before.protection == privacy.protection.mark
    for part in file.parts:
        rows = clear_rows(old, part, before, must=not same)
        writer.add(pl.read_parquet(old / part) if rows is None else rows, hidden=rows is None)
    for part in file.rejects:
        clear = old / (part if not before.protection else f"{CLEAR}{part}")
        hidden = not clear.exists()
        writer.add_rejected(pl.read_parquet(old / part if hidden else clear), hidden=hidden)
    return _moved(file, folder, writer.finish())


def clear_rows(folder: Path, part: str, before: SourceState, *, must: bool) -> pl.DataFrame | None:
    """The rows of a part with clear values; None where these are gone. ``must``: that raises InputError."""
    rows = pl.read_parquet(folder / part)
    if not before.protection:
        return rows
    clear = folder / f"{CLEAR}{part}"
    if clear.exists():
        return rows.with_columns(pl.read_parquet(clear).get_columns())
    if not must:
        return None
    raise InputError(
        f"personal values are to be hidden otherwise than until now ({before.protection}), and their clear values in "
        f"{str(folder)!r} were removed after bronze_days. Hide them as before and with the same key. Where the files "
        "are there still, --full-refresh reads them again, but for sources with snapshots."
    )


def _moved(file: FileState, folder: str, found: Extracted) -> FileState:
    return replace(
        file, folder=folder, parts=found.files, rows=found.rows, rejected=found.rejected, rejects=found.rejects
    )
