"""Phase 1 over all files: run the splits, join their ends, and account for every record of every file."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from pipeline.engines import Advance, Engine, no_advance
from pipeline.errors import FileRefused, WorkerDied
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.ledger import FileLedger, Phase1Result, PlacedSplit, StartingPoint
from pipeline.preprocess.preprocessor import preprocess, read_parts
from pipeline.preprocess.tasks import ReadTask, SplitResult, group, read_tasks
from pipeline.reading.input_files import InputFile, unchanged
from pipeline.reading.splits import Split, cut, cut_rest


class Record(Protocol):
    """Where Phase 1 notes what is done, so that an interrupted run can go on from there."""

    def begin(self, files: Sequence[InputFile], splits: Mapping[str, Sequence[Split]], /) -> StartingPoint:
        """Note the ``splits`` of each file (by path) before they are read. Returns them with their final numbers; for
        a file whose reading was interrupted, its earlier splits and their results instead."""

    def finish_split(self, result: SplitResult, /) -> None:
        """A split is done."""

    def reopen_split(self, split: Split, /) -> None:
        """A split is about to be read again from its true start."""

    def divide_split(self, split: Split, rest: Sequence[Split], /) -> list[int]:
        """``split`` now ends where ``rest`` begins, which are splits of their own: returns their numbers."""

    def finish_file(self, ledger: FileLedger, /) -> None:
        """A file was read whole and balances."""

    def flush(self) -> None:
        """All of a file is read that can be: nothing of the above should wait any longer."""


class NoRecord:
    """Notes nothing."""

    def __init__(self) -> None:
        self._splits = 0

    def begin(self, _: Sequence[InputFile], splits: Mapping[str, Sequence[Split]], /) -> StartingPoint:
        """Keep the numbers that ``cut`` gave."""
        self._splits = sum(map(len, splits.values()))
        return StartingPoint(splits)

    def finish_split(self, _: SplitResult, /) -> None:
        """Nothing to note."""

    def reopen_split(self, _: Split, /) -> None:
        """Nothing to note."""

    def divide_split(self, _: Split, rest: Sequence[Split], /) -> list[int]:
        """The next numbers."""
        self._splits += len(rest)
        return list(range(self._splits - len(rest), self._splits))

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

    ``advance`` gets bytes, in all the sizes of the files. Where rows are more than planned, splits end early
    (``preprocess``); what they leave is read in further rounds.
    """
    record = record or NoRecord()
    progress = _Whole(sum(file.size for file in files), advance)
    refused: dict[str, str] = {}
    hashes = {file.path: file.expanded.file_hash for file in files if file.expanded}
    start = record.begin(files, _cut_by_path(files, split_bytes))
    by_path = {path: list(of_file) for path, of_file in start.splits.items()}
    results = dict(start.results)
    resumed = len(results)
    progress(sum(result.stop - result.start for result in results.values()))
    _divide_all(by_path, results, record)
    tasks = group(read_tasks(files, by_path, results))
    while tasks:
        again: list[ReadTask] = []
        for together, found in engine.map(read_parts, context, tasks, progress):
            if isinstance(found, WorkerDied) and len(together) > 1:
                again += together  # each alone: the others must not suffer for one
                continue
            parts = [found] * len(together) if isinstance(found, Exception) else found
            for task, part in zip(together, parts, strict=True):
                if isinstance(part, Exception):
                    refused.setdefault(task.path, _reason(part))
                    continue
                result, file_hash = part
                if result:
                    results[result.split.number] = result
                    record.finish_split(result)
                if file_hash:
                    hashes[task.path] = file_hash
        rest = _divide_all(by_path, results, record)
        again += [ReadTask(split.path, split, False) for split in rest if split.path not in refused]
        tasks = [(task,) for task in again]
    ledgers = []
    for file in files:
        if file.path in refused:
            continue
        try:
            ledger = _account(engine, context, file, by_path[file.path], results, hashes[file.path], record)
        except FileRefused as fault:
            refused[file.path] = str(fault)
            continue
        record.finish_file(ledger)
        ledgers.append(ledger)
    record.flush()
    progress.end()  # headers, and what was refused
    return Phase1Result(tuple(ledgers), refused, resumed)


def _cut_by_path(files: Sequence[InputFile], split_bytes: int) -> dict[str, list[Split]]:
    """The splits of every file by its path; none for a file without records."""
    splits: dict[str, list[Split]] = {file.path: [] for file in files}
    for split in cut(files, split_bytes):
        splits[split.path].append(split)
    return splits


class _Whole:
    """Tells how far the work is, in all by ``total``, also where some is done again or never."""

    def __init__(self, total: int, tell: Callable[[int], None]) -> None:
        self._left, self._tell = total, tell

    def __call__(self, amount: int) -> None:
        amount = min(amount, self._left)
        self._left -= amount
        self._tell(amount)

    def end(self) -> None:
        self(self._left)


def _divide_all(splits: dict[str, list[Split]], results: dict[int, SplitResult], record: Record) -> list[Split]:
    """What splits that ended early leave: further splits, which join ``splits`` in their places."""
    rest: list[Split] = []
    for path, of_file in splits.items():
        if any(_ended_early(results.get(split.number)) for split in of_file):
            parts = [_divide(split, results, record) for split in of_file]
            splits[path] = [split for part in parts for split in part]
            rest += [split for part in parts for split in part[1:]]
    return rest


def _ended_early(result: SplitResult | None) -> bool:
    return result is not None and result.stop < result.split.stop


def _divide(split: Split, results: dict[int, SplitResult], record: Record) -> list[Split]:
    """A split, and those that it leaves where it ended early."""
    result = results.get(split.number)
    if result is None or not _ended_early(result):
        return [split]
    rest = cut_rest(split, result.start, result.stop)
    shorter = split.ending_at(result.stop)
    numbers = record.divide_split(shorter, rest)
    results[split.number] = replace(result, split=shorter)
    return [shorter, *(replace(part, number=number) for part, number in zip(rest, numbers, strict=True))]


def _account(
    engine: Engine,
    context: ReadContext,
    file: InputFile,
    splits: list[Split],
    results: dict[int, SplitResult],
    file_hash: str,
    record: Record,
) -> FileLedger:
    """Join a file's splits: each begins where the one before ended, or is read again from there."""
    placed: list[PlacedSplit] = []
    if file.header and splits:
        position, line = file.header.data_start, file.header.first_line
        ahead = deque(splits)
        while ahead:
            split = ahead.popleft()
            found = results.get(split.number)
            if found is None or found.start != position:
                restarted = split.restarted_at(position)
                record.reopen_split(restarted)
                found = results[split.number] = _read_again(engine, context, restarted)
                record.finish_split(found)
                _, *rest = _divide(restarted, results, record)
                ahead.extendleft(reversed(rest))
            result = results[split.number]
            placed.append(PlacedSplit(result, line))
            position, line = result.stop, line + result.lines
        if position != file.size:
            raise FileRefused(
                f"records end at byte {position} of {file.size}: a fault in the program; please report it."
            )
    if not unchanged(file):
        raise FileRefused("it changed while it was read. Run again when it is complete.")
    ledger = FileLedger(file, tuple(placed), file_hash)
    if not ledger.balances():
        raise FileRefused(
            f"it does not balance: {ledger.records} records read, {ledger.rejected_by_reason.total()} rejected, "
            f"{ledger.duplicates} duplicates, {ledger.handed_over} handed over. A fault in the program; please report "
            "it."
        )
    return ledger


def _read_again(engine: Engine, context: ReadContext, split: Split) -> SplitResult:
    for _, result in engine.map(preprocess, context, [split], no_advance):
        if isinstance(result, Exception):
            raise FileRefused(_reason(result)) from result
        return result
    raise AssertionError("an engine yields one result for each task")


def _reason(fault: Exception) -> str:
    """One sentence for a fault that concerns one file; any other is a fault in the program and goes on up."""
    if isinstance(fault, FileRefused | WorkerDied):
        return str(fault)
    raise fault
