"""Phase 1 over all files: run the splits, join their ends, and account for every record of every file."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.content import hash_file
from pipeline.engines import Engine
from pipeline.errors import FileRefused
from pipeline.job import Job
from pipeline.preprocessor import SplitResult, preprocess
from pipeline.splits import InputFile, Split, cut, unchanged


@dataclass(frozen=True)
class PlacedSplit:
    """A split's result with the physical line (from 1) on which its records begin."""

    result: SplitResult
    first_line: int


@dataclass(frozen=True)
class FileLedger:
    """One file that counts: its splits in order, the sums over them, and the hash of its bytes as they lie on disk."""

    file: InputFile
    splits: tuple[PlacedSplit, ...] = ()
    content_hash: str = ""

    @property
    def records(self) -> int:
        """Records by the scanner's count."""
        return sum(split.result.records for split in self.splits)

    @property
    def duplicates(self) -> int:
        """Copies that Phase 1 dropped."""
        return sum(split.result.duplicates for split in self.splits)

    @property
    def handed_over(self) -> int:
        """Rows that went to Phase 2."""
        return sum(split.result.handed_over for split in self.splits)

    @property
    def blank_lines(self) -> int:
        """Blank lines, which are no records."""
        return sum(split.result.blank_lines for split in self.splits)

    @property
    def preamble_lines(self) -> int:
        """Lines before the header."""
        return self.file.header.first_line - 2 if self.file.header else 0

    @property
    def rejected_by_reason(self) -> Counter[str]:
        """Rejected records."""
        return sum((Counter(split.result.rejected_by_reason) for split in self.splits), Counter())

    @property
    def warned(self) -> Counter[str]:
        """Records that break a warning rule, by its reason."""
        return sum((Counter(split.result.warned) for split in self.splits), Counter())

    def balances(self) -> bool:
        """Whether every record is rejected, dropped or handed over."""
        rejected = self.rejected_by_reason.total()
        return self.records == rejected + self.duplicates + self.handed_over


@dataclass
class Phase1:
    """What Phase 1 leaves: the files that count, and the reasons of those refused, by path."""

    ledgers: list[FileLedger] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def splits(self) -> list[PlacedSplit]:
        """All splits that count."""
        return [split for ledger in self.ledgers for split in ledger.splits]


@dataclass(frozen=True)
class ReadTask:
    """Work on the file ``path``: preprocess ``split``, if any; then take the hash of the whole file, if ``hashed``."""

    path: str
    split: Split | None
    hashed: bool


def read_part(job: Job, task: ReadTask, report: Callable[[int], None]) -> tuple[SplitResult | None, str | None]:
    """(counts of the split, hash of the file), each where the task asks for it. Raises FileRefused."""
    result = preprocess(job, task.split, report) if task.split else None
    if not task.hashed:
        return result, None
    try:
        return result, hash_file(task.path)
    except OSError as fault:
        raise FileRefused(f"cannot be read: {fault.strerror}. Check that it exists and its permissions.") from fault


def _read_tasks(files: list[InputFile], splits: dict[str, list[Split]]) -> list[ReadTask]:
    """Tasks file by file, those with the largest splits first, so that the last to finish is small.

    Each file is hashed while its bytes are likely in the system's cache: a small one after its only split, a large one
    amid its splits. An expanded file's hash is known.
    """
    tasks: list[list[ReadTask]] = []
    for file in files:
        parts = splits[file.path]
        of_file = [ReadTask(file.path, split, len(parts) == 1 and not file.expanded) for split in parts]
        if len(parts) != 1 and not file.expanded:
            of_file.insert(len(parts) // 2, ReadTask(file.path, None, True))
        tasks.append(of_file)
    tasks.sort(
        key=lambda of_file: -max((task.split.stop - task.split.start for task in of_file if task.split), default=0)
    )
    return [task for of_file in tasks for task in of_file]


def read_files(engine: Engine, files: list[InputFile], split_bytes: int, advance: Callable[[int], None]) -> Phase1:
    """Preprocess all files. A file is refused whole where a split of it fails, does not balance or was changed."""
    outcome = Phase1()
    results: dict[int, SplitResult] = {}
    hashes = {file.path: file.expanded.content_hash for file in files if file.expanded}
    by_path: dict[str, list[Split]] = defaultdict(list)
    for split in cut(files, split_bytes):
        by_path[split.path].append(split)
    for task, found in engine.map(read_part, _read_tasks(files, by_path), advance):
        if isinstance(found, Exception):
            outcome.refused.setdefault(task.path, _reason(found))
            continue
        result, content_hash = found
        if result:
            results[result.split.number] = result
        if content_hash:
            hashes[task.path] = content_hash
    for file in files:
        if file.path in outcome.refused:
            continue
        try:
            outcome.ledgers.append(_account(engine, file, by_path[file.path], results, hashes[file.path]))
        except FileRefused as fault:
            outcome.refused[file.path] = str(fault)
    return outcome


def _account(
    engine: Engine, file: InputFile, splits: list[Split], results: dict[int, SplitResult], content_hash: str
) -> FileLedger:
    """Join a file's splits: each begins where the one before ended, or is read again from there."""
    placed: list[PlacedSplit] = []
    if file.header and splits:
        position, line = file.header.data_start, file.header.first_line
        for split in splits:
            result = results[split.number]
            if result.start != position:
                result = _read_again(engine, split.restarted_at(position))
            placed.append(PlacedSplit(result, line))
            position, line = result.stop, line + result.lines
        if position != file.size:
            raise FileRefused(
                f"records end at byte {position} of {file.size}: a fault in the program; please report it."
            )
    if not unchanged(file):
        raise FileRefused("it changed while it was read. Run again when it is complete.")
    ledger = FileLedger(file, tuple(placed), content_hash)
    if not ledger.balances():
        raise FileRefused(
            f"it does not balance: {ledger.records} records read, {ledger.rejected_by_reason.total()} rejected, "
            f"{ledger.duplicates} duplicates, {ledger.handed_over} handed over. A fault in the program; please report "
            "it."
        )
    return ledger


def _read_again(engine: Engine, split: Split) -> SplitResult:
    for _, result in engine.map(preprocess, [split], lambda _: None):
        if isinstance(result, Exception):
            raise FileRefused(_reason(result)) from result
        return result
    raise AssertionError("an engine yields one result for each task")


def _reason(fault: Exception) -> str:
    """One sentence for a fault that concerns one file; any other is a fault in the program and goes on up."""
    if isinstance(fault, FileRefused):
        return str(fault)
    raise fault
