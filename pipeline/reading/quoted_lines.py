"""Lines with quotes, all at once: what the record that begins on each of them is, by the same rules as ``read_record``.

Runs of quotes are taken in rounds, the first of every line together, then the second, and so on. Lines with very many
runs are left to ``read_record``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.reading.header import Header
from pipeline.reading.text_parser import Positions

LF, CR, QUOTE = 0x0A, 0x0D, 0x22


CLOSED, WRONG, OPEN, MANY = 0, 1, 2, 3


_ROUNDS: Final = 64


_FIELD, _QUOTED, _FAULT = 0, 1, 2


_NEXT = np.array(
    [
        # even run             odd run           (each: elsewhere, before a field's end, at its start, both)
        [[0, 0, _FAULT, 0], [0, 0, _QUOTED, _QUOTED]],  # from _FIELD: only at a field's start is a quote special
        [[_QUOTED] * 4, [_FAULT, 0, _FAULT, 0]],  # from _QUOTED: an odd run closes
        [[_FAULT] * 4, [_FAULT] * 4],
    ],
    np.uint8,
).reshape(-1)


@dataclass(frozen=True)
class QuotedRecords:
    """What begins on each of the ``lines``: it is ``CLOSED``, ``WRONG`` (a field goes on after its closing quote),
    left ``OPEN``, or has too ``MANY`` quotes to tell here.

    ``last``: the line on which it ends; ``stops``: the byte where it ends, or where it is wrong; ``fields`` it has;
    ``plain``: it has no quotes but those around whole fields, none doubled. Valid only as far as ``ending`` says.
    """

    lines: Positions
    ending: NDArray[np.uint8]
    last: Positions
    stops: Positions
    fields: Positions
    plain: NDArray[np.bool_]


@dataclass
class _Lines:
    """How lines are left: state, delimiters that end fields, where the fault is, and whether a quote is odd."""

    state: NDArray[np.uint8]
    delimiters: Positions
    fault: Positions
    odd: NDArray[np.bool_]


def trace_records(
    array: NDArray[np.uint8], starts: Positions, stops: Positions, ends: Positions, header: Header
) -> QuotedRecords:
    """Follow the records of all lines with quotes; lines from ``starts`` to ``ends`` (LF), text to ``stops``."""
    delimiter = ord(header.delimiter)
    first, after = _runs(array)
    owner = np.searchsorted(ends, first)
    lines, line, runs = np.unique(owner, return_inverse=True, return_counts=True)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(runs) - runs, runs)
    begun, entered = _take_rounds(array, first, after, starts, ends, lines, line, rank, delimiter)
    many = runs > _ROUNDS
    ending = np.where(begun.state == _FAULT, WRONG, CLOSED).astype(np.uint8)
    last, stop, fields = lines.copy(), np.where(ending == WRONG, begun.fault, stops[lines]), begun.delimiters + 1
    opening = np.flatnonzero(begun.state == _QUOTED)
    closing = np.flatnonzero((entered.state != _QUOTED) | many)
    place = np.searchsorted(closing, opening, side="right")
    ending[opening[place == len(closing)]] = OPEN
    stop[opening[place == len(closing)]] = len(array)
    opening = opening[place < len(closing)]
    close = closing[place[place < len(closing)]]
    sums = np.cumsum(entered.delimiters)
    fields[opening] += sums[close] - sums[opening]
    wrong = entered.state[close] == _FAULT
    ending[opening] = np.where(many[close], MANY, np.where(wrong, WRONG, CLOSED))
    last[opening] = lines[close]
    stop[opening] = np.where(wrong, entered.fault[close], stops[lines[close]])
    ending[many] = MANY
    return QuotedRecords(lines, ending, last, stop, fields, ~begun.odd & (begun.state == _FIELD) & ~many)


def _runs(array: NDArray[np.uint8]) -> tuple[Positions, Positions]:
    """Where each run of quotes begins, and what follows it."""
    quotes = np.flatnonzero(array == QUOTE)
    gaps = np.flatnonzero(np.diff(quotes) > 1)
    return quotes[np.append(0, gaps + 1)], quotes[np.append(gaps, -1)] + 1


def _take_rounds(
    array: NDArray[np.uint8],
    first: Positions,
    after: Positions,
    starts: Positions,
    ends: Positions,
    lines: Positions,
    line: Positions,
    rank: Positions,
    delimiter: int,
) -> tuple[_Lines, _Lines]:
    """How each line is left by a record that begins on it, and by one that enters it in quotes."""
    found = np.flatnonzero(array == delimiter)
    at_start = (first == starts[lines[line]]) | (array[first - 1] == delimiter)
    at_end = (array[after] == delimiter) | (array[after] == LF)
    at_end |= (array[after] == CR) & (array[np.minimum(after + 1, len(array) - 1)] == LF)
    code = 4 * ((after - first) % 2) + 2 * at_start + at_end
    before = np.searchsorted(found, after)
    following = np.append(first[1:], len(array))
    behind = np.searchsorted(found, np.minimum(following, ends[lines[line]])) - before
    in_front = np.searchsorted(found, first[rank == 0]) - np.searchsorted(found, starts[lines])
    nothing = np.zeros(len(lines), np.int64)
    begun = _Lines(np.full(len(lines), _FIELD, np.uint8), in_front, nothing.copy(), nothing.astype(bool))
    entered = _Lines(np.full(len(lines), _QUOTED, np.uint8), nothing.copy(), nothing.copy(), nothing.astype(bool))
    of_round = np.argsort(rank, kind="stable")
    bounds = np.searchsorted(rank[of_round], np.arange(min(int(rank.max()) + 1, _ROUNDS) + 1))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        runs = of_round[begin:end]
        at, length = line[runs], after[runs] - first[runs]
        for trace in (begun, entered):
            state = trace.state[at]
            new = _NEXT[8 * state + code[runs]]
            trace.delimiters[at] += np.where(new == _FIELD, behind[runs], 0)
            fault = (new == _FAULT) & (state != _FAULT)
            trace.fault[at[fault]] = after[runs[fault]]
            empty = (length == 2) & (state == _FIELD) & at_start[runs]
            trace.odd[at] |= ((state == _FIELD) & ~at_start[runs]) | ((length > 1) & ~empty)
            trace.state[at] = new
    return begun, entered
