"""What earlier runs left that this one goes on from: their splits, and the files that count in the current version."""

import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from pipeline.errors import ConfigError, InputError
from pipeline.exchange.workspace import split_file
from pipeline.history.inventory import Inventory, identity, take_inventory
from pipeline.history.journal import Journal, ledger_of
from pipeline.history.known_files import KnownFile, take_hint
from pipeline.history.manifest import KnownVersion, Manifest, UnusableManifest, remove_manifest
from pipeline.history.split_store import Store
from pipeline.machine import display_name
from pipeline.preprocess.tasks import SplitResult
from pipeline.versions.output_link import Output
from pipeline.versions.retention import forget_texts

DAMAGED = "damaged"
"""The fingerprint of files that lack a part in the store: no run has it."""


class History:
    """The manifest and the store as one output sees them, for the time of a run, which holds the locks of both."""

    def __init__(self, manifest: Manifest, store: Store, output: Output) -> None:
        self._manifest = manifest
        self._store = store
        self._output = output
        shown = output.current()
        versions = manifest.versions(output.link)
        self.current: KnownVersion | None = versions.get(shown) if shown else None
        self.unknown_version = shown if shown and not self.current else None
        self.versions = versions
        self.known = manifest.files()

    @property
    def quarantine(self) -> Path | None:
        """The quarantine of the current version, if there is one."""
        return self._output.versions / self.current.name / "quarantine" if self.current else None

    def counted_splits(self, fingerprint: str) -> dict[int, SplitResult] | None:
        """The splits that count in the current version, by number; None where some were made with other settings."""
        if not self.current or any(file.fingerprint != fingerprint for file in self.counted):
            return None
        ledgers = [ledger_of(file, file.path, at_hand=False) for file in self.counted]
        return {placed.result.split.number: placed.result for ledger in ledgers for placed in ledger.splits}

    @property
    def totals_folder(self) -> Path:
        """Of the run that made the current version: its totals are there, where it left any."""
        return self._store.root.parent / f"run-{self.current.name if self.current else ''}"

    @property
    def counts(self) -> dict[str, int]:
        """Of the current version, as ``run_record.counts_for_the_next`` wrote them; none without a version."""
        found: dict[str, int] = json.loads(self.current.base) if self.current else {}
        return found

    @property
    def counted(self) -> list[KnownFile]:
        """The files that count in the current version."""
        ids = self.current.files if self.current else frozenset()
        return [file for file in self.known if file.id in ids]

    def start_over(self) -> None:
        """Go on from nothing that counts in any version; what was read since stays known."""
        counted = self._manifest.counted_anywhere()
        self.known = [file for file in self.known if file.id not in counted]
        self.current = self.unknown_version = None

    def recover(self) -> None:
        """Remove what interrupted runs left: versions that were never published, and files of no finished split."""
        for version in self.versions.values():
            if version.published:
                continue
            if self.current and version.name == self.current.name:
                self._manifest.confirm_version(self._output.link, version.name)
            else:
                self._output.remove(version.name)
                self._manifest.drop_versions(self._output.link, [version.name])
        self._mark_damaged(self._store.open(_needed(self.known)))

    def forget_texts(self, before: float) -> int:
        """Clear what stood in rejected records of files that were read before that time; returns of how many files."""
        forgotten = 0
        for file in self.known:
            if file.read_at < before:
                numbers = [part.number for part in file.splits if part.result and "rejects" in part.needs()]
                paths = (self._store.root / "rejects" / split_file(number) for number in numbers)
                forgotten += sum(forget_texts(path) for path in paths if path.exists()) > 0
        return forgotten

    def look(self) -> set[int]:
        """The same for a look that changes nothing; returns the splits that lack a file."""
        missing = self._store.missing(_needed(self.known))
        self._mark_damaged(missing)
        return missing

    @property
    def shown(self) -> str | None:
        """The version that the output's link shows, whether or not it is known here."""
        return self.current.name if self.current else self.unknown_version

    def _mark_damaged(self, splits: set[int]) -> None:
        self.known = [
            replace(file, fingerprint=DAMAGED) if any(part.number in splits for part in file.splits) else file
            for file in self.known
        ]

    def check_source(self, source: str, add: bool) -> tuple[str, ...]:
        """The inputs that the next version comes from. Raises ConfigError for another than before, without ``add``."""
        here = os.path.realpath(source)
        before = self.current.sources if self.current else ()
        if not before or here in before:
            return before or (here,)
        if add:
            return (*before, here)
        shown = ", ".join(repr(display_name(name)) for name in before)
        raise ConfigError(
            f"--input is {display_name(here)!r}, but the published result in {str(self._output.link)!r} was made from "
            f"{shown}. To count these files besides, run again with --add; to start over from them alone, with "
            "--full-refresh; or choose another --output."
        )

    def take_inventory(self, paths: Sequence[str], fingerprint: str) -> Inventory:
        """Compare what was found with what is known."""
        hints = {}
        for path in paths:
            try:
                hints[path] = take_hint(path, time.time_ns())
            except OSError:
                continue  # Phase 1 will say why
        return take_inventory(paths, hints, self.known, self.counted, fingerprint)

    def open_journal(self, inventory: Inventory, fingerprint: str) -> Journal:
        """Where Phase 1 notes what it has done."""
        return Journal(self._manifest, self._store, inventory, fingerprint)

    def still_counted(self, inventory: Inventory, fingerprint: str, replays: Path, prune: bool) -> list[KnownFile]:
        """Files that count though this run does not find them. A replayed file that was deleted does not.

        Raises InputError where one was read with other settings: what it holds can neither be used nor made anew.
        """
        missing = [file for file in inventory.missing if not Path(file.path).is_relative_to(replays)]
        kept = [*([] if prune else missing), *inventory.elsewhere]
        stale = [file for file in kept if file.fingerprint != fingerprint]
        if stale:
            names = ", ".join(display_name(file.path) for file in stale[:5])
            raise InputError(
                f"{len(stale)} files that count are not in this input and were read with other settings, geo data or "
                f"program format, or lost their intermediate files ({names}). They cannot be mixed in. Restore them, "
                "or the settings; or take them out with --prune-missing, or start over with --full-refresh."
            )
        return kept

    def meet_again(self, inventory: Inventory) -> None:
        """Remember under which names and times files were found."""
        moved = {file.id for file, _ in inventory.moved}
        self._manifest.meet_again(
            (file.id, identity(path), display_name(path), inventory.hints[path])
            for path, file in inventory.reused.items()
            if file.id in moved or file.shown != display_name(path)
        )

    def publish(
        self,
        folder: Path,
        version: str,
        sources: Sequence[str],
        files: Iterable[int],
        counts: dict[str, int],
        keep: int,
    ) -> None:
        """Make the finished ``folder`` the current version, in which ``files`` (ids) count; forget what nobody needs.

        ``counts``: of the version, for the next one to compare.
        """
        link = self._output.link
        self._store.sync_run(self._store.root.parent / f"run-{version}")
        self._manifest.prepare_version(link, version, sources, files, json.dumps(counts))
        self._output.publish(folder, version, keep)
        self._manifest.confirm_version(link, version)
        kept = set(self._output.version_names())
        self._manifest.drop_versions(link, [name for name in self.versions if name not in kept])
        ids, splits = self._manifest.unreferenced()
        self._manifest.forget_files(ids)
        self._store.remove(splits)


@contextmanager
def open_history(folder: Path, output: Output, full_refresh: bool) -> Iterator[History]:
    """The history of an output in the intermediate ``folder``, recovered from interrupted runs.

    With ``full_refresh`` it begins anew, also where the manifest cannot be read.
    """
    with ExitStack() as held:
        try:
            history = History(held.enter_context(Manifest(folder)), Store(folder), output)
        except UnusableManifest:
            if not full_refresh:
                raise
            held.close()
            remove_manifest(folder)
            history = History(held.enter_context(Manifest(folder)), Store(folder), output)
        history.recover()
        if full_refresh:
            history.start_over()
        yield history


def _needed(files: Iterable[KnownFile]) -> dict[int, frozenset[str]]:
    return {part.number: part.needs() for file in files for part in file.splits if part.result}
