"""What Phase 1 has done, noted in the manifest while it works, and taken up again where it was interrupted."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

from pipeline.history.inventory import Inventory, identity
from pipeline.history.known_files import (
    KnownFile,
    KnownSplit,
    files_of,
    header_to_json,
    result_from_json,
    result_to_json,
)
from pipeline.history.manifest import Manifest, NewFile
from pipeline.history.split_store import Store
from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, PlacedSplit
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split

_FLUSH_SECONDS = 0.5
"""Splits that were finished this shortly before a power cut are read again."""


def ledger_of(file: KnownFile, path: str, at_hand: bool) -> FileLedger:
    """The ledger of a file that is not read again, under the name that it has now.

    ``at_hand``: whether its bytes are at that path; those of a compressed file would have to be expanded first.
    """
    placed = []
    found = file.input_file(path)
    line = found.header.first_line if found.header else 1
    for part in file.splits:
        assert part.result, "all splits of a finished file are finished"
        result = result_from_json(file.split(part, path), part.result)
        placed.append(PlacedSplit(result, line))
        line += result.lines
    at_hand = at_hand and not found.expanded
    return FileLedger(found, tuple(placed), file.file_hash, at_hand, file.shown, file.read_at)


class Journal:
    """Notes in the manifest what Phase 1 has done (``phase1.Record``), at most every half second.

    What is noted must be on the disk before, and a disk is slow: a thread of its own sees to both while the run goes
    on. Whoever needs all of it noted calls ``wait``; so does the end of the ``with`` block.
    ``ids``: of the files that were read whole, by path.
    """

    def __init__(self, manifest: Manifest, store: Store, inventory: Inventory, fingerprint: str) -> None:
        self.ids: dict[str, int] = {}
        self._manifest = manifest
        self._store = store
        self._inventory = inventory
        self.fingerprint = fingerprint
        self._begun: dict[str, int] = {}
        self._splits: list[SplitResult] = []
        self._files: list[tuple[int, str]] = []
        self._flushed = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "journal")
        self._noted: list[Future[None]] = []
        self._failed = False

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        self.flush()
        self._thread.shutdown()
        if fault is None:
            self.wait()

    def begin(self, files: Sequence[InputFile], splits: dict[str, list[Split]]) -> dict[int, SplitResult]:
        """Number the splits; take up those of an interrupted reading."""
        results: dict[int, SplitResult] = {}
        new: list[tuple[InputFile, NewFile]] = []
        for file in files:
            known = self._inventory.resumed.get(file.path)
            if known and known.text_size == file.size and known.header == header_to_json(file.header):
                self._begun[file.path] = known.id
                resumed = [_resume(file, part) for part in known.splits]
                splits[file.path] = [split for split, _ in resumed]
                results |= {split.number: result for split, result in resumed if result}
            else:
                new.append((file, self._describe(file, splits[file.path])))
        numbered = self._manifest.begin_files(entry for _, entry in new)
        for (file, _), (id_, numbers) in zip(new, numbered, strict=True):
            self._begun[file.path] = id_
            splits[file.path] = [
                replace(split, number=number) for split, number in zip(splits[file.path], numbers, strict=True)
            ]
        return results

    def _describe(self, file: InputFile, splits: Sequence[Split]) -> NewFile:
        cuts = tuple((split.start, split.stop, split.exact) for split in splits)
        hint = self._inventory.hints[file.path]
        name = display_name(file.path)
        return NewFile(identity(file.path), name, hint, self.fingerprint, file.size, header_to_json(file.header), cuts)

    def finish_split(self, result: SplitResult) -> None:
        """A split is done."""
        self._splits.append(result)
        if time.monotonic() - self._flushed > _FLUSH_SECONDS and all(future.done() for future in self._noted):
            self.wait()  # not at all, but a fault shows now
            self.flush()

    def reopen_split(self, split: Split) -> None:
        """Forget what the split was before its files are written anew."""
        self.flush()
        self.wait()
        self._manifest.reopen_split(split.number, split.start)

    def divide_split(self, split: Split, rest: Sequence[Split]) -> list[int]:
        """The split ends where ``rest`` begins."""
        cuts = [(part.start, part.stop, part.exact) for part in rest]
        return self._manifest.divide_split(split.number, split.stop, cuts)

    def finish_file(self, ledger: FileLedger) -> None:
        """A file was read whole and balances."""
        self.ids[ledger.file.path] = self._begun[ledger.file.path]
        self._files.append((self._begun[ledger.file.path], ledger.file_hash))

    def flush(self) -> None:
        """Begin to note all that is finished."""
        self._noted.append(self._thread.submit(self._note, self._splits, self._files))
        self._splits, self._files, self._flushed = [], [], time.monotonic()

    def wait(self) -> None:
        """Until what was flushed is noted. Raises what went wrong with it."""
        while self._noted:
            self._noted.pop(0).result()

    def _note(self, splits: list[SplitResult], files: list[tuple[int, str]]) -> None:
        """Bring the files of finished splits to the disk, then note them. After a failure nothing more is noted: a file
        must not be finished whose splits are not."""
        if self._failed:
            return
        try:
            if splits:
                self._store.sync({r.split.number: files_of(bool(r.handed_over), bool(r.rejected)) for r in splits})
                self._manifest.finish_splits((r.split.number, result_to_json(r)) for r in splits)
            if files:
                self._manifest.finish_files(files)
        except BaseException:
            self._failed = True
            raise


def _resume(file: InputFile, part: KnownSplit) -> tuple[Split, SplitResult | None]:
    assert file.header, "only a file with a header has splits"
    spool = file.expanded.spool if file.expanded else None
    split = Split(part.number, file.path, file.size, part.start, part.stop, part.exact, file.header, spool)
    return split, result_from_json(split, part.result) if part.result else None
