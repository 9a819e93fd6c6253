"""Traces the records that begin on lines with quotes, all lines at once, by the same rules as ``read_record``.

A run is one or more quotes in a row. Round i takes the i-th run of every line. Lines with more than ``_ROUNDS`` runs
are left to ``read_record``.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.reading.header import Header
from pipeline.reading.text_parser import Positions

LF, CR, QUOTE = 0x0A, 0x0D, 0x22

CLOSED, WRONG, OPEN, MANY = 0, 1, 2, 3
"""How a record ends: at a line end; at text behind a closing quote; not before the data ends; unknown, because one of
its lines has too many runs."""

_ROUNDS: Final = 64

_FIELD, _QUOTED, _FAULT = 0, 1, 2
"""States of a record between two runs: outside quotes, inside quotes, broken by text behind a closing quote."""

_NEXT = np.array(
    [
        # even run             odd run           (each: elsewhere, before a field's end, at its start, both)
        [[0, 0, _FAULT, 0], [0, 0, _QUOTED, _QUOTED]],  # from _FIELD: only at a field's start is a quote special
        [[_QUOTED] * 4, [_FAULT, 0, _FAULT, 0]],  # from _QUOTED: an odd run closes
        [[_FAULT] * 4, [_FAULT] * 4],
    ],
    np.uint8,
).reshape(-1)
"""The state behind a run, at 8 x the state before it + ``_Runs.code``."""


@dataclass(frozen=True)
class QuotedRecords:
    """The records that begin on the lines with quotes, as if a record began on each of them.

    ==========  ===================================================================================
    ``lines``   numbers of the lines with quotes, ascending
    ``ending``  ``CLOSED``, ``WRONG``, ``OPEN`` or ``MANY``; the other fields hold for the first two
    ``last``    the line on which the record ends
    ``stops``   the byte behind the record (without its line end), or behind the wrong quote
    ``fields``  number of fields
    ``plain``   whether all quotes open or close whole fields of this line, none doubled
    ==========  ===================================================================================
    """

    lines: Positions
    ending: NDArray[np.uint8]
    last: Positions
    stops: Positions
    fields: Positions
    plain: NDArray[np.bool_]


@dataclass(frozen=True)
class _Runs:
    """The runs of quotes, in order of their bytes.

    ============  ===================================================================
    ``line``      index of the run's line among the lines with quotes
    ``rank``      number of the run in its line, from 0
    ``length``    number of quotes
    ``after``     the byte behind the run
    ``at_start``  whether a field begins with the run
    ``code``      4 if the length is odd, + 2 if ``at_start``, + 1 if a field ends behind
    ``behind``    number of delimiters between the run and the next one or the line end
    ============  ===================================================================
    """

    line: Positions
    rank: Positions
    length: Positions
    after: Positions
    at_start: NDArray[np.bool_]
    code: Positions
    behind: Positions


@dataclass
class _Traces:
    """How records leave the lines with quotes; one entry for each of them.

    ==============  =======================================================================
    ``state``       state at the line end
    ``delimiters``  number of delimiters that end fields
    ``fault``       the byte behind the quote at fault, if the state is ``_FAULT``
    ``odd``         whether a quote is doubled, or stands in the middle of an unquoted field
    ==============  =======================================================================
    """

    state: NDArray[np.uint8]
    delimiters: Positions
    fault: Positions
    odd: NDArray[np.bool_]


def trace_records(
    array: NDArray[np.uint8], starts: Positions, stops: Positions, ends: Positions, header: Header
) -> QuotedRecords:
    """Trace the records of all lines with quotes, of which there is at least one.

    ``array``: the bytes, which end with LF; ``starts``, ``stops`` and ``ends``: of every line, the first byte, the byte
    behind its text and the LF.
    """
    lines, runs, in_front = _find_runs(array, starts, ends, ord(header.delimiter))
    begun, entered = _take_rounds(runs, in_front)
    many = np.bincount(runs.line) > _ROUNDS
    ending = np.where(begun.state == _FAULT, WRONG, CLOSED).astype(np.uint8)
    last, stop, fields = lines.copy(), np.where(ending == WRONG, begun.fault, stops[lines]), begun.delimiters + 1
    # A record that leaves its first line in quotes goes on through all lines that it enters and leaves in quotes, to
    # the next line that it does not leave so.
    opening = np.flatnonzero(begun.state == _QUOTED)
    closing = np.flatnonzero((entered.state != _QUOTED) | many)
    next_closing = np.searchsorted(closing, opening, side="right")
    closes = next_closing < len(closing)
    ending[opening[~closes]] = OPEN
    stop[opening[~closes]] = len(array)
    opening, close = opening[closes], closing[next_closing[closes]]
    sums = np.cumsum(entered.delimiters)
    fields[opening] += sums[close] - sums[opening]
    wrong = entered.state[close] == _FAULT
    ending[opening] = np.where(many[close], MANY, np.where(wrong, WRONG, CLOSED))
    last[opening] = lines[close]
    stop[opening] = np.where(wrong, entered.fault[close], stops[lines[close]])
    ending[many] = MANY
    return QuotedRecords(lines, ending, last, stop, fields, ~begun.odd & (begun.state == _FIELD) & ~many)


def _find_runs(
    array: NDArray[np.uint8], starts: Positions, ends: Positions, delimiter: int
) -> tuple[Positions, _Runs, Positions]:
    """(numbers of the lines with quotes, their runs, number of delimiters in front of the first run of each line)."""
    delimiters = np.flatnonzero(array == delimiter)
    quotes = np.flatnonzero(array == QUOTE)
    gaps = np.flatnonzero(np.diff(quotes) > 1)
    first, after = quotes[np.append(0, gaps + 1)], quotes[np.append(gaps, -1)] + 1
    owner = np.searchsorted(ends, first)
    lines, line, counts = np.unique(owner, return_inverse=True, return_counts=True)
    rank = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    at_start = (first == starts[owner]) | (array[first - 1] == delimiter)
    at_end = (array[after] == delimiter) | (array[after] == LF)
    at_end |= (array[after] == CR) & (array[np.minimum(after + 1, len(array) - 1)] == LF)
    code = 4 * ((after - first) % 2) + 2 * at_start + at_end
    before = np.searchsorted(delimiters, after)
    following = np.append(first[1:], len(array))
    behind = np.searchsorted(delimiters, np.minimum(following, ends[owner])) - before
    in_front = np.searchsorted(delimiters, first[rank == 0]) - np.searchsorted(delimiters, starts[lines])
    return lines, _Runs(line, rank, after - first, after, at_start, code, behind), in_front


def _take_rounds(runs: _Runs, in_front: Positions) -> tuple[_Traces, _Traces]:
    """Trace a record that begins on each line, and one that enters each line inside quotes.

    ``in_front``: number of delimiters in front of the first run of each line.
    """
    zeros = np.zeros(len(in_front), np.int64)
    begun = _Traces(np.full(len(zeros), _FIELD, np.uint8), in_front.copy(), zeros.copy(), zeros.astype(bool))
    entered = _Traces(np.full(len(zeros), _QUOTED, np.uint8), zeros.copy(), zeros.copy(), zeros.astype(bool))
    by_round = np.argsort(runs.rank, kind="stable")
    rounds = min(int(runs.rank.max()) + 1, _ROUNDS)
    bounds = np.searchsorted(runs.rank[by_round], np.arange(rounds + 1)).tolist()
    for number in range(rounds):
        chosen = by_round[bounds[number] : bounds[number + 1]]
        line, length, at_start = runs.line[chosen], runs.length[chosen], runs.at_start[chosen]
        for traces in (begun, entered):
            state = traces.state[line]
            following = _NEXT[8 * state + runs.code[chosen]]
            traces.delimiters[line] += np.where(following == _FIELD, runs.behind[chosen], 0)
            fault = (following == _FAULT) & (state != _FAULT)
            traces.fault[line[fault]] = runs.after[chosen[fault]]
            empty = (length == 2) & (state == _FIELD)
            traces.odd[line] |= ((state == _FIELD) & ~at_start) | ((length > 1) & ~empty)
            traces.state[line] = following
    return begun, entered
