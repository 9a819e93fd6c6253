"""What a question about records needs to know: the published version, the files that are known, and where they lie."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl

from config import Config
from pipeline.errors import InputError
from pipeline.exchange.workspace import Workspace
from pipeline.history.known_files import KnownFile
from pipeline.history.state import DAMAGED, History
from pipeline.inspection.status import look_at_history
from pipeline.publish.region_files import partition_folder
from pipeline.versions.catalog import Version, current_version, kept_versions
from pipeline.versions.output_link import Output

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Published:
    """The version that OUTPUT_DIR shows, what its manifest knows, and the settings that it was made with.

    ``keep``: DEDUPE_KEEP; ``hidden``: whether users have pseudonyms; ``names``: regions by code, by the fingerprint of
    the files that were read so. ``notes`` collects what a question could not find out.
    """

    output: str
    version: Version
    history: History
    store: Workspace
    keep: str
    max_record: int
    hidden: bool
    names: Mapping[str, tuple[str, ...]]
    notes: list[str] = field(default_factory=list)

    @property
    def counted(self) -> list[KnownFile]:
        """The files that count. Raises InputError where one lost what was made of it."""
        for file in self.history.counted:
            if file.fingerprint not in self.names:
                raise InputError(
                    f"files of {file.shown!r} are missing below {self.store.store!r}, so that it cannot be explained. "
                    "Run again: it is then read anew."
                )
        return self.history.counted

    @property
    def counted_names(self) -> tuple[str, ...]:
        """The regions by code of the files that count."""
        return self.names[self.counted[0].fingerprint] if self.counted else ()

    def partition(self, region: str) -> str:
        """Where a region's rows are published."""
        return f"{self.output}/{partition_folder(region)}"

    def find_totals(self, user: str) -> dict[str, tuple[float, int]]:
        """A user's published (minutes, events) by region."""
        found = {}
        for region in self.counted_names:
            files = sorted((self.version.folder / "data" / partition_folder(region)).glob("*.parquet"))
            if files:
                rows = pl.scan_parquet(files, glob=False, hive_partitioning=False).filter(pl.col("user_id") == user)
                for minutes, events in rows.select("total_watch_time_min", "event_count").collect().rows():
                    found[region] = (minutes, events)
        return found


class Removed(InputError):
    """A run has removed what was being read."""


def answer(config: Config, question: Callable[[Published], Answer]) -> Answer:
    """The answer of ``question`` about what is published; asked again where a run removed what was being read, because
    it forgets files, and replaces versions, before that. Raises as ``open_published`` does."""
    failed: tuple[str, list[KnownFile]] | None = None
    while True:
        state = None
        try:
            with open_published(config) as published:
                state = published.version.name, published.history.known
                return question(published)
        except Removed:
            if state and state == failed:  # no run did that
                raise
            failed = state


@contextmanager
def open_published(config: Config) -> Iterator[Published]:
    """Look at what is published, changing nothing.

    Raises InputError where nothing was processed, or where the intermediate folder is not that of the published
    version, or where a run removed meanwhile what was being read.
    """
    version = current_version(config.OUTPUT_DIR)
    with look_at_history(config, Output(config.OUTPUT_DIR)) as history:
        if Output(config.OUTPUT_DIR).current() != version.name:
            raise Removed(f"version {version.name} was replaced while it was read, by a run. Ask again.")
        if history is None or history.current is None or history.current.name != version.name:
            raise InputError(
                f"version {version.name} at {config.OUTPUT_DIR!r} was not made with the intermediate folder "
                f"{config.INTERMEDIATE_DIR!r}, or that was deleted: expected its manifest there. Name the right folder "
                "with --intermediate."
            )
        place = Path(config.INTERMEDIATE_DIR).absolute()
        names: dict[str, tuple[str, ...]] = {}
        for kept in kept_versions(config.OUTPUT_DIR):
            known = history.versions.get(kept.name)
            if known is None or (kept.name != version.name and not kept.has_geo):
                continue
            try:
                regions = tuple(kept.geo["names"])
            except InputError:
                if kept.folder.exists():
                    raise
                continue
            names |= {file.fingerprint: regions for file in history.known if file.id in known.files}
        names.pop(DAMAGED, None)
        settings = version.record["settings"]
        try:
            yield Published(
                config.OUTPUT_DIR,
                version,
                history,
                Workspace(str(place), str(place / "store")),
                settings["DEDUPE_KEEP"],
                settings["MAX_RECORD_BYTES"],
                settings["PSEUDONYMIZE_USERS"],
                names,
            )
        except FileNotFoundError as fault:
            raise Removed(f"{fault.filename!r} was removed while it was read, by a run. Ask again.") from fault
        except InputError:
            if version.folder.exists():
                raise
        if not version.folder.exists():
            raise Removed(f"version {version.name} was removed while it was read, by a run. Ask again.")
