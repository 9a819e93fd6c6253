"""Phase 1 over all files: reads the splits, joins their ends, and accounts for every record of every file."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Protocol

import numpy as np

from pipeline.engines import Advance, Engine, no_advance
from pipeline.errors import FileRefused, WorkerDied
from pipeline.exchange.workspace import split_file
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.ledger import FileLedger, Phase1Result, PlacedSplit, StartingPoint, pack_many
from pipeline.preprocess.preprocessor import read_parts
from pipeline.preprocess.settled_end import settled_end
from pipeline.preprocess.tasks import ReadTask, SplitResult, group, read_tasks
from pipeline.reading.file_access import CHANGED_MEANWHILE, unreadable
from pipeline.reading.header import read_alike
from pipeline.reading.header_changes import MOST_HEADERS, TOO_MANY_HEADERS
from pipeline.reading.input_files import InputFile, has_grown, hash_beginnings, unchanged
from pipeline.reading.splits import Split, cut, cut_rest

_GUESSED_ROUNDS = 3
"""Rounds in which all splits of a file that begin on a wrong line are read again. In later rounds the first one alone
is, whose start is certain, so that no split is read over and over because those before it still change."""


class Record(Protocol):
    """Notes what Phase 1 has done, so that a later run can go on where this one was interrupted."""

    def begin(self, files: Sequence[InputFile], splits: Mapping[str, Sequence[Split]], /) -> StartingPoint:
        """Note the ``splits`` of each file (by path) before they are read. Returns them with their final numbers; for
        a file whose reading was interrupted, its earlier splits and their results instead."""

    def finish_split(self, result: SplitResult, /) -> None:
        """Note the result of a split whose files are written."""

    def reopen_split(self, split: Split, /) -> None:
        """Forget the result of ``split``, which is about to be read again from its true start or by its true header."""

    def divide_split(self, split: Split, rest: Sequence[Split], /) -> list[int]:
        """Note that ``split`` now ends where ``rest`` begins; returns the numbers of the splits in ``rest``."""

    def settle(self, file: InputFile, kept: Sequence[Split], dropped: Sequence[Split], /) -> None:
        """Note that only the beginning of a text is settled, which ``file`` describes: its splits are read again, and
        those behind it are forgotten."""

    def finish_file(self, ledger: FileLedger, /) -> None:
        """Note that a file was read whole and balances."""

    def flush(self) -> None:
        """Begin to write what is still to be written; Phase 1 has no more to note."""


class NoRecord:
    """Notes nothing: for a run that nothing goes on from."""

    def __init__(self) -> None:
        self._splits = 0

    def begin(self, _: Sequence[InputFile], splits: Mapping[str, Sequence[Split]], /) -> StartingPoint:
        """Number the splits of all files."""
        numbered = {}
        for path, of_file in splits.items():
            numbered[path] = [replace(split, number=self._splits + n) for n, split in enumerate(of_file)]
            self._splits += len(of_file)
        return StartingPoint(numbered)

    def finish_split(self, _: SplitResult, /) -> None:
        """Nothing to note."""

    def reopen_split(self, _: Split, /) -> None:
        """Nothing to note."""

    def divide_split(self, _: Split, rest: Sequence[Split], /) -> list[int]:
        """Give the next numbers."""
        self._splits += len(rest)
        return list(range(self._splits - len(rest), self._splits))

    def settle(self, _: InputFile, kept: Sequence[Split], dropped: Sequence[Split], /) -> None:
        """Nothing to note."""

    def finish_file(self, _: FileLedger, /) -> None:
        """Nothing to note."""

    def flush(self) -> None:
        """Nothing waits."""


def read_files(
    engine: Engine,
    context: ReadContext,
    files: Sequence[InputFile],
    split_bytes: int,
    advance: Advance,
    record: Record | None = None,
) -> Phase1Result:
    """Preprocess all files. A file is refused whole where a split of it fails, does not balance or was changed.

    Of a file to which something is appended meanwhile, the settled records before its size at the beginning count.
    ``advance`` gets bytes, in all as many as the files have. A split whose rows take more memory than planned ends
    early (``SplitResult``); its rest is read in a further round.
    """
    progress = _Progress(sum(file.size for file in files), advance)
    record = record or NoRecord()
    refused: dict[str, str] = {}
    resumed = Counter[str]()

    def read_all() -> Iterator[FileLedger]:
        for together in _in_turn(files):
            reading = _Reading(engine, context, together, split_bytes, record)
            progress.advance(reading.resumed_bytes)
            reading.read_all(progress.advance)
            yield from reading.account_for_all()
            refused.update(reading.refused)
            resumed["splits"] += reading.resumed

    ledgers = pack_many(read_all())
    record.flush()
    progress.end()
    return Phase1Result(ledgers, refused, resumed["splits"])


_READ_TOGETHER = 5_000
"""Files that are read together. The workers wait for each other a few milliseconds before the next ones."""


def _in_turn(files: Sequence[InputFile]) -> Iterator[Sequence[InputFile]]:
    """The files that are read together: all of them, or of very many the largest ones first, so that splits, tasks and
    results of few are in memory at a time, and the last ones to be read are small."""
    if len(files) <= _READ_TOGETHER:
        yield files
        return
    sizes = np.fromiter((file.size for file in files), np.int64, len(files))
    order = np.argsort(-sizes, kind="stable")
    for first in range(0, len(files), _READ_TOGETHER):
        yield [files[index] for index in order[first : first + _READ_TOGETHER].tolist()]


class _Cuts(Mapping[str, Sequence[Split]]):
    """The splits of every file by its path, cut when they are asked for; none for a file without records.

    Their numbers count from 0 in each file.
    """

    def __init__(self, files: Sequence[InputFile], split_bytes: int) -> None:
        self._files = {file.path: file for file in files}
        self._split_bytes = split_bytes

    def __getitem__(self, path: str) -> Sequence[Split]:
        return cut([self._files[path]], self._split_bytes)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


class _Progress:
    """Passes progress on so that it comes to ``total``, though bytes are read twice (splits that begin anew) or never
    (headers, refused files)."""

    def __init__(self, total: int, advance: Advance) -> None:
        self._remaining, self._advance = total, advance

    def advance(self, amount: int) -> None:
        amount = min(amount, self._remaining)
        self._remaining -= amount
        self._advance(amount)

    def end(self) -> None:
        self.advance(self._remaining)


class _Reading:
    """The state of Phase 1: the splits of each file in order, their results, and hashes of files.

    =================  ====================================================
    ``refused``        path of a refused file → the reason
    ``resumed``        number of splits that an interrupted run finished
    ``resumed_bytes``  their bytes
    =================  ====================================================
    """

    def __init__(
        self, engine: Engine, context: ReadContext, files: Sequence[InputFile], split_bytes: int, record: Record
    ) -> None:
        self._engine, self._context, self._files, self._record = engine, context, files, record
        self.refused: dict[str, str] = {}
        self._hashes = {file.path: file.expanded.file_hash for file in files if file.expanded}
        start = record.begin(files, _Cuts(files, split_bytes))
        self._splits = {
            path: splits if isinstance(splits, list) else list(splits) for path, splits in start.splits.items()
        }
        self._carried = frozenset(start.carried)
        self._results = {**start.results, **start.carried}
        self.resumed = len(start.results)
        self.resumed_bytes = sum(result.stop - result.start for result in self._results.values())
        self._mixed = {result.split.path for result in self._results.values() if _has_headers(result)}

    def read_all(self, advance: Advance) -> None:
        """Read all splits that have no result, and hash the files, in rounds until nothing is left to read; then, in
        further rounds, the splits that do not begin where the one before ends, or were read by another header than is
        in force there."""
        self._divide_early_ends()
        self._settle_headers()
        self._read(group(read_tasks(self._files, self._splits, self._results)), advance)
        self._join_ends(self._splits, no_advance)

    def _join_ends(self, paths: Iterable[str], advance: Advance) -> None:
        """Read, in rounds, the splits of these files that do not begin where the one before ends, or by its header."""
        for number in count():
            tasks = [task for path in paths for task in self._restart(path, every=number < _GUESSED_ROUNDS)]
            if not tasks:
                return
            self._read([(task,) for task in tasks], advance)

    def _read(self, tasks: Sequence[tuple[ReadTask, ...]], advance: Advance) -> None:
        """Read, in rounds: the rests of splits that ended early, splits that were read by another header than is in
        force before them, and tasks whose group a worker died over, come in the next one."""
        while tasks:
            again: list[ReadTask] = []
            for grouped, found in self._engine.map(read_parts, self._context, tasks, advance):
                if isinstance(found, WorkerDied) and len(grouped) > 1:
                    again += grouped  # each alone: the others must not suffer for one
                else:
                    answers = [found] * len(grouped) if isinstance(found, Exception) else found
                    again += self._take(zip(grouped, answers, strict=True))
            rest = self._divide_early_ends()
            rest += self._settle_headers()
            again += [ReadTask(split.path, split, None, sure=True) for split in rest if split.path not in self.refused]
            tasks = [(replace(task, split=self._present(task.split)),) for task in again]

    def _present(self, split: Split | None) -> Split | None:
        """The split with the header that it has now."""
        if split is None or split.path not in self._mixed:
            return split
        return next(present for present in self._splits[split.path] if present.number == split.number)

    def _settle_headers(self) -> list[Split]:
        """Give every split the header that is in force where it begins, as far as is known. Returns the splits that
        were read by another one, whose results are forgotten.

        What was read by the wrong header still tells which header is the last one in it. So all splits behind a header
        are read by it in one further round, at the same time.
        """
        wrong: list[Split] = []
        for path in self._mixed - self.refused.keys():
            splits = self._splits[path]
            header = splits[0].header if splits else None
            for place, split in enumerate(splits):
                assert header, "a file with splits has a header"
                result = self._results.get(split.number)
                if not read_alike(split.header, header):
                    splits[place] = split = replace(split, header=header)
                    if result:
                        self._record.reopen_split(split)
                        del self._results[split.number]
                        wrong.append(split)
                if result and (result.changes or result.repeated):
                    header = result.last_header
        return wrong

    def _restart(self, path: str, *, every: bool) -> list[ReadTask]:
        """Let splits of a file begin where the one before ends, and by its header, if they do not: all of them, or the
        first alone.

        The end of a split that began on a wrong line is most likely right, so that all are read again at once.
        """
        tasks: list[ReadTask] = []
        splits = self._splits[path]
        if path in self.refused or not splits:
            return tasks
        position, header = splits[0].header.begin[0], splits[0].header
        for index, split in enumerate(splits):
            result = self._results[split.number]
            right = result.start == position and read_alike(result.split.header, header)
            if not right and (every or not tasks):
                splits[index] = split.restarted_at(position, header)
                self._record.reopen_split(splits[index])
                tasks.append(ReadTask(path, splits[index], None, sure=True))
            position = result.stop
            header = result.last_header if result.changes or result.repeated else header
        return tasks

    def account_for_all(self) -> Iterator[FileLedger]:
        """Join the splits of every file; refuse files that do not balance. Yields the ledgers of the others."""
        for file in self._files:
            if file.path in self.refused:
                continue
            try:
                ledger = self._account_for(file)
            except FileRefused as fault:
                self.refused[file.path] = str(fault)
            else:
                self._record.finish_file(ledger)
                yield ledger

    def _take(
        self, answers: Iterable[tuple[ReadTask, tuple[SplitResult | None, str | None] | Exception]]
    ) -> list[ReadTask]:
        """Keep what ``read_parts`` found. Returns tasks for the splits whose headers were not sure."""
        unsure: list[ReadTask] = []
        for task, answer in answers:
            if isinstance(answer, Exception):
                self.refused.setdefault(task.path, _reason(answer))
                continue
            result, file_hash = answer
            if result and task.split:
                self._finish(_sharing(result, task.split))
            elif task.split:
                self._mixed.add(task.path)
                unsure.append(replace(task, hashed=None, sure=True))
            if file_hash:
                self._hashes[task.path] = file_hash
        return unsure

    def _finish(self, result: SplitResult) -> None:
        self._results[result.split.number] = result
        if _has_headers(result):
            self._mixed.add(result.split.path)
        self._record.finish_split(result)

    def _divide_early_ends(self) -> list[Split]:
        """Divide all splits that ended early; returns their rests, which are splits of their own now."""
        rests: list[Split] = []
        for path, splits in self._splits.items():
            if any(map(self._ended_early, splits)):
                divided = [self._divide(split) for split in splits]
                self._splits[path] = [split for pieces in divided for split in pieces]
                rests += [split for pieces in divided for split in pieces[1:]]
        return rests

    def _ended_early(self, split: Split) -> bool:
        result = self._results.get(split.number)
        return result is not None and result.stop < result.split.stop

    def _divide(self, split: Split) -> list[Split]:
        """The split, or if it ended early, the part that was read and the splits of its rest."""
        if not self._ended_early(split):
            return [split]
        result = self._results[split.number]
        shorter = split.ending_at(result.stop)
        rest = [replace(piece, header=result.last_header) for piece in cut_rest(split, result.start, result.stop)]
        numbers = self._record.divide_split(shorter, rest)
        self._results[split.number] = replace(result, split=shorter)
        return [shorter, *(replace(piece, number=number) for piece, number in zip(rest, numbers, strict=True))]

    def _account_for(self, file: InputFile) -> FileLedger:
        """Join a file's splits. Raises FileRefused where it was changed or does not balance."""
        placed, found = self._join(file), file
        if sum(len(split.result.changes) for split in placed) > MOST_HEADERS:
            raise FileRefused(TOO_MANY_HEADERS)
        if not unchanged(file):
            file, placed = self._settle(file, placed)
        carried = sum(split.result.split.number in self._carried for split in placed)
        unsettled = found.size - file.size
        ledger = FileLedger(file, tuple(placed), self._hashes[file.path], carried=carried, unsettled=unsettled)
        if not ledger.balances():
            raise FileRefused(
                f"it does not balance: {ledger.records} records read, {ledger.rejected_by_reason.total()} rejected, "
                f"{ledger.duplicates} duplicates, {ledger.handed_over} handed over. A fault in the program; please "
                "report it."
            )
        return ledger

    def _settle(self, file: InputFile, placed: Sequence[PlacedSplit]) -> tuple[InputFile, list[PlacedSplit]]:
        """The settled beginning of a file that changed while it was read, and its splits.

        When its bytes were read, nobody knew which of them would stay. So they are read again between two looks that
        find the same hash. Raises FileRefused where the file was not only appended to.
        """
        if not has_grown(file):
            raise FileRefused(CHANGED_MEANWHILE)
        before = self._hash_beginnings(file, [file.size_on_disk])
        if file.expanded:  # its text was expanded at once, and the hash is that of the same bytes
            if before != [self._hashes[file.path]]:
                raise FileRefused(CHANGED_MEANWHILE)
            self._record.settle(file, [], [])
            return file, list(placed)
        end = self._settled_end(file, placed)
        settled = file.settled_at(end)
        splits = self._splits[file.path]
        kept = [split.settled_at(end) for split in splits if split.start < end or split.number in self._carried]
        fresh = [split for split in kept if split.number not in self._carried]
        dropped = splits[len(kept) :]
        for split in (*fresh, *dropped):
            self._results.pop(split.number, None)
        self._splits[file.path] = kept
        self._record.settle(settled, fresh, dropped)
        self._read([(ReadTask(split.path, split, None),) for split in fresh], no_advance)
        self._join_ends([file.path], no_advance)
        if file.path in self.refused:
            raise FileRefused(self.refused[file.path])
        placed = self._join(settled)
        after = self._hash_beginnings(file, [file.size_on_disk, end])
        if after[0] != before[0] or self._settled_end(file, placed) != end or not has_grown(file):
            raise FileRefused(CHANGED_MEANWHILE)
        self._hashes[file.path] = after[1]
        return settled, list(placed)

    def _settled_end(self, file: InputFile, placed: Sequence[PlacedSplit]) -> int:
        """Where the settled records of a file end, all of which splits are ``placed``."""
        if not placed:
            return file.header.data_start if file.header else 0
        workspace, results = self._context.workspace, [split.result for split in placed]
        try:
            return settled_end(
                file.path, results, file.size,
                lambda number: workspace.path("lines", split_file(number, "npy")), self._context.max_record,
            )  # fmt: skip
        except OSError as fault:
            raise unreadable(fault) from fault

    def _hash_beginnings(self, file: InputFile, sizes: Sequence[int]) -> list[str]:
        try:
            return hash_beginnings(file.path, sizes)[:-1]
        except OSError as fault:
            raise unreadable(fault) from fault

    def _join(self, file: InputFile) -> list[PlacedSplit]:
        """A file's splits with their first lines."""
        placed: list[PlacedSplit] = []
        if not file.header or not self._splits[file.path]:
            return placed
        position, line = file.header.begin
        for split in self._splits[file.path]:
            result = self._results[split.number]
            if result.start != position:
                break
            placed.append(PlacedSplit(result, line))
            position, line = result.stop, line + result.lines
        if position != file.size:
            raise FileRefused(
                f"records end at byte {position} of {file.size}: a fault in the program; please report it."
            )
        return placed


_NONE_REJECTED = Counter[str]()
_NO_COUNTS: dict[str, int] = {}


def _has_headers(result: SplitResult) -> bool:
    """Whether a header among the records was found in the split or before it."""
    return bool(result.changes) or result.repeated or result.split.header.first_line == 0


def _sharing(result: SplitResult, split: Split) -> SplitResult:
    """The result with the ``split`` that this process has already, because what arrives is a copy; and with one empty
    count for all. There may be very many splits."""
    return replace(
        result,
        split=split,
        rejected_by_reason=result.rejected_by_reason or _NONE_REJECTED,
        warned=result.warned or _NO_COUNTS,
        likely=result.likely or _NO_COUNTS,
    )


def _reason(fault: Exception) -> str:
    """One sentence for a fault that concerns one file. Raises any other: it is a fault in the program."""
    if isinstance(fault, FileRefused | WorkerDied):
        return str(fault)
    raise fault
