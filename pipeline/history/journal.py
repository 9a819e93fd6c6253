"""Notes in the manifest what Phase 1 has done, and hands the work of an interrupted run to the next one."""

import os
import time
from array import array
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import takewhile

from pipeline.history.inventory import Inventory, identity
from pipeline.history.known_files import (
    Hint,
    KnownFile,
    KnownSplit,
    files_of,
    header_from_json,
    header_to_json,
    result_from_json,
    result_to_json,
)
from pipeline.history.manifest import Manifest, NewFile
from pipeline.history.split_store import Store
from pipeline.machine import display_name
from pipeline.preprocess.ledger import FileLedger, StartingPoint
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.header import NEXT_BYTES, Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split, cut_behind

FLUSH_SECONDS = float(os.environ.get("LOGMILLTEST_FLUSH_SECONDS", "0.5"))
"""Least time between two writes. After a power cut, splits that were finished since the last write are read again."""


class Journal:
    """The record of Phase 1 (``preprocess.driver.Record``) in the manifest.

    Finished splits and files are noted in the background, at most every half second. ``wait`` returns when all that was
    flushed is noted; so does the end of the ``with`` block, unless a fault ends it.

    ===============  =============================================================================
    ``fingerprint``  of the settings that the files are read with
    ``ids``          the manifest's ids of the files that were read whole by this run
    ===============  =============================================================================
    """

    def __init__(
        self, manifest: Manifest, store: Store, inventory: Inventory, fingerprint: str, max_record: int = 2**20
    ) -> None:
        self.fingerprint = fingerprint
        self._max_record = max_record
        self._store = store
        self.ids = array("q")
        self._manifest = manifest
        self._inventory = inventory
        self._begun: dict[str, int] = {}
        self._notes = _Notes(manifest, store)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, fault: type[BaseException] | None, *_: object) -> None:
        self._notes.close()
        if fault is None:
            self.wait()

    def begin(self, files: Sequence[InputFile], splits: Mapping[str, Sequence[Split]]) -> StartingPoint:
        """Note the ``splits`` of each file (by path) in the manifest, which numbers them.

        A file whose reading was interrupted, and which still has the same text size and header, goes on from its
        earlier splits.
        """
        numbered: dict[str, Sequence[Split]] = {}
        results: dict[int, SplitResult] = {}
        new: list[InputFile] = []
        carried: dict[int, SplitResult] = {}
        for file in files:
            if continued := self._continue(file, self._inventory.appended.get(file.path)):
                numbered[file.path] = [split for split, _ in continued]
                carried |= {split.number: result for split, result in continued}
            known = self._inventory.resumed.get(file.path)
            if known and known.text_size == file.size and known.header == header_to_json(file.header):
                self._begun[file.path] = known.id
                resumed = [_resume(file, split) for split in known.splits]
                numbered[file.path] = [split for split, _ in resumed]
                results |= {split.number: result for split, result in resumed if result}
            else:
                new.append(file)
        self._begin_new(new, splits, numbered, carried)
        return StartingPoint({file.path: numbered[file.path] for file in files}, results, carried)

    def _begin_new(
        self,
        files: Sequence[InputFile],
        splits: Mapping[str, Sequence[Split]],
        numbered: dict[str, Sequence[Split]],
        carried: Mapping[int, SplitResult],
    ) -> None:
        """Note files and their splits, which come behind those that are ``numbered`` already; adds them there."""
        cuts = {file.path: splits[file.path] for file in files}
        for path in cuts:
            if before := numbered.get(path):
                cuts[path] = cut_behind(cuts[path], carried[before[-1].number].stop)
        begun = self._manifest.begin_files(
            self._describe(file, cuts[file.path], [split.number for split in numbered.get(file.path, ())])
            for file in files
        )
        for file, (id_, numbers) in zip(files, begun, strict=True):
            self._begun[file.path] = id_
            fresh = [replace(split, number=number) for split, number in zip(cuts[file.path], numbers, strict=True)]
            numbered[file.path] = [*numbered.get(file.path, ()), *fresh]

    def _continue(self, file: InputFile, known: KnownFile | None) -> list[tuple[Split, SplitResult]]:
        """The splits of ``known``, whose bytes are the beginning of ``file``, that can be used again, with their
        results.

        A split with a last record that may have gone on is none of them: its line had no end, or a quoted field was
        open. None are where the header differs: its line may have gone on.
        """
        from pipeline.preprocess.settled_end import settled_end  # with NumPy, which a run with nothing to do needs not

        header = header_from_json(known.header) if known else None
        if not known or not header or not file.header or not _same_layout(header, file.header):
            return []
        splits = [(split, result) for split, result in (_resume(file, split) for split in known.splits) if result]
        if not splits:
            return []
        source = file.expanded.spool if file.expanded else file.path
        results = [result for _, result in splits]
        try:
            end = settled_end(source, results, known.text_size, self._store.lines, self._max_record)
        except OSError:
            return []  # Phase 1 reads it and says what is wrong
        # How a header is fitted to the records behind it may follow from lines that were not there yet.
        look = max(NEXT_BYTES, self._max_record + 2)

        def stays(pair: tuple[Split, SplitResult]) -> bool:
            result = pair[1]
            late = result.repeated and result.stop + look > end
            fitted = all(change.header.data_start + look <= end for change in result.changes)
            return result.stop <= end and fitted and not late

        return list(takewhile(stays, splits))

    def _describe(self, file: InputFile, splits: Sequence[Split], continued: Sequence[int]) -> NewFile:
        header = header_to_json(file.header)
        return NewFile(
            identity(file.path), display_name(file.path), self._hint(file), self.fingerprint, file.size, header,
            _cuts(splits), tuple(continued),
        )  # fmt: skip

    def _hint(self, file: InputFile) -> Hint:
        """The hint of a file; one that proves nothing where the file has been written since it was listed."""
        hint = self._inventory.hints[file.path]
        size = file.size_on_disk
        return hint if hint.size == size else replace(hint, size=size, stable=False)

    def settle(self, file: InputFile, kept: Sequence[Split], dropped: Sequence[Split]) -> None:
        """Note that only the beginning of a file is settled, and that its splits are read again."""
        self.flush()
        self.wait()
        hint = replace(self._inventory.hints[file.path], size=file.size_on_disk, stable=False)
        numbers = [[split.number for split in splits] for splits in (kept, dropped)]
        self._manifest.settle_file(self._begun[file.path], file.size, hint, *numbers)

    def finish_split(self, result: SplitResult) -> None:
        """Note that a split is done. Raises what an earlier note failed with."""
        self._notes.add_split(result)

    def reopen_split(self, split: Split) -> None:
        """Forget the split's result, before its files are written again."""
        self.flush()
        self.wait()
        self._manifest.reopen_split(split.number, split.start, split.exact)

    def divide_split(self, split: Split, rest: Sequence[Split]) -> list[int]:
        """Note that the split ends where ``rest`` begins. Returns the numbers of the splits in ``rest``."""
        return self._manifest.divide_split(split.number, split.stop, _cuts(rest))

    def finish_file(self, ledger: FileLedger) -> None:
        """Note that a file was read whole and balances."""
        id_ = self._begun.pop(ledger.file.path)
        self.ids.append(id_)
        self._notes.add_file(id_, ledger.file_hash)

    def flush(self) -> None:
        """Begin to note all that is finished."""
        self._notes.flush()

    def wait(self) -> None:
        """Return when everything flushed is noted. Raises what a note failed with."""
        self._notes.wait()


class _Notes:
    """Writes finished splits and files to the manifest, in order, on a thread of its own: the run does not wait for
    the disk, on which a split's files must be before the manifest calls the split finished.

    After a failure nothing more is written: the manifest must not call a file finished whose splits are not.
    """

    def __init__(self, manifest: Manifest, store: Store) -> None:
        self._manifest = manifest
        self._store = store
        self._splits: list[SplitResult] = []
        self._files: list[tuple[int, str]] = []
        self._flushed = time.monotonic()
        self._thread = ThreadPoolExecutor(1, "journal")
        self._writes: list[Future[None]] = []
        self._failed = False

    def add_split(self, result: SplitResult) -> None:
        self._splits.append(result)
        if time.monotonic() - self._flushed > FLUSH_SECONDS and all(write.done() for write in self._writes):
            self.wait()  # returns at once, or raises what failed
            self.flush()

    def add_file(self, id_: int, file_hash: str) -> None:
        self._files.append((id_, file_hash))

    def flush(self) -> None:
        self._writes.append(self._thread.submit(self._write, self._splits, self._files))
        self._splits, self._files, self._flushed = [], [], time.monotonic()

    def wait(self) -> None:
        while self._writes:
            self._writes.pop(0).result()

    def close(self) -> None:
        """Note the rest, and end the thread."""
        self.flush()
        self._thread.shutdown()

    def _write(self, splits: Sequence[SplitResult], files: Sequence[tuple[int, str]]) -> None:
        if self._failed:
            return
        try:
            if splits:
                self._store.sync({r.split.number: files_of(bool(r.handed_over), bool(r.rejected)) for r in splits})
            if splits or files:
                self._manifest.finish([(r.split.number, result_to_json(r)) for r in splits], files)
        except BaseException:
            self._failed = True
            raise


def _cuts(splits: Sequence[Split]) -> tuple[tuple[int, int, bool], ...]:
    return tuple((split.start, split.stop, split.exact) for split in splits)


def _same_layout(one: Header, other: Header) -> bool:
    return replace(one, row_width=0.0) == replace(other, row_width=0.0)


def _resume(file: InputFile, known: KnownSplit) -> tuple[Split, SplitResult | None]:
    assert file.header, "only a file with a header has splits"
    spool = file.expanded.spool if file.expanded else None
    split = Split(known.number, file.path, file.size, known.start, known.stop, known.exact, file.header, spool)
    if not known.result:
        return split, None
    result = result_from_json(split, known.result)
    return result.split, result
