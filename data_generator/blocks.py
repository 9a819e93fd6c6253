"""Makes one block of a file: its bytes and its part of the truth."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data_generator.events import (
    CONFLICT,
    DAMAGE,
    DataSet,
    Events,
    Kind,
    copied_numbers,
    kinds,
    make_events,
    with_conflicts,
)
from data_generator.malformed import damage
from data_generator.randomness import bits
from data_generator.rows import RowLayout, finish

BLOCK_ROWS = 32_768


@dataclass
class Tally:
    """Counts of what was written, to be added up.

    Attributes:
        records: records, malformed ones included.
        originals: first records of an event, so valid distinct log ids.
        original_micro: their watch times, in millionths of a minute.
        rejected: malformed records by reason.
        conflicts: arrays (conflicting records x 3, int64): event number, user, micro-minutes.
        bytes: bytes written, headers included.
    """

    records: int = 0
    originals: int = 0
    original_micro: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    conflicts: list[NDArray[np.int64]] = field(default_factory=list)
    bytes: int = 0

    def add(self, other: "Tally") -> None:
        """Add the counts of another part."""
        self.records += other.records
        self.originals += other.originals
        self.original_micro += other.original_micro
        self.rejected.update(other.rejected)
        self.conflicts += other.conflicts
        self.bytes += other.bytes


def make_block(data_set: DataSet, layout: RowLayout, file: int, start: int, stop: int) -> tuple[bytes, Tally]:
    """Make the rows ``start`` to ``stop`` (exclusive) of one file: (their CSV lines, their counts)."""
    first = file * data_set.rows_per_file
    numbers = np.arange(first + start, first + stop, dtype=np.uint64)
    kind = kinds(data_set, numbers)
    events = make_events(data_set, _named_numbers(data_set, numbers, kind))
    conflicts = np.flatnonzero(kind == Kind.CONFLICT)
    events = with_conflicts(data_set, events, conflicts, numbers[conflicts])
    lines = layout.write(events)
    rejected: Counter[str] = Counter()
    malformed = np.flatnonzero(kind == Kind.MALFORMED)
    for index, word in zip(malformed.tolist(), data_set.words(numbers[malformed], DAMAGE).tolist(), strict=True):
        reason, raw = damage(layout.fields(lines[index]), word)
        rejected[reason] += 1
        layout.replace(lines, index, raw)
    content = finish(lines)
    originals = kind == Kind.ORIGINAL
    return content, Tally(
        records=len(numbers),
        originals=int(np.count_nonzero(originals)),
        original_micro=int(events.micro[originals].sum()),
        rejected=rejected,
        conflicts=[_contents(events, conflicts)] if len(conflicts) else [],
        bytes=len(content),
    )


def decide_conflicts(data_set: DataSet, contents: list[NDArray[np.int64]]) -> tuple[int, int]:
    """Decide all conflicts by the rule "longest": of the distinct contents of one ``log_id`` the greatest watch time.

    Args:
        data_set: the data set.
        contents: rows (event number, user, micro-minutes) of all conflicting records.

    Returns:
        the number of contents that lose, and by how many micro-minutes the winners exceed the originals.
    """
    if not contents:
        return 0, 0
    sent = np.concatenate(contents)
    numbers = np.unique(sent[:, 0])
    originals = make_events(data_set, numbers.astype(np.uint64))
    original_micro = originals.micro
    distinct = np.unique(np.concatenate([_contents(originals, np.arange(len(numbers))), sent]), axis=0)
    starts = np.searchsorted(distinct[:, 0], numbers)
    winners = np.maximum.reduceat(distinct[:, 2], starts)
    return len(distinct) - len(numbers), int((winners - original_micro).sum())


def _named_numbers(data_set: DataSet, numbers: NDArray[np.uint64], kind: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The number of each row's event: the row's own number, or that of the original which the row repeats."""
    named = numbers.copy()
    copies = np.flatnonzero(kind >= Kind.CONFLICT)
    other_file = kind[copies] == Kind.CROSS_FILE_DUPLICATE
    if data_set.settings.files > 1:
        elsewhere = bits(data_set.words(numbers[copies], CONFLICT), 32, 1) == 1
        other_file |= (kind[copies] == Kind.CONFLICT) & elsewhere
    named[copies] = copied_numbers(data_set, numbers[copies], other_file)
    return named


def _contents(events: Events, at: NDArray[np.int64]) -> NDArray[np.int64]:
    columns = (events.number[at].astype(np.int64), events.user[at].astype(np.int64), events.micro[at])
    return np.stack(columns, axis=1)
