"""Compares what the compiled parser made of sampled lines with what the rules and Polars make of their texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.split_rows import SplitRows
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.enrichment import enrich
from pipeline.reading.compiled_parser import CompiledParser, as_columns
from pipeline.reading.csv_reader import judge_values
from pipeline.reading.header import Header
from pipeline.reading.splits import Split
from pipeline.reading.text_parser import TextColumns
from pipeline.timing import stage

DISAGREEMENT = (
    "the compiled parser and the rules disagree about a value. A fault in the program; please report it with "
    "that file, and set COMPILED_PARSER to false to read without that parser."
)
"""Why a file is refused: if one value is wrong, nothing that the compiled parser made of the file can be trusted."""


@dataclass(frozen=True)
class _Sample:
    """Lines of a split.

    ===========  ================================================================
    ``header``   by which they were read
    ``lines``    the texts of each line, in order of the columns that are read
    ``offsets``  first byte of each line, counted from the start of the split
    ``first``    position of their first row among the rows of the check
    ===========  ================================================================
    """

    split: Split
    header: Header
    lines: Sequence[Sequence[str]]
    offsets: NDArray[np.int64]
    first: int


class CrossCheck:
    """Collects samples of the splits of one task and compares all of them at once: a comparison takes 3 ms for any
    number of rows, which is as long as reading a split of a megabyte."""

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        self._samples: list[_Sample] = []
        self._rows = SplitRows(timestamps=context.keep != "longest")

    def add(self, split: Split, compiled: CompiledParser, rows: SplitRows) -> None:
        """Add the lines of ``split`` that ``compiled`` sampled, and their rows, which are among ``rows``."""
        lines, offsets, positions = compiled.sample()
        if lines:
            self._samples.append(_Sample(split, compiled.header, lines, offsets, self._rows.count))
            self._rows.extend(rows, positions)

    def find_wrong(self) -> set[int]:
        """The numbers of the splits about whose rows the compiled parser and the rules disagree."""
        by_columns: dict[tuple[tuple[str, str], ...], list[_Sample]] = {}
        for sample in self._samples:
            header = sample.header
            columns = tuple((role, header.names[index]) for role, index in header.columns.items())
            by_columns.setdefault(columns, []).append(sample)
        wrong = set()
        with stage("verify"):
            for samples in by_columns.values():
                if not self._agree(samples):
                    disagreeing = [sample for sample in samples if not self._agree([sample])]
                    wrong |= {sample.split.number for sample in disagreeing or samples}
        return wrong

    def _agree(self, samples: Sequence[_Sample]) -> bool:
        """Whether all values are equal; the samples have columns of the same names."""
        header = samples[0].header
        columns = as_columns(header, [line for sample in samples for line in sample.lines])
        offsets = np.concatenate([sample.offsets for sample in samples])
        texts = TextColumns(columns, offsets, offsets, offsets)
        good = judge_values(texts, b"", header, formats=self._context.formats).rows
        expected = SplitRows(timestamps="timestamp" in good.columns)
        expected.append(enrich(good, self._context.geo(), self._context.formats))
        positions = np.concatenate([np.arange(len(sample.lines)) + sample.first for sample in samples])
        found = self._rows.frame(positions).drop("place")
        same_hashes = np.array_equal(self._rows["user_hash"][positions], expected["user_hash"])
        return same_hashes and found.equals(expected.frame(np.arange(expected.count)).drop("place"))
