"""What earlier runs left that a run goes on from: their splits, and the files that count in the current version."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from itertools import chain
from pathlib import Path

from pipeline.errors import ConfigError, EnvironmentFault, InputError
from pipeline.history.counted_splits import CountedSplits
from pipeline.history.inventory import Inventory, identity, take_inventory
from pipeline.history.journal import Journal
from pipeline.history.known_files import DAMAGED, Hints, KnownFile, take_hint
from pipeline.history.known_list import FileIds, FilesByPath, KnownFiles, find_contradictions
from pipeline.history.manifest import MANIFEST_FILE, KnownVersion, Manifest, UnusableManifest, set_aside
from pipeline.history.split_store import Store, files_below, open_store
from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, pack_many
from pipeline.reading.file_access import real_path
from pipeline.versions.output_link import Output
from utils.units import format_count


class History:
    """The manifest, the store and the versions of one output, as they are while a run (or a look) goes on.

    A run holds the locks of both folders. A look has a copy of the manifest, and calls no method that writes.

    ===================  ====================================================================================
    ``known``            all files of the manifest
    ``versions``         the output's versions that the manifest knows, by name
    ``current``          the version that the output's link shows; None where the manifest does not know it
    ``unknown_version``  the name of the version that the link shows, where the manifest does not know it
    ``contradicted``     files that the manifest contradicts, which are therefore read again
    ``lost``             how many files count in the current version without a row in the manifest
    ``set_aside``        why and where the manifest of earlier runs was set aside; empty where it was not
    ===================  ====================================================================================
    """

    def __init__(self, manifest: Manifest, store: Store, output: Output) -> None:
        self._manifest = manifest
        self._store = store
        self._output = output
        self.set_aside = ""
        self.known, self.contradicted = find_contradictions(manifest.files())
        self.versions = manifest.versions(output.key)
        name = output.current()
        self.current: KnownVersion | None = self.versions.get(name) if name else None
        self.unknown_version = name if name and not self.current else None
        self._counted_by_path: FilesByPath | None = None  # made once, and only where a file turned bad
        known = FileIds(self.known.ids)
        self.lost = sum(id_ not in known for id_ in self.current.files) if self.current else 0

    @property
    def shown_version(self) -> str | None:
        """The name of the version that the output's link shows, whether or not the manifest knows it."""
        return self.current.name if self.current else self.unknown_version

    @property
    def counted(self) -> KnownFiles:
        """The files that count in the current version."""
        return self.known.with_ids(self.current.files if self.current else ())

    @cached_property
    def counted_anywhere(self) -> FileIds:
        """The ids of the files that count in any version of any output."""
        return self._manifest.counted_anywhere()

    def first_counted(self, ledgers: Sequence[FileLedger], inventory: Inventory) -> Sequence[FileLedger]:
        """The files among ``ledgers`` that do not count in the current version: read by this run, or by one that was
        interrupted."""
        ids = self.current.files if self.current else frozenset()
        if not ids:
            return ledgers
        interrupted = {path for path, id_ in inventory.reused.ids_by_path() if id_ not in ids}
        return pack_many(ledger for ledger in ledgers if ledger.read_at == math.inf or ledger.file.path in interrupted)

    def was_good(self, ledger: FileLedger) -> bool:
        """Whether good records of the file at the path of ``ledger`` count in the current version."""
        if self._counted_by_path is None:
            counted = self.counted
            self._counted_by_path = FilesByPath(counted, {path: place for place, path in enumerate(counted.paths)})
        file = self._counted_by_path.get(identity(ledger.file.path))
        return bool(file and file.handed_over)

    @property
    def counts(self) -> dict[str, int]:
        """The counts of the current version (``run_record.counts_for_the_next``); empty where there is none."""
        try:
            counts = json.loads(self.current.base) if self.current else {}
        except ValueError:
            return {}
        sound = isinstance(counts, dict) and all(type(count) is int for count in counts.values())
        return counts if sound else {}

    @property
    def quarantine(self) -> Path | None:
        """The folder of the current version's quarantine, which need not exist; None without a current version."""
        return self._output.folder_of(self.current.name) / "quarantine" if self.current else None

    @property
    def totals_folder(self) -> Path:
        """The folder of the run that made the current version: its totals lie there, if it left any."""
        return self._run_folder(self.current.name if self.current else "")

    def split_file(self, kind: str, number: int) -> Path:
        """A file of a split on this machine, which need not exist; ``kind``: of ``SPLIT_KINDS``."""
        return self._store.at_hand(kind, number)

    def counted_splits(self, fingerprint: str) -> CountedSplits | None:
        """The splits that count in the current version, by number.

        None where there is no version, or where a file of it was read with settings of another ``fingerprint`` or is
        not finished.
        """
        if not self.current or self.lost:
            return None
        counted = self.counted
        usable = all(counted.usable(place, fingerprint) for place in range(len(counted)))
        return CountedSplits(counted) if usable else None

    def lacking_files(self) -> set[int]:
        """The numbers of the finished splits that lack a file in the store."""
        return self._store.missing(_needed(self.known))

    def mark_damaged(self, splits: set[int]) -> None:
        """Give the files of these splits the fingerprint ``DAMAGED``, in this object alone."""
        if not splits:
            return
        self.known = KnownFiles(
            replace(file, fingerprint=DAMAGED) if any(split.number in splits for split in file.splits) else file
            for file in self.known
        )

    def recover(self) -> None:
        """Remove what interrupted runs left: versions that were never published, and files of unfinished splits.

        Files that lack a file in the store are marked as damaged.
        """
        there = set(self._output.version_names())
        for version in self.versions.values():
            if version.published:
                continue
            if self.current and version.name == self.current.name:
                self._manifest.confirm_version(self._output.key, version.name)
            else:
                if version.name in there:
                    self._output.remove(version.name)
                self._manifest.drop_versions(self._output.key, [version.name])
        needed = _needed(self.known)
        self._store.open(needed)
        self.mark_damaged(self._store.missing(needed))

    def start_over(self) -> None:
        """Forget, in this object alone, the current version and the files that count in any version of any output.

        Files that were read and never published stay known.
        """
        counted = self._manifest.counted_anywhere()
        self.known = self.known.where(lambda file: file.id not in counted)
        self.current = self.unknown_version = None

    def forget_texts(self, before: float) -> int:
        """Clear the texts of rejected records in files that were read before that time (epoch seconds).

        Returns of how many files texts were cleared.
        """
        old = [place for place, read_at in enumerate(self.known.reading_times) if read_at < before]
        if not old:
            return 0
        forgotten, cleared = 0, self._store.texts_cleared()
        for file in (self.known[place] for place in old):
            if file.file_hash and file.read_at < cleared:  # one that is not finished may have got more splits since
                continue
            numbers = [split.number for split in file.splits if split.result and "rejects" in split.needs()]
            forgotten += sum(map(self._store.forget_texts, numbers)) > 0
        if cleared < before:
            self._store.note_cleared(before)
        return forgotten

    def check_source(self, source: str, add: bool) -> tuple[str, ...]:
        """The inputs that the next version is made from: those of the current one, and ``source``.

        Raises ConfigError where ``source`` is another input than before, unless ``add`` is set.
        """
        path = real_path(source)
        before = self.current.sources if self.current else ()
        if not before or path in before:
            return before or (path,)
        if add:
            return (*before, path)
        names = ", ".join(repr(display_name(name)) for name in before)
        raise ConfigError(
            f"--input is {display_name(path)!r}, but the published result in {self._output.key!r} was made from "
            f"{names}. To count these files besides, run again with --add; to start over from them alone, with "
            "--full-refresh; or choose another --output."
        )

    def take_inventory(self, paths: Sequence[str], fingerprint: str) -> Inventory:
        """Compare the files at ``paths`` with the known ones, for a run with this ``fingerprint`` of settings."""
        hints = Hints()
        for path in paths:
            try:
                hints[path] = take_hint(path, time.time_ns())
            except OSError:
                continue  # Phase 1 opens it and says what is wrong
        return take_inventory(paths, hints, self.known, self.counted, fingerprint)

    def still_counted(self, inventory: Inventory, fingerprint: str, replays: Path, prune: bool) -> KnownFiles:
        """The files that count in the next version though they are not in the input.

        ``prune``: missing files no longer count. A file below the folder ``replays`` never counts once it was deleted.
        Raises InputError where one of these files was read with settings of another ``fingerprint``: its splits cannot
        be used, and it cannot be read again.
        """
        missing = (file for file in inventory.missing if not Path(file.path).is_relative_to(replays))
        still = KnownFiles(chain(() if prune else missing, inventory.elsewhere))
        unusable = still.chosen(place for place in range(len(still)) if not still.usable(place, fingerprint))
        if unusable:
            names = ", ".join(display_name(file.path) for file in unusable[:5])
            raise InputError(
                f"not in this input, but counted: {format_count(len(unusable), 'file')}, read with other settings, geo "
                f"data or program format, or without intermediate files or notes by now ({names}). These cannot be "
                "mixed in. Restore files or settings; or run with --prune-missing, or start over with --full-refresh."
            )
        return still

    def note_names(self, inventory: Inventory) -> None:
        """Note in the manifest the present names, sizes and times of reused files that were moved or renamed."""
        reused = inventory.reused
        self._manifest.note_names(
            (reused[path].id, identity(path), display_name(path), inventory.hints[path], reused[path].file_hash)
            for path in reused
            if path in inventory.moved or reused.shown(path) != display_name(path)
        )

    def open_journal(self, inventory: Inventory, fingerprint: str, max_record: int) -> Journal:
        """Open the record of Phase 1 for a run with this ``fingerprint`` of settings and MAX_RECORD_BYTES."""
        return Journal(self._manifest, self._store, inventory, fingerprint, max_record)

    def publish(
        self,
        folder: Path,
        version: str,
        sources: Sequence[str],
        files: Iterable[int],
        counts: dict[str, int],
        keep: int,
    ) -> None:
        """Make the finished ``folder`` the current version; then forget versions, files and splits that nobody needs.

        ===========  =====================================================================================
        ``sources``  the inputs that the version was made from
        ``files``    the ids of the files that count in it
        ``counts``   its counts, which the next run needs (``run_record.counts_for_the_next``)
        ``keep``     how many versions stay
        ===========  =====================================================================================
        """
        key = self._output.key
        self._store.sync_run(self._run_folder(version))
        self._manifest.prepare_version(key, version, sources, files, json.dumps(counts))
        with self._publication_told(version):
            self._output.publish(folder, version, keep, partial(self._shared_files, self._run_folder(version)))
            self._manifest.confirm_version(key, version)
            remaining = set(self._output.version_names())
            self._manifest.drop_versions(key, [name for name in self.versions if name not in remaining])
            ids, splits = self._manifest.unreferenced()
            self._manifest.forget_files(ids)
            self._store.remove(splits)

    def _shared_files(self, run: Path, scratch: Path) -> dict[str, Path]:
        """The files that a run on another machine goes on from, by their names in the intermediate folder; those in
        ``replayed`` lie beside the versions. ``run``: the folder of this run. The manifest is copied to ``scratch``."""
        manifest = scratch / MANIFEST_FILE
        self._manifest.copy_to(manifest)
        root, versions = self._store.root.parent, self._output.versions
        files = files_below(run / "totals", root) | files_below(run / "conflicts", root)
        files |= files_below(versions / "replayed", versions)
        return files | self._store.shared() | {MANIFEST_FILE: manifest}

    @contextmanager
    def _publication_told(self, version: str) -> Iterator[None]:
        """Let a failure in the block say that the version is published, if the link shows it by then."""
        try:
            yield
        except (EnvironmentFault, OSError) as fault:
            if self._output.current() != version:
                raise
            said = fault.strerror or str(fault) if isinstance(fault, OSError) else str(fault).partition(". ")[0]
            name = getattr(fault, "filename", None) or str(self._output.versions)
            raise EnvironmentFault(
                f"version {version} is published, but tidying up after it failed: {said} ({display_name(str(name))}). "
                "Free some room or fix the permission; the next run tidies up."
            ) from fault

    def _run_folder(self, version: str) -> Path:
        return self._store.root.parent / f"run-{version}"


@contextmanager
def open_history(folder: Path, output: Output, full_refresh: bool) -> Iterator[History]:
    """Open the history of an output in the intermediate ``folder``, recovered from interrupted runs.

    ``full_refresh``: it begins anew, even where the manifest cannot be used, which is then set aside. Raises
    UnusableManifest where it cannot be used otherwise.
    """
    with ExitStack() as stack:
        empty = _is_empty(folder / MANIFEST_FILE)
        try:
            manifest = stack.enter_context(Manifest(folder))
            if full_refresh:
                manifest.check()
            history = History(manifest, open_store(folder), output)
        except UnusableManifest as fault:
            if not full_refresh:
                raise
            stack.close()
            place = set_aside(folder)
            history = History(stack.enter_context(Manifest(folder)), open_store(folder), output)
            history.set_aside = f"{str(fault).partition('. ')[0]}; it lies in {display_name(str(place))} now"
        if empty and history.unknown_version:
            history.set_aside = f"{display_name(str(folder / MANIFEST_FILE))} was empty"
        history.recover()
        if full_refresh:
            history.start_over()
        yield history


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.stat().st_size


def _needed(files: Iterable[KnownFile]) -> dict[int, frozenset[str]]:
    return {split.number: split.needs() for file in files for split in file.splits if split.result}
