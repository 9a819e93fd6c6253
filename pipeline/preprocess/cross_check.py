"""What the compiled parser made of sampled lines, compared with what the rules and Polars make of their texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.split_rows import SplitRows
from pipeline.preprocess.context import ReadContext
from pipeline.preprocess.enrichment import enrich
from pipeline.reading.compiled_parser import PlainParser, as_columns
from pipeline.reading.csv_reader import judge_values
from pipeline.reading.header import Header
from pipeline.reading.splits import Split
from pipeline.reading.text_parser import TextColumns
from pipeline.timing import stage

DISAGREEMENT = (
    "the compiled parser and the rules disagree about a value. A fault in the program; please report it with "
    "that file, and set COMPILED_PARSER to false to read without that parser."
)
"""Why a file is refused then: nothing that the compiled parser made of it can be trusted."""


@dataclass(frozen=True)
class _Sample:
    """Some lines of a split, with their bytes' places in it; their rows are those from ``first`` on."""

    split: Split
    lines: Sequence[Sequence[str]]
    offsets: NDArray[np.int64]
    first: int


class CrossCheck:
    """Samples of the splits of one task. All are compared at once, because that takes 3 ms for any number of rows, as
    long as a split of a megabyte takes in all."""

    def __init__(self, context: ReadContext) -> None:
        self._job = context
        self._samples: list[_Sample] = []
        self._rows = SplitRows(timestamps=context.keep != "longest")

    def add(self, split: Split, plain: PlainParser, rows: SplitRows) -> None:
        """The sample that ``plain`` kept of the lines of ``split``, which are among ``rows``."""
        lines, offsets, places = plain.sample()
        if lines:
            self._samples.append(_Sample(split, lines, offsets, self._rows.count))
            self._rows.extend(rows, places)

    def find_wrong(self) -> set[int]:
        """The numbers of the splits about whose rows the compiled parser and the rules disagree."""
        alike: dict[tuple[tuple[str, str], ...], list[_Sample]] = {}
        for sample in self._samples:
            header = sample.split.header
            names = tuple((role, header.names[place]) for role, place in header.columns.items())
            alike.setdefault(names, []).append(sample)
        wrong = set()
        with stage("verify"):
            for samples in alike.values():
                if not self._agree(samples):
                    alone = [sample for sample in samples if not self._agree([sample])]
                    wrong |= {sample.split.number for sample in alone or samples}
        return wrong

    def _agree(self, samples: Sequence[_Sample]) -> bool:
        """Whether all values are equal; the ``samples`` are of columns with the same names."""
        header: Header = samples[0].split.header
        columns = as_columns(header, [line for sample in samples for line in sample.lines])
        offsets = np.concatenate([sample.offsets for sample in samples])
        good = judge_values(TextColumns(columns, offsets, offsets, offsets), b"", header, ()).rows
        expected = SplitRows(timestamps="timestamp" in good.columns)
        expected.append(enrich(good, self._job.geo()))
        places = np.concatenate([np.arange(len(sample.lines)) + sample.first for sample in samples])
        found = self._rows.frame(places).drop("place")
        same_hashes = np.array_equal(self._rows["user_hash"][places], expected["user_hash"])
        return same_hashes and found.equals(expected.frame(np.arange(expected.count)).drop("place"))
