"""Finds where many well-formed records of a text end, also those with quotes, without reading them one by one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.native.library import load

Positions = NDArray[np.int64]
_QUOTE, _RETURN, _LINE_END = ord('"'), ord("\r"), ord("\n")
_MOST_LINES = 64
"""Records of more lines are left to the caller."""


@dataclass(frozen=True)
class Cut:
    """Records of a text.

    =========  =====================================================================================================
    ``lines``  number of line ends before each record
    ``stops``  the byte behind each record, without its line end; -1 where the text may end before it, or where a quote
               stands amid an unquoted field, so that it must be read by ``single_record``
    =========  =====================================================================================================
    """

    lines: Positions
    stops: Positions


def cut_records(library: Path | None, data: bytes, begins: Positions, delimiter: int) -> Cut:
    """Find the ends of the records that begin at ``begins``, which ascend, by compiled code if there is some.

    All records are well-formed. ``delimiter``: the byte between two fields.
    """
    text = np.frombuffer(data, np.uint8)
    if library is None:
        line_ends = np.flatnonzero(text == _LINE_END)
        lines = np.searchsorted(line_ends, begins)
        return Cut(lines, find_ends(text, line_ends, lines, begins, delimiter))
    begins = np.ascontiguousarray(begins)
    lines, stops = np.empty(len(begins), np.int64), np.empty(len(begins), np.int64)
    into = (lines.ctypes.data, stops.ctypes.data)
    load(library).cut_records(text.ctypes.data, len(text), begins.ctypes.data, len(begins), delimiter, *into)
    return Cut(lines, stops)


def find_ends(
    text: NDArray[np.uint8], line_ends: Positions, lines: Positions, begins: Positions, delimiter: int
) -> Positions:
    """The byte behind each record, without its line end; -1 where ``text`` may end before it, or where a quote stands
    amid an unquoted field, so that it must be read by ``single_record``.

    =============  ===========================================================
    ``line_ends``  positions of all line ends in ``text``
    ``lines``      number of line ends before each record
    ``begins``     first bytes of the records, which ascend; all are well-formed
    ``delimiter``  the byte between two fields
    =============  ===========================================================
    """
    quotes = np.flatnonzero(text == _QUOTE)
    first_quote = np.searchsorted(quotes, begins)
    stops = np.full(len(begins), -1, np.int64)
    waiting = np.arange(len(begins))
    for more in range(_MOST_LINES):
        waiting = waiting[lines[waiting] + more < len(line_ends)]
        if not len(waiting):
            break
        ends = line_ends[lines[waiting] + more]
        count = np.searchsorted(quotes, ends) - first_quote[waiting]
        closed = count % 2 == 0
        ended = waiting[closed]
        stop = ends[closed]
        stop = stop - ((stop > begins[ended]) & (text[stop - 1] == _RETURN))
        quoted = count[closed] > 0
        stops[ended] = stop
        wrong = _with_odd_quote(text, quotes, first_quote[ended[quoted]], count[closed][quoted],
                                begins[ended[quoted]], stop[quoted], delimiter)  # fmt: skip
        stops[ended[quoted][wrong]] = -1
        waiting = waiting[~closed]
    return stops


def _with_odd_quote(
    text: NDArray[np.uint8],
    quotes: Positions,
    first: Positions,
    count: Positions,
    begins: Positions,
    stops: Positions,
    delimiter: int,
) -> NDArray[np.bool_]:
    """Whether a record has a quote that neither opens nor closes a field, nor is doubled. ``first``, ``count``: the
    quotes of each record, of which there are some."""
    if not len(first):
        return np.zeros(0, bool)
    of_record = np.repeat(np.arange(len(first)), count)
    nth = np.arange(len(of_record)) - np.repeat(np.cumsum(count) - count, count)
    at = quotes[first[of_record] + nth]
    before, behind = text[np.maximum(at - 1, 0)], text[np.minimum(at + 1, len(text) - 1)]
    opens = (at == begins[of_record]) | (before == delimiter) | ((before == _QUOTE) & (nth > 0))
    closes = (at + 1 == stops[of_record]) | (behind == delimiter) | (behind == _QUOTE)
    wrong = np.where(nth % 2 == 0, ~opens, ~closes)
    return np.bincount(of_record[wrong], minlength=len(first)) > 0
