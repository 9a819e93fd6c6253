"""The published version, its files and its history, opened for one question."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from config import Config
from pipeline.errors import InputError
from pipeline.exchange.workspace import Workspace
from pipeline.history.known_files import DAMAGED
from pipeline.history.known_list import KnownFiles
from pipeline.history.state import History
from pipeline.inspection.status import look_at_history
from pipeline.publish.region_files import partition_folder
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats, formats_of
from pipeline.storage.urls import is_url
from pipeline.versions.catalog import Version, current_version, kept_versions
from pipeline.versions.folders import intermediate_folder
from pipeline.versions.outputs import open_output
from utils.units import format_count

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Published:
    """The version that OUTPUT_DIR shows, with its history and the settings that it was made with.

    Attributes:
        output: OUTPUT_DIR.
        version: the version that it shows.
        history: what the manifest knows.
        store: the folder of the rows, indexes and rejected records of all known files.
        keep: DEDUPE_KEEP.
        max_record: MAX_RECORD_BYTES.
        hidden: whether users have pseudonyms.
        names: by the fingerprint of files, the regions by code of their rows.
        formats: how values are written.
        id_parts: number of columns that make an id.
    """

    output: str
    version: Version
    history: History
    store: Workspace
    keep: str
    max_record: int
    hidden: bool
    names: Mapping[str, tuple[str, ...]]
    formats: ValueFormats = USUAL_FORMATS
    id_parts: int = 1

    @property
    def counted(self) -> KnownFiles:
        """The files that count. Raises InputError where one lacks files in the store or notes in the manifest."""
        counted = self.history.counted
        for file in counted:
            if file.fingerprint not in self.names or not file.finished:
                raise InputError(
                    f"files or notes of {file.shown!r} are missing below {self.store.root!r}, so that it cannot be "
                    "explained. Run again: it is then read anew."
                )
        if self.history.lost:
            raise InputError(
                f"notes of {format_count(self.history.lost, 'file')} that counted are missing below "
                f"{self.store.root!r}, so that the version cannot be explained. Run again: they are then read anew."
            )
        return counted

    @property
    def counted_names(self) -> tuple[str, ...]:
        """The regions by code in the rows of the files that count."""
        counted = self.counted
        return self.names[counted[0].fingerprint] if counted else ()

    def partition(self, region: str) -> str:
        """The folder in which a region's rows are published: that of the version, which the link may soon not show."""
        return f"{self.output}.versions/{self.version.name}/data/{partition_folder(region)}"

    def find_totals(self, user: str) -> dict[str, tuple[float, int]]:
        """Read a user's published (minutes, events) by region."""
        totals = {}
        for region in self.counted_names:
            files = sorted((self.version.folder / "data" / partition_folder(region)).glob("*.parquet"))
            if files:
                rows = pl.scan_parquet(files, glob=False, hive_partitioning=False).filter(pl.col("user_id") == user)
                for minutes, events in rows.select("total_watch_time_min", "event_count").collect().rows():
                    totals[region] = (minutes, events)
        return totals


class Removed(InputError):
    """A run removed files while they were read."""


def answer(config: Config, question: Callable[[Published], Answer]) -> Answer:
    """Open what is published and answer a question about it.

    The question is asked again where a run removed files while they were read. A run removes files from the manifest,
    or replaces the version, before that; where neither changed, no run did it, and ``Removed`` is raised. Raises
    InputError as ``open_published`` does.
    """
    failed: tuple[str, KnownFiles] | None = None
    while True:
        state = None
        try:
            with open_published(config) as published:
                state = published.version.name, published.history.known
                return question(published)
        except Removed:
            if state and state == failed:
                raise
            failed = state


@contextmanager
def open_published(config: Config) -> Iterator[Published]:
    """Open what is published, changing nothing.

    Raises:
        InputError: nothing is published, or the intermediate folder is not that of the published version.
        Removed: a run removed files within the ``with`` block.
    """
    if is_url(config.INTERMEDIATE_DIR):
        raise InputError(
            f"INTERMEDIATE_DIR is {config.INTERMEDIATE_DIR!r}: records are looked up in an intermediate folder of this "
            "machine alone. Copy the logs in question, and run over them with --engine polars and other folders."
        )
    version = current_version(config.OUTPUT_DIR)
    output = open_output(config.OUTPUT_DIR)
    with look_at_history(config, output) as history:
        if output.current() != version.name:
            raise Removed(f"version {version.name} was replaced while it was read, by a run. Ask again.")
        if history is None or history.current is None or history.current.name != version.name:
            raise InputError(
                f"version {version.name} at {config.OUTPUT_DIR!r} was not made with the intermediate folder "
                f"{config.INTERMEDIATE_DIR!r}, or that was deleted: expected its manifest there. Name the right folder "
                "with --intermediate."
            )
        folder = intermediate_folder(config.INTERMEDIATE_DIR, config.OUTPUT_DIR).absolute()
        names = _region_names(config.OUTPUT_DIR, version, history)
        settings = version.record["settings"]
        try:
            yield Published(
                config.OUTPUT_DIR,
                version,
                history,
                Workspace(str(folder), str(folder / "store")),
                settings["DEDUPE_KEEP"],
                settings["MAX_RECORD_BYTES"],
                settings["PSEUDONYMIZE_USERS"],
                names,
                formats_of(settings),
                len(settings.get("LOG_ID_COLUMNS", ())) or 1,
            )
        except FileNotFoundError as fault:
            raise Removed(f"{fault.filename!r} was removed while it was read, by a run. Ask again.") from fault
        except InputError:
            if version.folder.exists():
                raise
        if not version.folder.exists():
            raise Removed(f"version {version.name} was removed while it was read, by a run. Ask again.")


def _region_names(output: str, version: Version, history: History) -> dict[str, tuple[str, ...]]:
    """The regions by code in the rows of files, by the fingerprint of the files: each kept version has those of its
    own files."""
    names: dict[str, tuple[str, ...]] = {}
    for kept in kept_versions(output):
        known = history.versions.get(kept.name)
        if known is None or (kept.name != version.name and not kept.has_geo):
            continue
        try:
            regions = tuple(kept.geo["names"])
        except InputError:
            if kept.folder.exists():
                raise
            continue
        names |= dict.fromkeys(history.known.with_ids(known.files).fingerprints, regions)
    names.pop(DAMAGED, None)
    return names
