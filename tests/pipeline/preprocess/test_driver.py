"""Small files share a task; what befalls one of them befalls no other."""

import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.engines import no_advance
from pipeline.engines.local import LocalEngine
from pipeline.preprocess import driver
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.driver import read_files
from pipeline.preprocess.preprocessor import read_parts
from pipeline.preprocess.tasks import ReadTask, SplitResult
from pipeline.reading import csv_reader, record_starts
from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile
from pipeline.reading.open_inputs import read_headers
from pipeline.reading.packed_files import pack_files
from pipeline.reading.splits import Split
from pipeline.timing import Span
from tests.harness import HEADER, Harness, InProcessEngine
from tests.reference import ROLES, read_file

WANTED = {role: (name,) for role, name in ROLES.items() if role != "timestamp"}


def log(name: str, rows: int = 50) -> bytes:
    return HEADER + b"".join(b"%s-%d,u%d,x,v,tv,1.2.3.4,1.5\n" % (name.encode(), n, n % 7) for n in range(rows))


def read_or_die(context: ReadContext, tasks: Sequence[ReadTask], advance: Callable[[int], None]) -> object:
    """``read_parts`` in a worker that a file of this name kills."""
    if any(b"deadly" in Path(task.path).read_bytes() for task in tasks):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_parts(context, tasks, advance)


def test_a_file_that_kills_workers_takes_no_other_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "read_parts", read_or_die)
    with Harness([log(f"file{n}") for n in range(5)] + [log("deadly")]) as run, LocalEngine(2) as engine:
        files, _ = read_headers(run.paths, WANTED, 256)
        outcome = read_files(engine, run.read_context, files, 1 << 20, no_advance)
        assert list(outcome.refused) == [run.paths[5]]
        assert "worker processes were killed 3 times" in outcome.refused[run.paths[5]]
        assert [ledger.records for ledger in outcome.ledgers] == [50] * 5


def test_a_file_that_is_refused_takes_no_other_with_it() -> None:
    with Harness([log("a"), log("b"), log("c")]) as run:
        files, _ = read_headers(run.paths, WANTED, 256)
        Path(run.paths[1]).write_bytes(log("b", 10))
        outcome = read_files(run.engine, run.read_context, files, 1 << 20, no_advance)
        assert list(outcome.refused) == [run.paths[1]]
        assert "it became shorter" in outcome.refused[run.paths[1]]
        assert [ledger.records for ledger in outcome.ledgers] == [50, 50]


@pytest.mark.parametrize("split_bytes", [300, 1 << 20])
def test_progress_comes_to_the_size_of_all_files(split_bytes: int) -> None:
    """Also with headers, quoted line ends at which splits begin anew, and a file that is refused."""
    texts = [log("a"), HEADER, log("b") + b'q,u,x,"v\n\n\n",tv,1.2.3.4,1\n' * 30, log("c")]
    with Harness(texts, split_bytes=split_bytes) as run:
        files, _ = read_headers(run.paths, WANTED, 256)
        Path(run.paths[3]).write_bytes(log("c", 10))
        advanced: list[int] = []
        outcome = read_files(run.engine, run.read_context, files, split_bytes, advanced.append)
        assert list(outcome.refused) == [run.paths[3]]
        assert sum(advanced) == sum(map(len, texts))
        assert min(advanced) >= 0


def test_a_fault_of_the_disk_is_none_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.preprocess.preprocessor.write_rows", full)
    with Harness([log("a"), log("b")]) as run, pytest.raises(OSError, match="No space left"):
        run.read()


class CountingEngine(InProcessEngine):
    """Remembers the numbers of the splits that each call reads."""

    def __init__(self) -> None:
        super().__init__()
        self.rounds: list[list[int]] = []

    def map(self, kernel: Callable, context: object, tasks: Sequence, advance: Callable) -> Iterator[tuple]:
        self.rounds.append([task.split.number for group in tasks for task in group if task.split])
        yield from super().map(kernel, context, tasks, advance)


WITH_LINE_ENDS = HEADER + b"".join(
    b'i%d,u%d,x,"{\n""title"": ""a, b"",\n""part"": %d\n}",tv,1.2.3.4,1.5\n' % (n, n % 7, n) for n in range(1500)
)


def read_in_splits(data: bytes, split_bytes: int) -> tuple[list[list[int]], int]:
    """(numbers of the splits that each round reads, number of splits); the records are those of the reference."""
    with Harness([data], split_bytes=split_bytes) as run:
        run.engine = CountingEngine()
        outcome = run.read()
        assert not outcome.refused
        (ledger,) = outcome.ledgers
        (accepted,) = run.accepted(outcome)
        truth = read_file(data, 256, timestamps=False)
        assert [offset for offset, _ in accepted] == [offset for offset, _ in truth.events]
        assert (ledger.records, len(run.rejects(outcome)[0])) == (truth.records, len(truth.rejects))
        assert [placed.first_line for placed in ledger.splits] == [
            data.count(b"\n", 0, placed.result.start) + 1 for placed in ledger.splits
        ]
        return run.engine.rounds, len(ledger.splits)


def test_no_split_of_records_with_quoted_line_ends_is_read_twice() -> None:
    rounds, splits = read_in_splits(WITH_LINE_ENDS, 5000)
    assert splits >= 20
    assert [len(numbers) for numbers in rounds] == [splits]


def test_splits_that_begin_on_wrong_lines_are_read_again_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every guess is wrong, Phase 1 does not go from split to split."""
    monkeypatch.setattr(
        csv_reader, "find_record_start", lambda read, split, _: record_starts.next_line(read, split.start - 1)
    )
    rounds, splits = read_in_splits(WITH_LINE_ENDS, 5000)
    first, second = rounds
    assert len(first) == splits >= 20
    assert len(second) > splits // 2


def test_splits_whose_ends_depend_on_their_starts_are_read_a_few_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every line can begin a record and lie in one: each split's end is wrong as long as its start is."""
    monkeypatch.setattr(
        csv_reader, "find_record_start", lambda read, split, _: record_starts.next_line(read, split.start - 1)
    )
    body = b'",u,x,v,tv,1.2.3.4,"\n' * 400
    rounds, splits = read_in_splits(HEADER + b'i,u,x,v,tv,1.2.3.4,1\ni,u,x,v,tv,1.2.3.4,"\n' + body + b'"\n', 500)
    assert splits > 10
    assert sum(map(len, rounds)) <= 5 * splits


def test_files_that_are_read_in_turn_have_the_result_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [log(f"f{n}", 1 + 7 * n % 10) for n in range(7)] + [HEADER, b"no header\n1\n"]
    with Harness(texts) as run:
        whole = run.read()
    monkeypatch.setattr("pipeline.preprocess.driver._READ_TOGETHER", 2)
    monkeypatch.setattr("pipeline.preprocess.ledger._MANY", 3)
    with Harness(texts) as run:
        run.engine = CountingEngine()
        found = run.read()
        assert [ledger.file.path for ledger in found.ledgers] == run.paths[:8]
        assert [len(numbers) for numbers in run.engine.rounds] == [2, 2, 2, 1]
        assert sorted(number for numbers in run.engine.rounds for number in numbers) == list(range(7))
        assert list(found.refused) == [run.paths[8]]
    assert (found.counts, found.counts.records) == (whole.counts, sum(1 + 7 * n % 10 for n in range(7)))


class ReadsNothing:
    """An engine whose kernel says of every split that it has one record, without a look at it."""

    name = "polars"
    spans: Sequence[Span] = ()

    def map(self, _: object, __: object, tasks: Sequence, ___: Callable) -> Iterator[tuple]:
        for group in tasks:
            yield group, [(self._result(task.split), f"{task.split.number:032x}") for task in group]

    def _result(self, split: Split) -> SplitResult:
        return SplitResult(replace(split), split.start, split.stop, 1, 0, 1, 0, 1, (0, 0, 0, 1), {}, {}, text_bytes=9)


def peak_of_reading(count: int) -> int:
    """Bytes that the main process takes to read so many files of a split each, which ``ReadsNothing`` does."""
    header: Any = Header(",", ("log_id",), {"log_id": 0}, 70, 2, 80.0)
    files = pack_files(InputFile(f"{n:05}", (150 + n % 9, 2**60 + n, 2**40 + n), header) for n in range(count))
    with Harness([HEADER]) as run:
        tracemalloc.start()
        found = read_files(ReadsNothing(), run.read_context, files, 2**20, no_advance)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert found.counts.records == len(found.ledgers) == count
    return peak


def test_a_file_more_takes_400_bytes_while_very_many_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside its path and what it was found with. With the splits, tasks and results of all files it takes 500."""
    monkeypatch.setattr("pipeline.preprocess.driver.unchanged", lambda _: True)
    assert (peak_of_reading(25_000) - peak_of_reading(10_000)) / 15_000 < 400
