"""Cuts files into splits, the byte ranges that workers read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.reading.header import Header
from pipeline.reading.input_files import InputFile


@dataclass(frozen=True, slots=True)
class Split:
    """The records of a file that begin at bytes from ``start`` to ``stop`` (exclusive).

    ===================  =============================================================================================
    ``number``           counts the splits of a run, and names the files of the split in the workspace
    ``path``             the input file, as messages show it
    ``size``             bytes of text in the file
    ``start``, ``stop``  bytes of the text
    ``exact``            whether a record begins at ``start``; otherwise the first record is taken to begin behind the
                         next line end, which is wrong if ``start`` lies in a quoted field with line ends
    ``header``           header in force at ``start``: that of the file, or one among its records
    ``spool``            the file with the expanded text, if ``path`` is compressed
    ===================  =============================================================================================
    """

    number: int
    path: str
    size: int
    start: int
    stop: int
    exact: bool
    header: Header
    spool: str | None = None

    @property
    def source(self) -> str:
        """The file with the text."""
        return self.spool or self.path

    def ending_at(self, stop: int) -> "Split":
        """The split without the records that begin at ``stop`` or behind it."""
        return replace(self, stop=stop)

    def settled_at(self, size: int) -> "Split":
        """The split of a text of which only the first ``size`` bytes are there."""
        return replace(self, size=size, stop=min(self.stop, size))

    def restarted_at(self, start: int, header: Header) -> "Split":
        """The split with its true start and header, to be read a second time."""
        return replace(self, start=start, exact=True, header=header)


def cut_rest(split: Split, begin: int, stop: int) -> list[Split]:
    """Cut the bytes that ``split`` did not cover into splits of at most 4/5 of the bytes it covered.

    ``begin``, ``stop``: the bytes that the split covered before it ended early. The new splits have the number of
    ``split`` until they get their own.
    """
    length = split.stop - stop
    pieces = -(-length * 5 // ((stop - begin) * 4))
    bounds = [stop + length * i // pieces for i in range(pieces + 1)]
    return [replace(split, start=bounds[i], stop=bounds[i + 1], exact=i == 0) for i in range(pieces)]


def cut_behind(splits: Sequence[Split], begin: int) -> list[Split]:
    """Cut the bytes of a file from ``begin`` on, where a record begins, into splits no longer than its ``splits``."""
    if not splits or begin >= splits[-1].stop:
        return []
    longest = max(split.stop - split.start for split in splits)
    length = splits[-1].stop - begin
    pieces = max(1, -(-length // longest))
    bounds = [begin + length * i // pieces for i in range(pieces + 1)]
    return [replace(splits[0], start=bounds[i], stop=bounds[i + 1], exact=i == 0) for i in range(pieces)]


def cut(files: Sequence[InputFile], split_bytes: int) -> list[Split]:
    """Cut files into splits of at most ``split_bytes`` bytes, nearly equal within a file.

    The splits of each file tile its records. A file without records has no split.
    """
    splits: list[Split] = []
    for file in files:
        header = file.header
        if header is None or header.begin[0] >= file.size:
            continue
        begin = header.begin[0]
        length = file.size - header.data_start
        pieces = max(1, -(-length // split_bytes))
        bounds = [begin, *(header.data_start + length * i // pieces for i in range(1, pieces + 1))]
        spool = file.expanded.spool if file.expanded else None
        for i in range(pieces):
            splits.append(Split(len(splits), file.path, file.size, bounds[i], bounds[i + 1], i == 0, header, spool))
    return splits
